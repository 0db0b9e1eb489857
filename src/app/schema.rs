//! The database's schema at the start: migrated in development, insisted on in production.

use std::sync::Arc;
use std::time::Duration;

use super::AppError;
use crate::config::Environment;
use crate::store::rows::Schema;
use crate::store::{Rows, StoreError};

const RETRY: Duration = Duration::from_secs(1);

/// Whether this version may work on that schema.
pub(super) const fn is_known(schema: Schema) -> bool {
    matches!(schema, Schema::Current | Schema::Ahead { expanded_only: true, .. })
}

/// Makes sure of the schema. A database out of reach is no reason not to start: the process is
/// not ready until it is back.
pub(super) async fn prepare(rows: &dyn Rows, environment: Environment) -> Result<(), AppError> {
    let schema = match environment {
        Environment::Development => rows.migrate().await,
        Environment::Production => rows.check().await,
    };
    match schema {
        Ok(schema) if is_known(schema) => Ok(()),
        Ok(Schema::Behind { applied, known }) => Err(AppError::Schema(format!(
            "the database's schema is at {applied}, this version needs {known}: \
             run `token-authority migrate`"
        ))),
        Ok(schema) => Err(AppError::Schema(format!(
            "the database was migrated by a newer version that this one cannot work beside: {schema:?}"
        ))),
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
