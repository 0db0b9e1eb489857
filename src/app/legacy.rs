//! Connects the legacy sessions: the database of their table and the key of their cookies.

use std::sync::Arc;

use super::AppError;
use crate::authority::Legacy;
use crate::config::{Config, LegacySettings};
use crate::store::inspect::{Inspect, Place};
use crate::store::legacy::LegacyTable;
use crate::store::url::DatabaseUrl;
use crate::store::{LegacyRows, LegacySample, LegacySessions, postgres, sqlite};
use crate::token::legacy::CookieKey;

/// The size of the pool for a separate legacy database. It serves look-ups of single tokens only.
const MAX_CONNECTIONS: u32 = 4;

/// Opens the legacy sessions. `own` is our own database, which may hold their table.
pub(super) fn open(config: &Config, own: &Arc<dyn LegacyRows>) -> Result<Option<Legacy>, AppError> {
    let Some(settings) = &config.legacy else { return Ok(None) };
    let rows = rows(config, settings, own)?;
    let key = config.auth_server_secret.as_ref().map(|secret| CookieKey::new(secret.expose()));
    if key.is_none() {
        tracing::warn!(
            "BETTER_AUTH_SECRET is not set: signed cookies of legacy sessions are refused, only plain \
             tokens are accepted"
        );
    }
    tokio::spawn(report(Arc::clone(&rows), settings.table.clone()));
    let sessions = LegacySessions::new(rows, settings.table.clone());
    Ok(Some(Legacy { sessions, key }))
}

/// Logs what is wrong with the table. The service starts nevertheless, because JWTs need no table, and
/// the auth-server may still create it.
async fn report(rows: Arc<dyn LegacyRows>, table: LegacyTable) {
    match LegacySample::read(&*rows, &table).await {
        Ok(sample) => {
            if let Some(problem) = sample.problem(&table) {
                tracing::warn!("{problem}");
            }
        }
        Err(error) => {
            let table = table.table.quoted();
            tracing::error!(%error, "the table of legacy sessions {table} cannot be read");
        }
    }
}

/// Returns the database that holds the table.
fn rows(
    config: &Config,
    settings: &LegacySettings,
    own: &Arc<dyn LegacyRows>,
) -> Result<Arc<dyn LegacyRows>, AppError> {
    Ok(match &settings.database {
        None => Arc::clone(own),
        Some(DatabaseUrl::Sqlite(path)) => Arc::new(sqlite::SqliteLegacy::new(path)),
        Some(DatabaseUrl::Postgres(url)) => {
            let rows = connect(config, url)?;
            tokio::spawn({
                let rows = Arc::clone(&rows);
                async move { rows.follow_url_file().await }
            });
            rows
        }
    })
}

/// Returns the database that holds the table, for inspection only.
pub(super) fn inspect(
    config: &Config,
    settings: &LegacySettings,
) -> Result<Arc<dyn LegacyRows>, AppError> {
    Ok(match settings.database.as_ref().unwrap_or(&config.database) {
        DatabaseUrl::Sqlite(path) => Arc::new(sqlite::SqliteLegacy::to_inspect(path)),
        DatabaseUrl::Postgres(url) => connect(config, url)?,
    })
}

/// Returns the place of a separate Postgres database.
pub(super) fn place(config: &Config) -> Result<Option<Place>, AppError> {
    let database = config.legacy.as_ref().and_then(|settings| settings.database.as_ref());
    let Some(DatabaseUrl::Postgres(url)) = database else { return Ok(None) };
    Ok(Some(Inspect::place(&*connect(config, url)?)))
}

/// Connects to the Postgres at this URL: `LEGACY_DATABASE_URL`, or our own if that is not set.
pub(super) fn connect(config: &Config, url: &str) -> Result<Arc<postgres::PgRows>, AppError> {
    let own = config.legacy.as_ref().filter(|settings| settings.database.is_some());
    let (setting, url_file) = match own {
        Some(settings) => ("LEGACY_DATABASE_URL", &settings.database_url_file),
        None => ("DATABASE_URL", &config.database_url_file),
    };
    let options = postgres::Options {
        url_file: url_file.clone(),
        max_connections: MAX_CONNECTIONS,
        ..postgres::Options::new(url)
    };
    postgres::connect(options).map_err(|error| AppError::Url(setting, error.into()))
}
