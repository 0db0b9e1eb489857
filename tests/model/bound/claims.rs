//! The claims hold for the real rules.

use super::rules::Judged;
use super::scenario::{Scenario, Theft};
use super::{BROWSER, COPY, THIEF, holds};
use crate::search::check_view;

#[test]
fn a_browser_is_refused_only_until_it_tries_again() {
    let found = holds(BROWSER);
    assert!(found.verdicts.contains(&Judged::Unbound), "a request that is under way is refused");
    holds(Scenario { tabs: 2, round_trip: 0, ..BROWSER });
}

#[test]
fn two_registrations_at_once_cost_no_login() {
    holds(Scenario { registrations: 2, ..BROWSER });
}

#[test]
fn a_late_copy_of_a_refresh_costs_no_login() {
    holds(Scenario { round_trip: 0, late: Some(4), ..BROWSER });
}

#[test]
fn a_browser_that_dies_or_loses_its_key_logs_in_again_and_raises_no_alarm() {
    holds(Scenario { round_trip: 0, disk_lag: Some(2), ..BROWSER });
    holds(Scenario { key_lost: true, ..BROWSER });
}

#[test]
fn a_copy_of_the_jar_is_useless_once_its_bound_cookie_has_expired() {
    holds(Scenario { theft: Some(Theft::OnceBound), round_trip: 0, ..BROWSER });
    holds(COPY);
}

#[test]
fn a_thief_who_comes_before_the_registration_is_found() {
    holds(THIEF);
}

#[test]
fn states_with_one_view_have_the_same_futures() {
    let small = [
        BROWSER,
        Scenario { registrations: 2, round_trip: 0, ..BROWSER },
        Scenario { disk_lag: Some(2), round_trip: 0, ..BROWSER },
        COPY,
    ];
    for scenario in small {
        let compared = check_view(&scenario, 10);
        assert!(compared > 100, "{compared} pairs compared in {scenario:?}");
    }
}
