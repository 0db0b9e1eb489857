//! No thief lives on beside the victim.

use token_authority::token::rotation::Verdict;

use crate::scenario::{Scenario, Violation};
use crate::{THIEF, fails, holds};

#[test]
fn thief_and_victim_do_not_both_go_on() {
    let found = holds(Scenario { window: 4, round_trip: 2, ..THIEF });
    assert!(found.verdicts.contains(&Verdict::Theft));
}

#[test]
fn thief_and_a_victim_with_two_tabs_do_not_both_go_on() {
    holds(Scenario { tabs: 2, ..THIEF });
}

#[test]
fn thief_and_a_victim_with_three_tabs_do_not_both_go_on() {
    holds(Scenario { tabs: 3, ..THIEF });
}

/// Validation of the thief's tokens is a disadvantage for the thief, so it is not an assumption of
/// the claim.
#[test]
fn a_thief_whose_access_tokens_are_validated_does_not_go_on_either() {
    holds(Scenario { thief_validates: true, ..THIEF });
}

/// The bound is as tight as possible.
#[test]
fn success_passes_from_one_to_the_other_four_times_at_most() {
    fails(Scenario { most_switches: 3, ..THIEF }, Violation::BothGoOn);
}
