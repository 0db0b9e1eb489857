//! The assumptions of the claims, and what is lost without them. Each assumption is as weak as
//! possible: for each, a run is shown that breaks a claim without it.

use token_authority::token::rotation::Verdict;

use crate::rules::Rules;
use crate::scenario::{Distance, Scenario, Violation};
use crate::{THIEF, TWO_TABS, fails, holds};

const REFUSED: Violation = Violation::Refused(Verdict::Theft);
/// Far more than four.
const MANY: u8 = 8;

#[test]
fn a_round_trip_of_the_whole_window_may_refuse_an_innocent_client() {
    fails(Scenario { round_trip: 2, ..TWO_TABS }, REFUSED);
}

#[test]
fn a_copy_that_is_later_than_twice_the_window_may_refuse_an_innocent_client() {
    fails(Scenario { tabs: 1, late: Some(5), ..TWO_TABS }, REFUSED);
}

/// The window has to cover what the jar on disk is behind, and two round trips: the one after which
/// the token was stored, and the one of a request that is under way when the browser dies.
#[test]
fn a_jar_that_is_written_later_may_refuse_an_innocent_client() {
    let late = Scenario { tabs: 1, window: 4, jar_lag: Some(3), ..TWO_TABS };
    fails(late, REFUSED);
    holds(Scenario { jar_lag: Some(2), ..late });
}

/// The copy may rotate the token that the browser lost, so that the one on disk is two behind.
#[test]
fn a_browser_that_dies_with_a_copy_under_way_may_be_refused() {
    let dies = Scenario { tabs: 1, round_trip: 0, jar_lag: Some(2), ..TWO_TABS };
    let copied = Scenario { late: Some(4), ..dies };
    holds(copied);
    fails(Scenario { dies_beside_copy: true, ..copied }, REFUSED);
}

#[test]
fn clocks_that_differ_by_more_than_the_rest_of_the_window_may_refuse_an_innocent_client() {
    fails(Scenario { clocks_differ: 2, ..TWO_TABS }, REFUSED);
    fails(Scenario { window: 4, clocks_differ: 4, ..TWO_TABS }, REFUSED);
}

/// The first token is rotated at once, so a second reply to the same login must not put it back
/// into the jar. A login that is retried may have only one reply that sets the cookie.
#[test]
fn a_second_reply_to_the_login_may_refuse_an_innocent_client() {
    let twice = Scenario { second_login_reply: true, ..TWO_TABS };
    fails(twice, REFUSED);
    holds(Scenario { rules: Rules::FirstIsYoung, ..twice });
}

/// With two tabs, a token that the database lost may meet one that was minted instead.
#[test]
fn a_lost_commit_may_raise_a_false_alarm_between_two_tabs() {
    fails(Scenario { commit_lost: true, ..TWO_TABS }, REFUSED);
}

#[test]
fn a_thief_who_keeps_no_distance_lives_on() {
    let near = Scenario { thief: Some(Distance::None), most_switches: 6, ..THIEF };
    fails(near, Violation::BothGoOn);
}

/// For A after the first validation, the predecessor is accepted, because replies may take longer
/// than they should. A thief who uses this moment every time lives on.
#[test]
fn a_thief_who_comes_right_after_each_first_validation_lives_on() {
    let thief = Some(Distance::FromRefreshes);
    let close = Scenario { thief, most_switches: MANY, ..THIEF };
    fails(close, Violation::BothGoOn);
    let stricter = Scenario { rules: Rules::BothWindows, ..close };
    holds(Scenario { most_switches: 4, ..stricter });
    holds(Scenario { rules: Rules::BothWindows, ..TWO_TABS });
}
