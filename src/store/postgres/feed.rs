//! Reads the revocation feed.

use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::client::{Client, RetryMode};
use super::error::Kind;
use super::rows::{decoding, timestamp};
use super::{sql, statements};
use crate::clock::Timestamp;
use crate::store::columns::{self, undecodable};
use crate::store::rows::{FeedPage, Position};
use crate::store::{StoreError, rows};

/// Reads the feed with the statement that this database supports.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Whether the database hides running transactions.
    without_activity: AtomicBool,
}

impl Reading {
    /// Reads a page.
    pub(super) async fn read(
        &self,
        client: &Client,
        after: Position,
        now: Timestamp,
        limit: u32,
    ) -> Result<FeedPage, StoreError> {
        let once = || async {
            let build = |sql| move || statements::feed(sql, after, now, limit);
            if !self.without_activity.load(Ordering::Relaxed) {
                match client.fetch_once(build(sql::FEED)).await {
                    Err(failure) if failure.kind == Kind::Refused => {}
                    fetched => return fetched,
                }
            }
            let fetched = client.fetch_once(build(sql::FEED_WITHOUT_ACTIVITY)).await?;
            if !self.without_activity.swap(true, Ordering::Relaxed) {
                let seconds = rows::OVERLAP.as_secs();
                tracing::warn!(
                    seconds,
                    "the database hides its running transactions: a revocation that takes longer \
                     to commit than this overlap is only found by the next full read"
                );
            }
            Ok(fetched)
        };
        page(&client.attempt(RetryMode::Reading, once).await?.rows)
    }
}

fn page(rows: &[PgRow]) -> Result<FeedPage, StoreError> {
    let first = rows.first().ok_or_else(|| undecodable("the feed's clock"))?;
    let clock = |column: usize| first.try_get(column).map(timestamp).map_err(decoding);
    let (as_of, horizon) = (clock(0)?, clock(1)?);
    let mut recorded = Vec::with_capacity(rows.len());
    for row in rows {
        // An empty page is one row without a session.
        if let Some(session_id) = row.try_get::<Option<Uuid>, _>(2).map_err(decoding)? {
            let columns = read(row, session_id).map_err(decoding)?;
            recorded.push(columns.into_recorded()?);
        }
    }
    Ok(FeedPage { recorded, as_of, horizon })
}

fn read(row: &PgRow, session_id: Uuid) -> Result<columns::RevocationColumns, sqlx::Error> {
    Ok(columns::RevocationColumns {
        session_id: session_id.into(),
        user_id: row.try_get(3)?,
        revoked_at: timestamp(row.try_get(4)?),
        expires_at: timestamp(row.try_get(5)?),
        reason: row.try_get(6)?,
        recorded_at: timestamp(row.try_get(7)?),
        epoch: row.try_get(8)?,
    })
}
