//! Model check of device-bound sessions: a browser with a device key, and a thief who copies its jar,
//! which holds the refresh cookie and the bound cookie, and never the key.
//!
//! # Claims
//!
//! **No innocent client is refused for longer than a login takes, and none is taken for a thief**
//! ([`claims`]). The assumptions are those of the model of rotation. A login's reply and a refresh offer a
//! registration, which the browser begins when the offer lands, with the refresh cookie that is in its jar
//! then. A registration may be lost, repeated, or overtaken by a second one. The bound cookie may expire at
//! any time, also under way. The browser may die, with or without having stored its key, and the device may
//! lose the key. The claim: a refusal is never a theft. It is `Unbound`, and either the browser has the
//! key, or will have it when a reply lands, so that its next attempt succeeds; or the key is lost for
//! good, and the user logs in again.
//!
//! **A thief who copies the jar after the registration gets no token once the life of the bound cookie is
//! over**, at any distance from the victim, and without the key it never ends the victim's session.
//!
//! **A thief who copies the jar earlier is found by the rules of rotation**, also if it registers a device of
//! its own: success changes between the parties at most four times, and the victim is never refused while
//! the session lives on.
//!
//! [`variants`] shows for each rule a run that breaks a claim without it.

mod claims;
mod effect;
mod rules;
mod scenario;
mod state;
mod steps;
mod tell;
mod variants;
mod view;

use rules::Rules;
use scenario::{Scenario, Theft, Violation};
use tell::tell;

use crate::say;
use crate::search::{Found, search};

/// A browser with one tab.
const BROWSER: Scenario = Scenario {
    rules: Rules::Real,
    window: 2,
    round_trip: 1,
    tabs: 1,
    registrations: 1,
    late: None,
    disk_lag: None,
    key_lost: false,
    theft: None,
    most_switches: 4,
};

/// A thief who copies the jar at any time and keeps its distance. A is one tick, which is enough to tell
/// within A, within 2 A, and later, if replies take no time.
const THIEF: Scenario = Scenario { theft: Some(Theft::Ever), window: 1, round_trip: 0, ..BROWSER };

/// A thief who copies the jar after the registration, with a bound cookie that has expired.
const COPY: Scenario = Scenario { theft: Some(Theft::OnceOver), ..BROWSER };

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
