//! Simulates a fleet of clients for days against the real authority and stores, and against the rules of
//! others, and counts wrong logouts and thieves. `scripts/fleet` starts it, and `docs/evidence.md` has the
//! results.
//!
//! * `settings`, `group`, `world`: the size of a run, who takes part, what happens to the service
//! * `device`: a client, and its thief
//! * `service`: what a client needs of a service
//! * `real`: the library behind it; `plant`: its rules, broken on purpose
//! * `others`: the rules of others
//! * `run`, `tally`, `report`: the run, its counts, and the table, JSON and picture

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a simulation ends by a panic if its own parts fail"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the figures of a simulation are far below the limits of their types"
)]

mod device;
mod dice;
mod group;
mod others;
mod plant;
mod real;
mod report;
mod run;
mod service;
mod settings;
mod skew;
mod tally;
#[cfg(test)]
mod tests;
mod world;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use test_support::postgres::Cluster;

use others::{Others, Rule};
use plant::Plant;
use real::{Backing, Ours};
use run::{Outcome, run};
use settings::Settings;

/// Simulates a fleet of clients, and counts wrong logouts and thieves.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many clients stay inside the documented bounds. Those outside, and those with a thief, are in
    /// addition: as many again.
    #[arg(long, default_value_t = 500)]
    clients: u32,
    /// How many simulated days.
    #[arg(long, default_value_t = 3)]
    days: u32,
    /// The seed of all random draws. The same seed gives the same table.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A week of 10,000 clients.
    #[arg(long, conflicts_with_all = ["clients", "days", "month"])]
    week: bool,
    /// 30 days of 10,000 clients.
    #[arg(long, conflicts_with_all = ["clients", "days"])]
    month: bool,
    /// Runs on a Postgres as well.
    #[arg(long)]
    postgres: bool,
    /// Runs the real code with a rule broken on purpose, and nothing else.
    #[arg(long, value_enum)]
    plant: Option<Plant>,
    /// The folder for the database file. It should be in memory.
    #[arg(long, default_value = "/dev/shm")]
    memory: PathBuf,
    /// The folder for `fleet.md`, `fleet.json` and `fleet.svg`.
    #[arg(long, default_value = "target/fleet")]
    out: PathBuf,
}

impl Arguments {
    fn settings(&self) -> Settings {
        let (clients, days) = match (self.week, self.month) {
            (true, _) => (10_000, 7),
            (_, true) => (10_000, 30),
            _ => (self.clients, self.days),
        };
        Settings { clients, days, seed: self.seed, backends_ask: true, with_outside: true }
    }
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let settings = arguments.settings();
    let outcomes = match arguments.plant {
        Some(plant) => {
            let name = format!("ours, {plant:?}");
            vec![real(&name, sqlite(&arguments.memory), plant, &settings).await]
        }
        None => all(&arguments, &settings).await,
    };
    report::write(&arguments.out, &settings, &outcomes).unwrap();
}

/// Runs the fleet against the real code and against the rules of others.
async fn all(arguments: &Arguments, settings: &Settings) -> Vec<Outcome> {
    let memory = &arguments.memory;
    let mut outcomes = vec![real("ours, SQLite", sqlite(memory), Plant::Nothing, settings).await];
    if arguments.postgres {
        let backing = Backing::Postgres(Cluster::start());
        outcomes.push(real("ours, Postgres", backing, Plant::Nothing, settings).await);
    }
    let local = Settings { backends_ask: false, ..*settings };
    outcomes
        .push(real("ours, backends verify locally", sqlite(memory), Plant::Nothing, &local).await);
    for (name, rule) in OTHERS {
        outcomes.push(timed(name, run(name, &mut Others::new(rule), settings)).await);
    }
    outcomes
}

/// The rules of others, by their names in the tables.
const OTHERS: [(&str, Rule); 4] = [
    ("no grace", Rule::NoGrace),
    ("grace by time", Rule::GraceByTime),
    ("previous is good", Rule::PreviousIsGood),
    ("new siblings", Rule::NewSiblings),
];

fn sqlite(memory: &Path) -> Backing {
    Backing::Sqlite(tempfile::tempdir_in(memory).unwrap())
}

#[expect(clippy::print_stderr, reason = "it explains what must not happen")]
async fn real(name: &str, backing: Backing, plant: Plant, settings: &Settings) -> Outcome {
    let mut service = Ours::start(backing, plant, settings.seed).await;
    let outcome = timed(name, run(name, &mut service, settings)).await;
    if let Some(story) = &outcome.inside().story {
        eprintln!(
            "the first wrong logout inside the bounds (seconds, what, request, token):\n{story}"
        );
    }
    outcome
}

#[expect(clippy::print_stderr, reason = "it reports its progress")]
async fn timed(name: &str, run: impl Future<Output = Outcome>) -> Outcome {
    let began = Instant::now();
    let outcome = run.await;
    eprintln!("{name}: {:.0} s", began.elapsed().as_secs_f64());
    outcome
}
