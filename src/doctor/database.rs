//! Checks of the database.

use std::time::Duration;

use super::observe::{Database, DatabaseFacts, MOST_OVERDUE};
use super::{Finding, Installation};
use crate::config::Environment;
use crate::store::inspect::Place;
use crate::store::rows::Schema;

/// A round trip that is longer makes every refresh slow.
const SLOW: Duration = Duration::from_millis(100);
/// Clocks that differ by more are not kept by NTP.
const DRIFTED: Duration = Duration::from_secs(1);
/// Clocks that differ by more get the concurrency window wrong.
const WRONG: Duration = Duration::from_secs(5);

fn production(installation: &Installation<'_>) -> bool {
    installation.config.environment == Environment::Production
}

/// Whether it answers.
pub(super) fn reachable(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "database.reachable";
    vec![match &installation.database {
        Database::Reached(facts) => Finding::ok(name, facts.place.text.clone()),
        Database::Unreachable(place, why) => {
            Finding::error(name, format!("{} does not answer: {why}", place.text))
        }
        Database::Missing(place) if production(installation) => {
            let message = format!("there is no {}: run `token-authority migrate`", place.text);
            Finding::error(name, message)
        }
        Database::Missing(place) => {
            Finding::info(name, format!("there is no {} yet: the first start makes it", place.text))
        }
    }]
}

/// Whether others may listen.
pub(super) fn encrypted(installation: &Installation<'_>) -> Vec<Finding> {
    let (Database::Missing(place)
    | Database::Unreachable(place, _)
    | Database::Reached(DatabaseFacts { place, .. })) = &installation.database;
    in_the_clear(place, "DATABASE_URL")
        .map(|message| Finding::warn("database.encrypted", message))
        .into_iter()
        .collect()
}

/// What is wrong with the way to a database where others may listen.
pub(super) fn in_the_clear(place: &Place, setting: &str) -> Option<String> {
    (place.remote && !place.tls_required).then(|| {
        format!(
            "the connection to {} may be in the clear: add sslmode=verify-full (or at least \
             require) to {setting}",
            place.text
        )
    })
}

/// How long it takes to answer.
pub(super) fn round_trip(installation: &Installation<'_>) -> Vec<Finding> {
    let Some(facts) = installation.database.reached() else { return Vec::new() };
    let message = format!("{:.1} ms", facts.round_trip.as_secs_f64() * 1000.0);
    if facts.round_trip > SLOW {
        let message = format!(
            "{message} for the simplest question: a refresh takes at least twice that; bring the \
             database nearer"
        );
        return vec![Finding::warn("database.round_trip", message)];
    }
    vec![Finding::ok("database.round_trip", message)]
}

/// Whether a transaction pooler is in between.
pub(super) fn pooled(installation: &Installation<'_>) -> Vec<Finding> {
    let pooled = installation.database.reached().is_some_and(|facts| facts.pooled);
    let message = "a transaction pooler is in between: statements are not prepared by name";
    pooled.then(|| Finding::info("database.pooled", message)).into_iter().collect()
}

/// Whether it can be written to.
pub(super) fn writable(installation: &Installation<'_>) -> Vec<Finding> {
    if !installation.database.reached().is_some_and(|facts| facts.status.read_only) {
        return Vec::new();
    }
    let message =
        "it refuses to be written to: is DATABASE_URL a standby's, or the file another's?";
    vec![Finding::error("database.writable", message)]
}

/// Whether a commit survives a crash.
pub(super) fn durable(installation: &Installation<'_>) -> Vec<Finding> {
    if installation.database.reached().is_none_or(|facts| facts.status.durable) {
        return Vec::new();
    }
    let message = "synchronous_commit=off: a crash of the database undoes refreshes and \
                   revocations that were answered already, and logs their users out";
    vec![Finding::error("database.durable", message)]
}

/// Whether its clock shows what this machine's does.
pub(super) fn clock(installation: &Installation<'_>) -> Vec<Finding> {
    let Some(facts) = installation.database.reached() else { return Vec::new() };
    let Some(offset) = facts.offset else { return Vec::new() };
    let certain = Duration::from_micros(offset.unsigned_abs()).saturating_sub(facts.round_trip);
    let side = if offset < 0 { "behind" } else { "ahead of" };
    let seconds = Duration::from_micros(offset.unsigned_abs()).as_secs_f64();
    let message = format!("the database's clock is {seconds:.3} s {side} this machine's");
    let remedy = "replicas that disagree about the time mistake simultaneous refreshes for theft: \
                  run an NTP client on both";
    vec![if certain > WRONG {
        Finding::error("database.clock", format!("{message}; {remedy}"))
    } else if certain > DRIFTED {
        Finding::warn("database.clock", format!("{message}; {remedy}"))
    } else {
        Finding::ok("database.clock", message)
    }]
}

/// How its schema stands to this version.
pub(super) fn schema(installation: &Installation<'_>) -> Vec<Finding> {
    let Some(facts) = installation.database.reached() else { return Vec::new() };
    let name = "database.schema";
    vec![match &facts.schema {
        Ok(Schema::Current) => Finding::ok(name, "it is this version's"),
        Ok(Schema::Behind { applied, known }) if production(installation) => {
            let message = format!(
                "it is at {applied}, this version needs {known}: run `token-authority migrate`"
            );
            Finding::error(name, message)
        }
        Ok(Schema::Behind { applied, known }) => {
            Finding::info(name, format!("it is at {applied}: the next start brings it to {known}"))
        }
        Ok(Schema::Ahead { applied, known, expanded_only: true }) => {
            let message = format!(
                "it is at {applied}, newer than this version's {known}, which can work beside it"
            );
            Finding::info(name, message)
        }
        Ok(Schema::Ahead { applied, known, expanded_only: false }) => {
            let message = format!(
                "it is at {applied}, which this version (up to {known}) cannot work with: run the \
                 newer version"
            );
            Finding::error(name, message)
        }
        Err(why) => Finding::error(name, why.clone()),
    }]
}

/// Whether anybody sweeps.
pub(super) fn swept(installation: &Installation<'_>) -> Vec<Finding> {
    let Some(facts) = installation.database.reached() else { return Vec::new() };
    match (&facts.schema, &facts.overdue) {
        (Ok(Schema::Behind { .. }), _) => Vec::new(),
        (_, Ok(0)) => vec![Finding::ok("database.swept", "no row is overdue")],
        (_, Ok(overdue)) => {
            let more = if *overdue >= u64::from(MOST_OVERDUE) { "at least " } else { "" };
            let message = format!(
                "{more}{overdue} rows should have been swept by now: does the service run, and \
                 does it log that its sweep was interrupted?"
            );
            vec![Finding::warn("database.swept", message)]
        }
        (_, Err(why)) => vec![Finding::error("database.swept", why.clone())],
    }
}
