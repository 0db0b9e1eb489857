//! The batches that only read sessions, or only record receipts.

use std::sync::Arc;

use super::rows::{Row, Rows};
use super::{Receipt, StoreError};
use crate::token::id::SessionId;
use crate::token::session::Session;

pub(super) async fn load(
    rows: Arc<dyn Rows>,
    batch: Vec<SessionId>,
) -> Vec<Result<Option<Session>, StoreError>> {
    let session = |row: Option<Row>| Ok(row.map(|row| row.session));
    match rows.load(&batch).await {
        Ok(loaded) => loaded.into_iter().map(session).collect(),
        // One row cannot be read. Retry one by one, so that only that session fails.
        Err(StoreError::Inconsistent(_)) if batch.len() > 1 => {
            let mut results = Vec::with_capacity(batch.len());
            for one in batch {
                let loaded = rows.load(&[one]).await;
                results.push(loaded.map(|mut row| row.pop().flatten().map(|row| row.session)));
            }
            results
        }
        Err(error) => batch.iter().map(|_| Err(error.clone())).collect(),
    }
}

pub(super) async fn record_receipts(
    rows: Arc<dyn Rows>,
    batch: Vec<Receipt>,
) -> Vec<Result<(), StoreError>> {
    if let Err(error) = rows.record_receipts(&batch).await {
        tracing::warn!(%error, receipts = batch.len(), "receipts were lost");
    }
    batch.iter().map(|_| Ok(())).collect()
}
