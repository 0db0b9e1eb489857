//! Looking at what is there: the one part of the doctor that touches the world, and only reads.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::store::inspect::{DatabaseStatus, Place};
use crate::store::rows::Schema;
use crate::store::url::DatabaseUrl;
use crate::store::{Inspect, LegacyRows, RolloutChange};
use crate::token::key::StoredKey;

/// How long after it was due a row counts as forgotten by the sweepers: they come by each minute,
/// and keep what has ended for a day.
const FORGOTTEN: Duration = Duration::from_mins(24 * 60 + 15);
/// How far overdue rows are counted.
pub(super) const MOST_OVERDUE: u32 = 100_000;
/// How often a round trip is measured; the shortest counts.
const SAMPLES: u32 = 3;

/// A database as it was seen.
#[derive(Debug)]
pub enum Database {
    /// An SQLite file that is not there yet.
    Missing(Place),
    /// It did not answer; why.
    Unreachable(Place, String),
    /// It answered.
    Reached(DatabaseFacts),
}

impl Database {
    /// How it does, if it answered.
    pub(super) const fn reached(&self) -> Option<&DatabaseFacts> {
        match self {
            Self::Reached(facts) => Some(facts),
            Self::Missing(_) | Self::Unreachable(..) => None,
        }
    }
}

/// How a database does that answers.
#[derive(Debug, Clone)]
pub struct DatabaseFacts {
    /// Where it is.
    pub place: Place,
    /// How long it took to answer.
    pub round_trip: Duration,
    /// Its clock and manners.
    pub status: DatabaseStatus,
    /// How far its clock is ahead of this machine's, in microseconds. `None`: it has none.
    pub offset: Option<i64>,
    /// Whether a transaction pooler is in between.
    pub pooled: bool,
    /// How its schema stands to this version; or why that is not known.
    pub schema: Result<Schema, String>,
    /// How many rows the sweepers have forgotten; or why that is not known.
    pub overdue: Result<u64, String>,
    /// The stored key pairs; or why they are not known.
    pub keys: Result<Vec<StoredKey>, String>,
    /// The roll-out's last change, if there was one; or why that is not known.
    pub rollout: Result<Option<RolloutChange>, String>,
}

/// Looks at the database.
pub async fn database(config: &Config, database: &dyn Inspect, clock: &dyn Clock) -> Database {
    let place = database.place();
    if matches!(&config.database, DatabaseUrl::Sqlite(path) if !path.exists()) {
        return Database::Missing(place);
    }
    let seen = match facts(place.clone(), database, clock).await {
        Ok(facts) => Database::Reached(facts),
        Err(why) => Database::Unreachable(place, why),
    };
    database.close().await;
    seen
}

async fn facts(
    place: Place,
    database: &dyn Inspect,
    clock: &dyn Clock,
) -> Result<DatabaseFacts, String> {
    // The first question opens the connection.
    let mut status = database.status().await.map_err(|error| error.to_string())?;
    let (mut round_trip, mut offset) = (Duration::MAX, None);
    for _ in 0..SAMPLES {
        let (asked, began) = (clock.now(), Instant::now());
        let answer = database.status().await.map_err(|error| error.to_string())?;
        let took = began.elapsed();
        if took < round_trip {
            offset = answer.now.map(|there| ahead(there, asked + took / 2));
            (round_trip, status) = (took, answer);
        }
    }
    let due_before = clock.now() - FORGOTTEN;
    Ok(DatabaseFacts {
        place,
        round_trip,
        status,
        offset,
        pooled: database.is_pooled(),
        schema: database.schema().await.map_err(|error| error.to_string()),
        overdue: database
            .overdue(due_before, MOST_OVERDUE)
            .await
            .map_err(|error| error.to_string()),
        keys: database.stored_keys().await.map_err(|error| error.to_string()),
        rollout: database.rollout_change().await.map_err(|error| error.to_string()),
    })
}

const fn ahead(there: Timestamp, here: Timestamp) -> i64 {
    there.as_micros().saturating_sub(here.as_micros())
}

/// Looks at the table of the sessions that were there before, with a token that is none.
pub async fn legacy(config: &Config, rows: Option<&dyn LegacyRows>) -> Option<Result<(), String>> {
    let (settings, rows) = (config.legacy.as_ref()?, rows?);
    let found = rows.find_legacy(&settings.table, &["nobody".to_owned()]).await;
    Some(found.map(drop).map_err(|error| error.to_string()))
}

/// The files and folders of an installation that should be its owner's alone, those that exist.
#[derive(Debug, Default)]
pub struct Files {
    /// Each with its mode bits.
    pub modes: Vec<(PathBuf, u32)>,
}

/// Looks at the files.
#[must_use]
pub fn files(config: &Config, jwt_secret: &Path) -> Files {
    let mut paths = Vec::new();
    if let DatabaseUrl::Sqlite(path) = &config.database {
        paths.push(path.clone());
        paths.extend(path.parent().map(Path::to_owned));
    }
    if config.jwt_secret.is_none() {
        paths.push(jwt_secret.to_owned());
        paths.push(config.data_dir.clone());
    }
    paths.extend(config.network.tls.as_ref().map(|tls| tls.key.clone()));
    paths.sort();
    paths.dedup();
    let mode = |path: PathBuf| {
        let mode = path.metadata().as_ref().map(Metadata::mode).ok()?;
        Some((path, mode & 0o777))
    };
    Files { modes: paths.into_iter().filter_map(mode).collect() }
}
