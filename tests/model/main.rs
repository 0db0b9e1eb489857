//! Model check of refresh-token rotation: the library's own verdict and its effect
//! (`token::rotation`), on real sessions and real tokens, in everything that may happen around
//! them.
//!
//! # What is held
//!
//! **No innocent client is ever refused** ([`innocent`]). Two and three tabs share one cookie
//! jar. At any time a tab presents what is in the jar, for the first time or again. A request or a
//! reply may be lost at any point, a request may arrive twice, and replies overtake each other:
//! what lands last stays in the jar. From a request to its reply at most A/2 passes. A server
//! that dies before its commit has lost a request, one that dies after it a reply, and with
//! either any proof of receipt that it had not stored; so crashes need no step of their own.
//! Requests are not decided in the order in which they arrived. Between, the client may sleep for
//! a day. The claim: no request is answered with anything but a token.
//!
//! **No thief lives on beside the victim** ([`thief`]). At any moment a thief copies the token
//! that is in the jar, and keeps every token it ever gets. Each time, it acts more than A apart
//! from what the authority sees of the victim: its refreshes, and the moment an access token of
//! the current generation was first validated. From the theft on, a refresh *succeeds* for a
//! party when a token was returned and the reply arrived. The claim has two parts:
//!
//! 1. In runs of any length, success passes from one party to the other at most three times:
//!    whoever's turn it is then can do nothing that succeeds and leaves the session alive. (Three
//!    happens: the victim's reply that was on its way during the theft, the thief, the victim, and
//!    the thief once more.)
//! 2. Whoever is refused, the session is revoked. So neither is shut out while the other stays.
//!
//! That the claims can fail is shown by [`variants`]: each differs from the real rules in one
//! point, and for each a run is found in which a claim breaks. [`limits`] shows, in the same way,
//! that the claims' assumptions are needed: what is lost where one does not hold.
//!
//! # How
//!
//! [`search`] goes through all states, breadth first. They are finitely many, since of a state
//! only that is remembered which can make a difference ([`view`]), so that a search which ends
//! has covered runs of any length, not only up to some depth. The view is itself checked: states
//! that it takes for the same must have the same futures.
//!
//! The search is our own hundred lines: a general checker (stateright) would need the same state,
//! steps and view, cannot check the view, and brings an actor framework and a web server.
//! [`world`], the browser, does no I/O and knows nothing of the search, so that it can drive real
//! servers too.
//!
//! Times are in ticks, A being two or four of them; a reply that takes A/2 is still in time, and
//! a token that was handed out A ago is still young.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test, down to its last helper: what cannot be must end it"
)]

mod innocent;
mod limits;
mod rules;
mod scenario;
mod search;
mod system;
mod tell;
mod thief;
mod variants;
mod verdict;
mod view;
mod world;

use rules::Rules;
use scenario::{Distance, Scenario, Violation};
use search::{Found, search};

/// Two tabs and the real rules.
const TWO_TABS: Scenario = Scenario {
    rules: Rules::Real,
    window: 2,
    round_trip: 1,
    clocks_differ: 0,
    tabs: 2,
    second_login_reply: false,
    rotation_differs: false,
    commit_lost: false,
    thief: None,
    thief_validates: false,
    most_switches: 3,
};

/// One tab, and a thief who keeps its distance.
const THIEF: Scenario =
    Scenario { tabs: 1, thief: Some(Distance::FromRefreshesAndProofs), ..TWO_TABS };

/// Searches a scenario in which nothing may be violated.
fn holds(scenario: Scenario) -> Found {
    let found = search(&scenario);
    if let Some(run) = &found.violation {
        panic!("{scenario:?} is violated:\n{}", run.tell(&scenario));
    }
    say(&format!("{} states, {} steps: {scenario:?}", found.states, found.steps));
    found
}

/// Searches a scenario in which something must be violated, and tells how.
fn fails(scenario: Scenario, expected: Violation) -> String {
    let found = search(&scenario);
    let run = found.violation.unwrap_or_else(|| panic!("{scenario:?} is never violated"));
    let told = run.tell(&scenario);
    say(&format!("{scenario:?}\n{told}"));
    assert_eq!(run.violation, expected, "{told}");
    told
}

#[expect(clippy::print_stdout, reason = "a run is there to be read: cargo test -- --nocapture")]
fn say(text: &str) {
    println!("{text}");
}

/// The view is what makes the search finite, so it must lose nothing that matters.
#[test]
fn states_with_one_view_have_the_same_futures() {
    let small = [
        TWO_TABS,
        Scenario { tabs: 1, window: 4, round_trip: 2, ..TWO_TABS },
        Scenario { clocks_differ: 1, window: 3, ..TWO_TABS },
        Scenario { rotation_differs: true, ..TWO_TABS },
        Scenario { tabs: 1, commit_lost: true, ..TWO_TABS },
        Scenario { second_login_reply: true, rules: Rules::FirstIsYoung, ..TWO_TABS },
        Scenario { thief_validates: true, ..THIEF },
    ];
    for scenario in small {
        let compared = search::check_view(&scenario, 10);
        assert!(compared > 100, "{compared} pairs compared in {scenario:?}");
    }
}
