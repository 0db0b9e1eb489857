//! Sessions that were there before, joined: where their table is, and how their cookies are signed.

use std::sync::Arc;

use super::AppError;
use crate::authority::Legacy;
use crate::config::{Config, LegacySettings};
use crate::store::inspect::{Inspect, Place};
use crate::store::url::DatabaseUrl;
use crate::store::{LegacyRows, LegacySessions, postgres, sqlite};
use crate::token::legacy::CookieKey;

/// Connections to another database than our own.
const CONNECTIONS: u32 = 4;

/// What the settings ask for. `own` is our own database, as far as such a table is in it.
pub(super) fn open(config: &Config, own: &Arc<dyn LegacyRows>) -> Result<Option<Legacy>, AppError> {
    let Some(settings) = &config.legacy else { return Ok(None) };
    let rows = rows(settings, own)?;
    let key = config.auth_server_secret.as_ref().map(|secret| CookieKey::new(secret.expose()));
    if key.is_none() {
        tracing::warn!(
            "BETTER_AUTH_SECRET is not set: of legacy sessions only the plain token is accepted"
        );
    }
    let sessions = LegacySessions::new(rows, settings.table.clone());
    Ok(Some(Legacy { sessions, key }))
}

/// The database that holds the table.
fn rows(
    settings: &LegacySettings,
    own: &Arc<dyn LegacyRows>,
) -> Result<Arc<dyn LegacyRows>, AppError> {
    Ok(match &settings.database {
        None => Arc::clone(own),
        Some(DatabaseUrl::Sqlite(path)) => Arc::new(sqlite::SqliteLegacy::new(path)),
        Some(DatabaseUrl::Postgres(url)) => connect(url)?,
    })
}

/// The database that holds the table, to be looked at only.
pub(super) fn inspect(
    config: &Config,
    settings: &LegacySettings,
) -> Result<Arc<dyn LegacyRows>, AppError> {
    Ok(match settings.database.as_ref().unwrap_or(&config.database) {
        DatabaseUrl::Sqlite(path) => Arc::new(sqlite::SqliteLegacy::to_inspect(path)),
        DatabaseUrl::Postgres(url) => connect(url)?,
    })
}

/// Where that database is, if it is another one than ours, and not a file.
pub(super) fn place(settings: &LegacySettings) -> Result<Option<Place>, AppError> {
    let Some(DatabaseUrl::Postgres(url)) = &settings.database else { return Ok(None) };
    Ok(Some(Inspect::place(&*connect(url)?)))
}

fn connect(url: &str) -> Result<Arc<postgres::PgRows>, AppError> {
    let options = postgres::Options { max_connections: CONNECTIONS, ..postgres::Options::new(url) };
    postgres::connect(options).map_err(|error| AppError::Url("LEGACY_DATABASE_URL", error.into()))
}
