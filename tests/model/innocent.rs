//! No innocent client is ever refused.

use token_authority::token::rotation::Verdict::{Keep, Remint, Replay, Rotate, Young};

use crate::scenario::Scenario;
use crate::{TWO_TABS, holds};

#[test]
fn two_tabs_are_never_refused() {
    let found = holds(Scenario { window: 4, round_trip: 2, ..TWO_TABS });
    assert_eq!(found.verdicts, [Rotate, Young, Replay, Remint].into());
}

#[test]
fn three_tabs_are_never_refused() {
    holds(Scenario { tabs: 3, ..TWO_TABS });
    holds(Scenario { tabs: 3, window: 4, round_trip: 2, ..TWO_TABS });
}

/// Replies that take longer than half the window. Two tabs may then hold two successors.
#[test]
fn replies_that_take_almost_the_window_refuse_nobody() {
    holds(Scenario { window: 4, round_trip: 3, ..TWO_TABS });
    holds(Scenario { tabs: 3, window: 3, round_trip: 2, ..TWO_TABS });
}

/// A proxy sends a request again, or a kernel goes on with one that its page gave up.
#[test]
fn late_copies_of_requests_refuse_nobody() {
    let found = holds(Scenario { late: Some(4), ..TWO_TABS });
    assert_eq!(found.verdicts, [Rotate, Young, Replay, Remint].into());
    holds(Scenario { tabs: 1, window: 4, round_trip: 2, late: Some(8), ..TWO_TABS });
}

/// Chromium writes its cookies up to half a minute after a change.
#[test]
fn a_browser_that_dies_before_its_jar_is_on_disk_is_not_refused() {
    holds(Scenario { tabs: 1, window: 2, round_trip: 0, jar_lag: Some(2), ..TWO_TABS });
    holds(Scenario { window: 4, jar_lag: Some(2), ..TWO_TABS });
}

/// The window also has to cover the difference between the replicas' clocks.
#[test]
fn replicas_whose_clocks_differ_refuse_nobody() {
    holds(Scenario { window: 4, clocks_differ: 3, ..TWO_TABS });
    holds(Scenario { window: 4, round_trip: 2, clocks_differ: 2, ..TWO_TABS });
}

/// This happens while `REFRESH_TOKEN_ROTATION` is being changed, one replica after another.
#[test]
fn replicas_of_which_some_rotate_refuse_nobody() {
    let found = holds(Scenario { rotation_differs: true, ..TWO_TABS });
    assert_eq!(found.verdicts, [Rotate, Young, Keep, Replay, Remint].into());
}

/// After a restored backup, or a failover to a standby that lags behind, a client with one tab may
/// have to log in again. It does not count as a thief.
#[test]
fn a_database_that_lost_its_last_commit_raises_no_alarm() {
    holds(Scenario { tabs: 1, commit_lost: true, ..TWO_TABS });
}
