//! Rules that look equally good, each of which breaks a claim.

use token_authority::token::rotation::Verdict;

use super::rules::{Judged, Rules};
use super::scenario::{Scenario, Theft, Violation};
use super::{BROWSER, COPY, THIEF, fails};

const DECISION: &str = include_str!("../../../docs/adr/0007-device-bound-sessions.md");

/// The decision record quotes these runs. They must be quoted correctly.
fn is_quoted(run: &str) {
    let name = "docs/adr/0007-device-bound-sessions.md";
    assert!(DECISION.contains(run), "{name} does not contain this run:\n{run}");
}

const SHUT_OUT: Violation = Violation::ShutOut(Judged::Unbound);
const REFUSED: Violation = Violation::Refused(Judged::Unbound);

fn thief(rules: Rules) -> String {
    fails(Scenario { rules, ..THIEF }, SHUT_OUT)
}

#[test]
fn without_a_binding_a_copy_of_the_jar_gets_in() {
    let copied = Scenario { theft: Some(Theft::OnceBound), round_trip: 0, ..BROWSER };
    fails(Scenario { rules: Rules::Ignored, ..copied }, Violation::GetsIn);
}

#[test]
fn refusing_tokens_from_before_the_registration_shuts_the_victim_out() {
    is_quoted(&thief(Rules::OlderIsUnbound));
}

#[test]
fn a_registration_that_is_never_removed_shuts_the_victim_out() {
    is_quoted(&thief(Rules::NeverRemoved));
}

#[test]
fn a_challenge_for_the_asking_shuts_the_victim_out() {
    is_quoted(&thief(Rules::ChallengeOfSession));
}

#[test]
fn a_registration_with_a_displaced_token_shuts_the_victim_out() {
    thief(Rules::AnyTokenRegisters);
}

#[test]
fn a_newer_registration_that_wins_costs_a_login() {
    let rules = Rules::NewestWins;
    is_quoted(&fails(Scenario { rules, registrations: 2, ..BROWSER }, REFUSED));
}

#[test]
fn a_repeated_registration_that_needs_the_current_token_costs_a_login() {
    let rules = Rules::RepeatsNeedCurrent;
    is_quoted(&fails(Scenario { rules, late: Some(4), ..BROWSER }, REFUSED));
}

#[test]
fn taking_a_missing_binding_for_a_theft_raises_a_false_alarm() {
    let theft = Violation::Refused(Judged::By(Verdict::Theft));
    fails(Scenario { rules: Rules::UnboundRevokes, ..BROWSER }, theft);
}

#[test]
fn revoking_for_a_dead_token_without_the_key_logs_the_victim_out() {
    is_quoted(&fails(Scenario { rules: Rules::DeadRevokes, ..COPY }, Violation::LoggedOut));
}
