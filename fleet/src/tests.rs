//! A small fleet as a test: nobody is logged out wrongly inside the documented bounds, the same seed gives
//! the same counts, the rules of others fail as they are known to, and a rule that is broken on purpose is
//! seen.

use clap::ValueEnum as _;

use crate::device::theft::Habit;
use crate::others::{Others, Rule};
use crate::plant::Plant;
use crate::real::{Backing, Ours};
use crate::report::table;
use crate::run::{Outcome, run};
use crate::settings::Settings;
use crate::tally::Cause;

const SMALL: Settings =
    Settings { clients: 60, days: 2, seed: 1, backends_ask: true, with_outside: true };
/// Without clients outside the bounds.
const INSIDE: Settings = Settings { with_outside: false, ..SMALL };

async fn real(plant: Plant, settings: &Settings) -> Outcome {
    let folders = ["/dev/shm", "/tmp"].into_iter();
    let folder = folders.into_iter().find_map(|memory| tempfile::tempdir_in(memory).ok());
    let mut service = Ours::start(Backing::Sqlite(folder.unwrap()), plant, settings.seed).await;
    run("real", &mut service, settings).await
}

async fn others(rule: Rule) -> Outcome {
    let settings = Settings { clients: 120, days: 4, ..INSIDE };
    run("others", &mut Others::new(rule), &settings).await
}

/// Returns how many thieves of a habit were found, and how many stay.
fn thieves(outcome: &Outcome, habit: Habit) -> (usize, usize) {
    let by_habit = outcome.thefts_by_habit();
    by_habit.get(&habit).map_or((0, 0), |thefts| (thefts.found, thefts.stay))
}

/// Returns how many thieves who keep away from their victim were found, how many stay, and how many
/// refreshes all of them got.
fn outside_the_window(outcome: &Outcome) -> (usize, usize, u32) {
    let habits = Habit::ALL.iter().filter(|habit| **habit != Habit::Together);
    let (found, stay) = habits.fold((0, 0), |(found, stay), habit| {
        let of_habit = thieves(outcome, *habit);
        (found + of_habit.0, stay + of_habit.1)
    });
    let thefts = outcome.thefts.iter().filter(|theft| theft.habit != Habit::Together);
    (found, stay, thefts.map(|theft| theft.got).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_rules_log_nobody_out_and_find_thieves() {
    let outcome = real(Plant::Nothing, &SMALL).await;
    let inside = outcome.inside();
    assert_eq!(inside.wrong(), 0, "{:?} {:?}", inside.wrong_logouts, inside.reasons);
    assert_eq!((inside.failed_unplanned, inside.access_refused), (0, 0));
    assert!(inside.renewed > 1_000 && inside.retried > 50 && inside.copies > 20, "{inside:?}");
    let reached =
        |name: &str| outcome.verdicts.iter().any(|(one, count)| *one == name && *count > 0);
    assert!(["rotate", "young", "replay", "re-mint", "theft"].into_iter().all(reached));
    let (_, stay, _) = outside_the_window(&outcome);
    assert_eq!(stay, 0);
    // Without their bounds, some clients are logged out.
    assert!(outcome.group("server drops 30 % of cookies").wrong() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_seed_gives_one_table() {
    let settings = Settings { clients: 20, days: 1, ..INSIDE };
    let text = async |settings: &Settings| {
        let outcome = real(Plant::Nothing, settings).await;
        table(settings, &[outcome])
    };
    let first = text(&settings).await;
    assert_eq!(first, text(&settings).await);
    assert_ne!(first, text(&Settings { seed: 2, ..settings }).await);
}

#[tokio::test]
async fn rules_without_a_late_retry_log_innocent_clients_out() {
    let no_grace = others(Rule::NoGrace).await;
    assert!(no_grace.inside().clients_hit > 60, "{:?}", no_grace.inside());
    for rule in [Rule::GraceByTime, Rule::NewSiblings] {
        let outcome = others(rule).await;
        assert!(outcome.inside().clients_hit > 5, "{rule:?}: {:?}", outcome.inside());
        assert!(outcome.inside().wrong_logouts.contains_key(&Cause::AnswerLost));
    }
}

#[tokio::test]
async fn a_previous_token_that_stays_good_gives_thieves_more() {
    // A thief who comes after the victim gets what the victim gets, until the victim comes twice.
    let (no_grace, previous) = (others(Rule::NoGrace).await, others(Rule::PreviousIsGood).await);
    let got = |outcome: &Outcome| outside_the_window(outcome).2;
    assert!(got(&previous) > got(&no_grace), "{:?}", previous.thefts_by_habit());
}

/// The rules without which innocent clients are logged out at once.
const LOG_OUT: [Plant; 3] = [Plant::NoWindow, Plant::EarlyReceipts, Plant::NothingSetAside];

#[tokio::test(flavor = "multi_thread")]
async fn each_rule_that_is_broken_on_purpose_moves_the_numbers() {
    for plant in LOG_OUT {
        assert!(real(plant, &INSIDE).await.inside().wrong() > 0, "{plant:?}");
    }
    let settings = Settings { clients: 30, days: 1, ..SMALL };
    let counted = async |plant| table(&settings, &[real(plant, &settings).await]);
    let with_all_rules = counted(Plant::Nothing).await;
    for plant in Plant::value_variants() {
        if *plant != Plant::Nothing && !LOG_OUT.contains(plant) {
            assert_ne!(counted(*plant).await, with_all_rules, "{plant:?}");
        }
    }
}
