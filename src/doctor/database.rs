//! Checks of the database.

use std::time::Duration;

use super::observe::{Database, MAX_OVERDUE};
use super::{Finding, Installation};
use crate::config::Environment;
use crate::store::inspect::Place;
use crate::store::rows::Schema;

/// Above this round trip, every refresh is slow.
const SLOW_ROUND_TRIP: Duration = Duration::from_millis(100);
/// Above this difference, the clocks are not synchronised by NTP.
const CLOCK_DRIFT: Duration = Duration::from_secs(1);
/// Above this difference, the concurrency window is wrong.
const CLOCK_ERROR: Duration = Duration::from_secs(5);

fn production(installation: &Installation<'_>) -> bool {
    installation.config.environment == Environment::Production
}

/// Checks that the database answers.
pub(super) fn reachable(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "database.reachable";
    vec![match &installation.database {
        Database::Reached(facts) => Finding::ok(name, facts.place.text.clone()),
        Database::Unreachable(place, why) => {
            Finding::error(name, format!("{} does not answer: {why}", place.text))
        }
        Database::Missing(place) if production(installation) => {
            let message = format!("{} does not exist: run `token-authority migrate`", place.text);
            Finding::error(name, message)
        }
        Database::Missing(place) => Finding::info(
            name,
            format!("{} does not exist yet; the first start creates it", place.text),
        ),
    }]
}

/// Checks that the connection is encrypted.
pub(super) fn encrypted(installation: &Installation<'_>) -> Vec<Finding> {
    let place = match &installation.database {
        Database::Missing(place) | Database::Unreachable(place, _) => place,
        Database::Reached(facts) => &facts.place,
    };
    in_the_clear(place, "DATABASE_URL")
        .map(|message| Finding::warn("database.encrypted", message))
        .into_iter()
        .collect()
}

/// Returns a message if the connection to a remote database may be unencrypted.
pub(super) fn in_the_clear(place: &Place, setting: &str) -> Option<String> {
    (place.remote && !place.tls_required).then(|| {
        format!(
            "the connection to {} may be unencrypted: add sslmode=verify-full (or at least \
             require) to {setting}",
            place.text
        )
    })
}

/// Checks the round trip to the database.
pub(super) fn round_trip(installation: &Installation<'_>) -> Vec<Finding> {
    let Some(facts) = installation.database.reached() else { return Vec::new() };
    let message = format!("{:.1} ms", facts.round_trip.as_secs_f64() * 1000.0);
    if facts.round_trip > SLOW_ROUND_TRIP {
        let message = format!(
            "{message} for the simplest statement; a refresh takes at least that long: place the \
             service nearer to the database"
        );
        return vec![Finding::warn("database.round_trip", message)];
    }
    vec![Finding::ok("database.round_trip", message)]
}

/// Reports a transaction pooler between the service and the database.
pub(super) fn pooled(installation: &Installation<'_>) -> Vec<Finding> {
    let pooled = installation.database.reached().is_some_and(|facts| facts.pooled);
    let message =
        "the connection goes through a transaction pooler; named prepared statements are off";
    pooled.then(|| Finding::info("database.pooled", message)).into_iter().collect()
}

/// Checks that the database accepts writes.
pub(super) fn writable(installation: &Installation<'_>) -> Vec<Finding> {
    if !installation.database.reached().is_some_and(|facts| facts.status.read_only) {
        return Vec::new();
    }
    let message =
        "the database is read-only: does DATABASE_URL name a standby, or a file of another user?";
    vec![Finding::error("database.writable", message)]
}

/// Checks that a commit survives a crash.
pub(super) fn durable(installation: &Installation<'_>) -> Vec<Finding> {
    if installation.database.reached().is_none_or(|facts| facts.status.durable) {
        return Vec::new();
    }
    let message = "synchronous_commit=off: a crash of the database loses refreshes and revocations that \
                   were already answered, and logs those users out";
    vec![Finding::error("database.durable", message)]
}

/// Compares the database's clock with this machine's.
pub(super) fn clock(installation: &Installation<'_>) -> Vec<Finding> {
    let Some(facts) = installation.database.reached() else { return Vec::new() };
    let Some(offset) = facts.offset else { return Vec::new() };
    let certain = Duration::from_micros(offset.unsigned_abs()).saturating_sub(facts.round_trip);
    let side = if offset < 0 { "behind" } else { "ahead of" };
    let seconds = Duration::from_micros(offset.unsigned_abs()).as_secs_f64();
    let message = format!("the database's clock is {seconds:.3} s {side} this machine's");
    let remedy = "with different clocks, replicas can mistake simultaneous refreshes for theft: run an \
                  NTP client on both machines";
    vec![if certain > CLOCK_ERROR {
        Finding::error("database.clock", format!("{message}; {remedy}"))
    } else if certain > CLOCK_DRIFT {
        Finding::warn("database.clock", format!("{message}; {remedy}"))
    } else {
        Finding::ok("database.clock", message)
    }]
}

/// Compares the database's schema with this version's.
pub(super) fn schema(installation: &Installation<'_>) -> Vec<Finding> {
    let Some(facts) = installation.database.reached() else { return Vec::new() };
    let name = "database.schema";
    vec![match &facts.schema {
        Ok(Schema::Current) => Finding::ok(name, "the schema is up to date"),
        Ok(Schema::Behind { applied, known }) if production(installation) => {
            let message = format!(
                "the schema is at {applied}, this version needs {known}: run `token-authority migrate`"
            );
            Finding::error(name, message)
        }
        Ok(Schema::Behind { applied, known }) => Finding::info(
            name,
            format!("the schema is at {applied}; the next start migrates it to {known}"),
        ),
        Ok(Schema::Ahead { applied, known, expanded_only: true }) => {
            let message = format!(
                "the schema is at {applied}, newer than this version's {known}, which can work with it"
            );
            Finding::info(name, message)
        }
        Ok(Schema::Ahead { applied, known, expanded_only: false }) => {
            let message = format!(
                "the schema is at {applied}, which this version (up to {known}) cannot work with: \
                 run the newer version"
            );
            Finding::error(name, message)
        }
        Err(why) => Finding::error(name, why.to_string()),
    }]
}

/// Checks that no table or index of another application has one of our names.
pub(super) fn foreign_objects(installation: &Installation<'_>) -> Vec<Finding> {
    let Some(facts) = installation.database.reached() else { return Vec::new() };
    let name = "database.foreign_objects";
    match &facts.foreign_objects {
        Ok(names) if names.is_empty() => Vec::new(),
        Ok(names) => {
            let message = format!(
                "the database has tables or indexes that this service did not create: {}; on \
                 Postgres set DATABASE_SCHEMA to a schema of this service's own, otherwise use \
                 another database",
                names.join(", ")
            );
            vec![Finding::error(name, message)]
        }
        // The schema's own check reports it.
        Err(_) => Vec::new(),
    }
}

/// Checks that the role may create our tables, if they are missing, and use them.
pub(super) fn privileges(installation: &Installation<'_>) -> Vec<Finding> {
    let Some(facts) = installation.database.reached() else { return Vec::new() };
    let name = "database.privileges";
    let privileges = match &facts.privileges {
        Ok(Some(privileges)) => privileges,
        Ok(None) => return Vec::new(),
        Err(why) => return vec![Finding::error(name, why.to_string())],
    };
    let role = &privileges.role;
    let behind = matches!(facts.schema, Ok(Schema::Behind { .. }));
    let schema = privileges.schema.as_ref();
    vec![match schema {
        Some(schema) if behind && !privileges.may_create => {
            let message = format!(
                "the role {role} may not create tables in the schema {schema}, which `migrate` \
                 needs: GRANT CREATE ON SCHEMA {schema} TO {role}, or migrate as another role"
            );
            Finding::error(name, message)
        }
        Some(schema) if !privileges.closed_tables.is_empty() => {
            let tables = privileges.closed_tables.join(", ");
            let message = format!(
                "the role {role} may not read and write {tables}: GRANT SELECT, INSERT, UPDATE, \
                 DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"
            );
            Finding::error(name, message)
        }
        None if behind => {
            let message = "the schema does not exist yet: `token-authority migrate` creates it";
            Finding::info(name, message)
        }
        _ => Finding::ok(name, format!("the role {role} has all privileges that it needs")),
    }]
}

/// Checks that the sweeper deletes ended sessions.
pub(super) fn swept(installation: &Installation<'_>) -> Vec<Finding> {
    let Some(facts) = installation.database.reached() else { return Vec::new() };
    match (&facts.schema, &facts.overdue) {
        (Ok(Schema::Behind { .. }), _) => Vec::new(),
        (_, Ok(0)) => {
            vec![Finding::ok("database.swept", "no ended session is overdue for deletion")]
        }
        (_, Ok(overdue)) => {
            let more = if *overdue >= u64::from(MAX_OVERDUE) { "at least " } else { "" };
            let message = format!(
                "{more}{overdue} ended sessions are overdue for deletion: does the service run, and does \
                 it log that a sweep was interrupted?"
            );
            vec![Finding::warn("database.swept", message)]
        }
        (_, Err(why)) => vec![Finding::error("database.swept", why.to_string())],
    }
}
