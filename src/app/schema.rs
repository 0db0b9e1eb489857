//! The database's schema at the start: migrated in development, insisted on in production.

use std::sync::Arc;
use std::time::Duration;

use super::AppError;
use crate::config::{Config, Environment};
use crate::store::rows::Schema;
use crate::store::{Rows, StoreError};

const RETRY: Duration = Duration::from_secs(1);

/// Whether this version may work on that schema.
pub(super) fn is_known(schema: Schema) -> bool {
    insist(schema).is_ok()
}

/// Refuses a schema that this version may not work on.
fn insist(schema: Schema) -> Result<(), AppError> {
    Err(AppError::Schema(match schema {
        Schema::Current | Schema::Ahead { expanded_only: true, .. } => return Ok(()),
        Schema::Behind { applied, known } => format!(
            "the database's schema is at {applied}, this version needs {known}: \
             run `token-authority migrate`"
        ),
        Schema::Ahead { applied, known, .. } => format!(
            "the database's schema is at {applied}: it was migrated by a newer version, and this \
             one, which knows {known}, cannot work beside that: run the newer version"
        ),
    }))
}

/// Brings the schema up to date. What there is to say of it.
///
/// # Errors
/// Where that fails, or a newer version has been there, beside which this one cannot work.
pub async fn migrate(config: &Config) -> Result<String, AppError> {
    let rows = super::open_rows(config).await?;
    let migrated = rows.migrate().await;
    rows.close().await;
    let schema = migrated?;
    insist(schema)?;
    Ok(match schema {
        Schema::Ahead { applied, known, .. } => format!(
            "the database's schema is at {applied}, newer than this version's {known}, which can \
             work beside it"
        ),
        Schema::Current | Schema::Behind { .. } => "the database's schema is up to date".into(),
    })
}

/// Makes sure of the schema. A database out of reach is no reason not to start: the process is
/// not ready until it is back.
pub(super) async fn prepare(rows: &dyn Rows, environment: Environment) -> Result<(), AppError> {
    let schema = match environment {
        Environment::Development => rows.migrate().await,
        Environment::Production => rows.check().await,
    };
    match schema {
        Ok(schema) => insist(schema),
        Err(error @ StoreError::Unavailable(_)) => {
            tracing::warn!(%error, "starting without the database");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// In development, migrates as soon as the database is there. Done at once where it was there all
/// along.
pub(super) async fn keep_trying(rows: Arc<dyn Rows>, environment: Environment) {
    while environment == Environment::Development && rows.migrate().await.is_err() {
        tokio::time::sleep(RETRY).await;
    }
}
