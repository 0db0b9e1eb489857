//! Opens the database that the settings name.

use std::sync::Arc;

use super::{AppError, legacy};
use crate::config::Config;
use crate::store::url::DatabaseUrl;
use crate::store::{LegacyRows, Notifier, Rows, postgres, sqlite};

/// An open database.
pub(super) struct Database {
    pub(super) rows: Arc<dyn Rows>,
    /// The database's own notifications to other replicas, if it has any.
    pub(super) signal: Option<Arc<dyn Notifier>>,
    /// The same database, in which legacy sessions may be kept.
    pub(super) legacy: Arc<dyn LegacyRows>,
}

/// Opens the database that the settings name. Does not wait until it is reachable.
///
/// # Errors
/// Returns [`AppError::Store`] if the file cannot be opened and [`AppError::Url`] if the URL is
/// invalid.
pub async fn open_rows(config: &Config) -> Result<Arc<dyn Rows>, AppError> {
    Ok(open_database(config).await?.rows)
}

pub(super) async fn open_database(config: &Config) -> Result<Database, AppError> {
    Ok(match &config.database {
        DatabaseUrl::Sqlite(path) => {
            let legacy = Arc::new(sqlite::SqliteLegacy::new(path));
            Database { rows: sqlite::open(path).await?, signal: None, legacy }
        }
        DatabaseUrl::Postgres(url) => {
            let rows = connect(config, url)?;
            // A legacy table is in the role's own schema, unless its name says otherwise.
            let legacy = match config.database_schema {
                Some(_) if config.legacy.is_some() => legacy::connect(config, url)?,
                _ => rows.clone(),
            };
            tokio::spawn({
                let rows = Arc::clone(&rows);
                async move { rows.follow_url_file().await }
            });
            Database { rows: rows.clone(), signal: Some(rows), legacy }
        }
    })
}

pub(super) fn connect(config: &Config, url: &str) -> Result<Arc<postgres::PgRows>, AppError> {
    let options = postgres::Options {
        url_file: config.database_url_file.clone(),
        schema: config.database_schema.clone(),
        ..postgres::Options::new(url)
    };
    postgres::connect(options).map_err(|error| AppError::Url("DATABASE_URL", error.into()))
}

/// Claims an SQLite file, so that no second service uses it.
pub(super) fn claim(config: &Config) -> Result<Option<sqlite::FileClaim>, AppError> {
    let DatabaseUrl::Sqlite(path) = &config.database else { return Ok(None) };
    Ok(Some(sqlite::claim(path)?))
}
