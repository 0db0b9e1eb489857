//! Model check of refresh-token rotation. It runs the library's own verdict and its effect
//! (`token::rotation`) on real sessions and real tokens, in every order of events.
//!
//! # Claims
//!
//! **No innocent client is ever refused** ([`innocent`]). Two or three tabs share one cookie jar.
//! At any time, a tab may present the token in the jar, for the first time or again. A request or a
//! reply may be lost at any point. A request may arrive twice, and replies may overtake each other:
//! the last reply that arrives stays in the jar. A reply takes less than A from its request. A copy
//! of a request may arrive up to 2 A after the original was decided on, and so may a request that its
//! page gave up (2 A less a round trip after it was sent). The browser may die before its jar is on
//! disk, and come back with an earlier state of it; then A is at least what the jar is behind plus two
//! round trips. A server that dies before its commit has lost a request. A server that dies after its commit has
//! lost a reply. In both cases it may also have lost receipts that were not stored yet, so crashes
//! need no step of their own. Requests are not decided in the order of their arrival. Between
//! requests, the client may sleep for a day. The claim: every request is answered with a token.
//!
//! **No thief lives on beside the victim** ([`thief`]). At any moment, a thief copies the token in
//! the jar, and keeps every token that it ever gets. It always acts more than A apart from what the
//! authority sees of the victim: its refreshes, and the first validation of an access token of the
//! current generation. After the theft, a refresh *succeeds* for a party if it returned a token and
//! the reply arrived. The claim has two parts:
//!
//! 1. In runs of any length, success changes between the parties at most four times. After that,
//!    the other party can do nothing that succeeds and leaves the session alive. (Four changes do
//!    happen: the victim's reply that was under way during the theft, the thief, the victim, the
//!    thief within 2 A, and the victim with the token that stayed acceptable beside the thief's.)
//! 2. If either party is refused, the session is revoked. So it never happens that one party is
//!    refused while the other stays logged in.
//!
//! [`bound`] checks the rules of device-bound sessions, with claims of its own.
//!
//! [`variants`] shows that the claims can fail: each variant differs from the real rules in one
//! point, and for each a run is found that breaks a claim. [`limits`] shows in the same way that
//! the assumptions are needed.
//!
//! # Method
//!
//! [`search`] visits all states, breadth first. The number of states is finite, because only what
//! can make a difference is kept of a state ([`view`]). A search that ends has therefore covered
//! runs of any length, not only up to some depth. The view itself is checked: states with the same
//! view must have the same futures.
//!
//! The search is a hundred lines of our own. A general checker (stateright) would need the same
//! state, steps and view, cannot check the view, and would add an actor framework and a web server.
//! [`world`], the browser, does no I/O and does not depend on the search, so it can drive real
//! servers too.
//!
//! Times are in ticks, and A is two or four ticks. A reply that takes exactly A/2 is in time, and a
//! token that was handed out exactly A ago is young.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "an impossible state must end the test, in its helpers too"
)]

mod bound;
mod innocent;
mod limits;
mod prices;
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
use tell::tell;

/// Two tabs and the real rules.
const TWO_TABS: Scenario = Scenario {
    rules: Rules::Real,
    window: 2,
    round_trip: 1,
    clocks_differ: 0,
    tabs: 2,
    late: None,
    jar_lag: None,
    dies_beside_copy: false,
    second_login_reply: false,
    rotation_differs: false,
    commit_lost: false,
    thief: None,
    thief_validates: false,
    most_switches: 4,
};

/// One tab, and a thief who keeps its distance.
const THIEF: Scenario =
    Scenario { tabs: 1, thief: Some(Distance::FromRefreshesAndProofs), ..TWO_TABS };

/// Searches a scenario that must have no violation.
fn holds(scenario: Scenario) -> Found<Scenario> {
    let found = search(&scenario);
    if let Some(run) = &found.violation {
        panic!("{scenario:?} is violated:\n{}", tell(&scenario, &run.actions, run.violation));
    }
    say(&format!("{} states, {} steps: {scenario:?}", found.states, found.steps));
    found
}

/// Searches a scenario that must have a violation, and returns the run in words.
fn fails(scenario: Scenario, expected: Violation) -> String {
    let found = search(&scenario);
    let run = found.violation.unwrap_or_else(|| panic!("{scenario:?} is never violated"));
    let told = tell(&scenario, &run.actions, run.violation);
    say(&format!("{scenario:?}\n{told}"));
    assert_eq!(run.violation, expected, "{told}");
    told
}

#[expect(clippy::print_stdout, reason = "for reading the runs: cargo test -- --nocapture")]
fn say(text: &str) {
    println!("{text}");
}

/// The view makes the search finite, so it must not lose anything that matters.
#[test]
fn states_with_one_view_have_the_same_futures() {
    let small = [
        TWO_TABS,
        Scenario { tabs: 1, window: 4, round_trip: 2, ..TWO_TABS },
        Scenario { clocks_differ: 1, window: 3, ..TWO_TABS },
        Scenario { rotation_differs: true, ..TWO_TABS },
        Scenario { tabs: 1, commit_lost: true, ..TWO_TABS },
        Scenario { tabs: 1, late: Some(4), ..TWO_TABS },
        Scenario { tabs: 1, jar_lag: Some(2), window: 4, ..TWO_TABS },
        Scenario { second_login_reply: true, rules: Rules::FirstIsYoung, ..TWO_TABS },
        Scenario { thief_validates: true, ..THIEF },
    ];
    for scenario in small {
        let compared = search::check_view(&scenario, 10);
        assert!(compared > 100, "{compared} pairs compared in {scenario:?}");
    }
}
