//! The database's schema at the start: migrated in development, required in production.

use std::sync::Arc;
use std::time::Duration;

use super::AppError;
use crate::config::{Config, Environment};
use crate::store::rows::Schema;
use crate::store::{Rows, StoreError};

/// How often development retries the migration while the database is unreachable.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The database's schema does not fit this version.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The schema is older than this version needs.
    #[error(
        "the database's schema is at {applied}, this version needs {known}: run `token-authority \
         migrate`"
    )]
    Behind {
        /// The last migration of the database.
        applied: i64,
        /// The last migration of this version.
        known: i64,
    },
    /// A newer version changed the schema in a way that this version cannot work with.
    #[error(
        "the database's schema is at {applied}: it was migrated by a newer version, and this one, \
         which knows {known}, cannot work with it: run the newer version"
    )]
    Ahead {
        /// The last migration of the database.
        applied: i64,
        /// The last migration of this version.
        known: i64,
    },
}

/// Returns whether this version can work with that schema.
pub(super) fn is_known(schema: Schema) -> bool {
    require_known(schema).is_ok()
}

const fn require_known(schema: Schema) -> Result<(), SchemaError> {
    Err(match schema {
        Schema::Current | Schema::Ahead { expanded_only: true, .. } => return Ok(()),
        Schema::Behind { applied, known } => SchemaError::Behind { applied, known },
        Schema::Ahead { applied, known, .. } => SchemaError::Ahead { applied, known },
    })
}

/// Brings the schema up to date. Returns a sentence about the result.
///
/// # Errors
/// Returns [`AppError`] if the migration fails, or if a newer version has changed the schema in a way
/// that this version cannot work with.
pub async fn migrate(config: &Config) -> Result<String, AppError> {
    let rows = super::open_rows(config).await?;
    let migrated = rows.migrate().await;
    rows.close().await;
    let schema = migrated?;
    require_known(schema)?;
    Ok(match schema {
        Schema::Ahead { applied, known, .. } => format!(
            "the database's schema is at {applied}, newer than this version's {known}, which can \
             work with it"
        ),
        Schema::Current | Schema::Behind { .. } => "the database's schema is up to date".into(),
    })
}

/// Migrates or checks the schema. If the database is not reachable, the service starts anyway and is
/// not ready until the database is back.
pub(super) async fn prepare(rows: &dyn Rows, environment: Environment) -> Result<(), AppError> {
    let schema = match environment {
        Environment::Development => rows.migrate().await,
        Environment::Production => rows.check().await,
    };
    match schema {
        Ok(schema) => Ok(require_known(schema)?),
        Err(error @ StoreError::Unavailable(_)) => {
            tracing::warn!(%error, "starting without the database");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// In development, migrates as soon as the database is reachable. Returns at once if it is migrated.
pub(super) async fn keep_trying(rows: Arc<dyn Rows>, environment: Environment) {
    while environment == Environment::Development && rows.migrate().await.is_err() {
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}
