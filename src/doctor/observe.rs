//! The inspection: the only part of the doctor that does I/O, and it only reads.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::store::inspect::{DatabaseStatus, Place, Privileges};
use crate::store::rows::Schema;
use crate::store::url::DatabaseUrl;
use crate::store::{Inspect, LegacyRows, LegacySample, RolloutChange, StoreError};
use crate::token::key::StoredKey;

/// Rows older than this should have been swept: sweepers run every minute and keep ended sessions for
/// a day.
const SWEEP_OVERDUE: Duration = Duration::from_mins(24 * 60 + 15);
/// Overdue rows are counted up to this number, so that the count stays fast.
pub(super) const MAX_OVERDUE: u32 = 100_000;
/// How often the round trip is measured. The shortest one is reported.
const SAMPLES: u32 = 3;

/// The database as the inspection found it.
#[derive(Debug)]
pub enum Database {
    /// The SQLite file does not exist yet.
    Missing(Place),
    /// The database did not answer, with the reason.
    Unreachable(Place, StoreError),
    /// The database answered.
    Reached(Box<DatabaseFacts>),
}

impl Database {
    /// Returns the facts if the database answered.
    pub(super) fn reached(&self) -> Option<&DatabaseFacts> {
        match self {
            Self::Reached(facts) => Some(facts),
            Self::Missing(_) | Self::Unreachable(..) => None,
        }
    }
}

/// Facts about a database that answered.
#[derive(Debug, Clone)]
pub struct DatabaseFacts {
    /// Its place.
    pub place: Place,
    /// The shortest round trip.
    pub round_trip: Duration,
    /// Its clock and its settings.
    pub status: DatabaseStatus,
    /// How far its clock is ahead of this machine's, in microseconds. `None`: it has no clock.
    pub offset: Option<i64>,
    /// Whether the connection goes through a transaction pooler.
    pub pooled: bool,
    /// Its schema, compared with this version; or why that is unknown.
    pub schema: Result<Schema, StoreError>,
    /// The tables and indexes of our names that another application created; or why that is unknown.
    pub foreign_objects: Result<Vec<String>, StoreError>,
    /// The privileges of the role, if the database has roles; or why they are unknown.
    pub privileges: Result<Option<Privileges>, StoreError>,
    /// The number of rows that should have been swept; or why that is unknown.
    pub overdue: Result<u64, StoreError>,
    /// The stored key pairs; or why they are unknown.
    pub keys: Result<Vec<StoredKey>, StoreError>,
    /// The last change of the roll-out, if there was one; or why that is unknown.
    pub rollout: Result<Option<RolloutChange>, StoreError>,
}

/// Inspects the database.
pub async fn database(config: &Config, database: &dyn Inspect, clock: &dyn Clock) -> Database {
    let place = database.place();
    if matches!(&config.database, DatabaseUrl::Sqlite(path) if !path.exists()) {
        return Database::Missing(place);
    }
    let seen = match facts(place.clone(), database, clock).await {
        Ok(facts) => Database::Reached(Box::new(facts)),
        Err(why) => Database::Unreachable(place, why),
    };
    database.close().await;
    seen
}

async fn facts(
    place: Place,
    database: &dyn Inspect,
    clock: &dyn Clock,
) -> Result<DatabaseFacts, StoreError> {
    // The first statement also opens the connection, so it is not measured.
    let mut status = database.status().await?;
    let (mut round_trip, mut offset) = (Duration::MAX, None);
    for _ in 0..SAMPLES {
        let (asked, began) = (clock.now(), Instant::now());
        let answer = database.status().await?;
        let took = began.elapsed();
        if took < round_trip {
            offset = answer.now.map(|there| ahead(there, asked + took / 2));
            (round_trip, status) = (took, answer);
        }
    }
    let due_before = clock.now() - SWEEP_OVERDUE;
    Ok(DatabaseFacts {
        place,
        round_trip,
        status,
        offset,
        pooled: database.is_pooled(),
        schema: database.schema().await,
        foreign_objects: database.foreign_objects().await,
        privileges: database.privileges().await,
        overdue: database.overdue(due_before, MAX_OVERDUE).await,
        keys: database.stored_keys().await,
        rollout: database.rollout_change().await,
    })
}

const fn ahead(there: Timestamp, here: Timestamp) -> i64 {
    there.as_micros().saturating_sub(here.as_micros())
}

/// Reads the table of legacy sessions.
pub async fn legacy(
    config: &Config,
    rows: Option<&dyn LegacyRows>,
) -> Option<Result<LegacySample, StoreError>> {
    let (settings, rows) = (config.legacy.as_ref()?, rows?);
    Some(LegacySample::read(rows, &settings.table).await)
}

/// Existing files and folders that only their owner should access.
#[derive(Debug, Default)]
pub struct Files {
    /// Each path with its mode bits.
    pub modes: Vec<(PathBuf, u32)>,
}

/// Reads the modes of the files.
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
