//! Rules that look equally good, each of which breaks a claim.

use token_authority::token::rotation::Verdict;

use crate::rules::Rules;
use crate::scenario::{Scenario, Violation};
use crate::{THIEF, TWO_TABS, fails};

/// Far more than four.
const MANY: u8 = 8;
const DECISION: &str = include_str!("../../docs/adr/0001-rotation.md");

fn innocent(rules: Rules) -> String {
    fails(Scenario { rules, ..TWO_TABS }, Violation::Refused(Verdict::Theft))
}

fn thief(rules: Rules) -> String {
    fails(Scenario { rules, most_switches: MANY, ..THIEF }, Violation::BothGoOn)
}

/// The decision record quotes these runs. They must be quoted correctly.
fn is_quoted(run: &str) {
    assert!(DECISION.contains(run), "docs/adr/0001-rotation.md does not contain this run:\n{run}");
}

#[test]
fn a_window_that_counts_from_the_rotation_refuses_an_innocent_client() {
    is_quoted(&innocent(Rules::WindowFromRotation));
}

#[test]
fn rotating_a_young_token_refuses_an_innocent_client() {
    is_quoted(&innocent(Rules::RotateYoung));
}

#[test]
fn setting_an_unchanged_cookie_refuses_an_innocent_client() {
    is_quoted(&innocent(Rules::CookieAlways));
}

/// The first of the three failures of the rules before: a browser that dies.
#[test]
fn receipts_that_count_at_once_refuse_an_innocent_client() {
    let dies = Scenario { tabs: 1, round_trip: 0, jar_lag: Some(1), ..TWO_TABS };
    let run = |rules| fails(Scenario { rules, ..dies }, Violation::Refused(Verdict::Theft));
    is_quoted(&run(Rules::EarlyReceipts));
    // Nor is it a receipt that the token was presented.
    run(Rules::YoungProves);
}

/// The second failure: a late copy of a request.
#[test]
fn displacing_for_good_refuses_an_innocent_client() {
    let copied = Scenario { tabs: 1, late: Some(4), ..TWO_TABS };
    let run = |rules| fails(Scenario { rules, ..copied }, Violation::Refused(Verdict::Theft));
    is_quoted(&run(Rules::RemintDisplaces));
    is_quoted(&run(Rules::RotationForgets));
}

/// The third failure: a slow reply, and another tab that refreshes meanwhile.
#[test]
fn displacing_for_good_refuses_an_innocent_client_whose_reply_is_slow() {
    let slow = Scenario { window: 3, round_trip: 2, ..TWO_TABS };
    let displaces = Scenario { rules: Rules::RemintDisplaces, ..slow };
    is_quoted(&fails(displaces, Violation::Refused(Verdict::Theft)));
    fails(Scenario { rules: Rules::Former, ..slow }, Violation::Refused(Verdict::Theft));
}

#[test]
fn replaying_while_unproven_lets_a_thief_live_on() {
    let short = Scenario { rules: Rules::ReplayUnproven, ..THIEF };
    is_quoted(&fails(short, Violation::BothGoOn));
    thief(Rules::ReplayUnproven);
}

/// Strict rotation, a common reading of RFC 9700 section 4.14.2.
#[test]
fn no_grace_refuses_an_innocent_client() {
    innocent(Rules::NoGrace);
}

#[test]
fn another_successor_at_once_refuses_an_innocent_client() {
    innocent(Rules::RemintAtOnce);
}

#[test]
fn a_predecessor_that_stays_good_lets_a_thief_live_on() {
    thief(Rules::PredecessorForEver);
}

#[test]
fn refusing_without_revoking_lets_the_other_one_stay() {
    let expected = Violation::RefusedYetAlive(Verdict::Invalid);
    fails(Scenario { rules: Rules::NoRevocation, ..THIEF }, expected);
}

#[test]
fn taking_a_lost_commit_for_a_theft_raises_a_false_alarm() {
    let lost = Scenario { tabs: 1, commit_lost: true, ..TWO_TABS };
    let expected = Violation::Refused(Verdict::Theft);
    fails(Scenario { rules: Rules::FutureIsTheft, ..lost }, expected);
}
