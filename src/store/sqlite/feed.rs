//! The revocation feed: adding what a statement revoked, and reading a page.

use std::time::Duration;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::decode::session;
use super::error::store_error;
use super::file::Statement;
use super::{events, write};
use crate::clock::Timestamp;
use crate::store::columns::{self, RevocationColumns};
use crate::store::rows::FeedPage;
use crate::store::{Audit, StoreError};
use crate::token::event::{Happened, SessionEvent};
use crate::token::session::Session;

/// Runs a statement that revokes sessions, and adds what it revoked to the feed and to the history.
pub(super) async fn revoke_and_record(
    connection: &mut SqliteConnection,
    statement: Statement,
    audit: Audit<'_>,
    retention: Duration,
) -> Result<Vec<Session>, sqlx::Error> {
    let rows = statement.fetch_all(&mut *connection).await?;
    let revoked: Result<Vec<Session>, StoreError> = rows.iter().map(session).collect();
    let revoked = revoked.map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    for revocation in revoked.iter().filter_map(|session| session.revocation(retention)) {
        write::append_revocation(connection, &revocation).await?;
    }
    for session in &revoked {
        // An erasure returns sessions that had ended before, too.
        if let Some(ended) = session.revoked.filter(|ended| ended.at == audit.at) {
            let event = SessionEvent {
                session_id: session.id,
                user_id: session.owner().cloned(),
                at: ended.at,
                what: Happened::Revoked(ended.reason),
                actor: audit.actor.to_owned(),
            };
            events::append(connection, &event).await?;
        }
    }
    Ok(revoked)
}

pub(super) fn page(rows: &[SqliteRow]) -> Result<FeedPage, StoreError> {
    let decoding = |error| store_error(&error);
    let first = rows.first().ok_or_else(|| columns::undecodable("the feed's clock"))?;
    let as_of = Timestamp::from_micros(first.try_get(0).map_err(decoding)?);
    let horizon = Timestamp::from_micros(first.try_get(1).map_err(decoding)?);
    let mut recorded = Vec::with_capacity(rows.len());
    for row in rows {
        // An empty page is one row without a session.
        if let Some(id) = row.try_get::<Option<String>, _>(2).map_err(decoding)? {
            recorded.push(read_revocation(row, &id).map_err(decoding)?.into_recorded()?);
        }
    }
    Ok(FeedPage { recorded, as_of, horizon })
}

fn read_revocation(row: &SqliteRow, id: &str) -> Result<RevocationColumns, sqlx::Error> {
    let timestamp = Timestamp::from_micros;
    Ok(RevocationColumns {
        session_id: id.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        user_id: row.try_get(3)?,
        revoked_at: timestamp(row.try_get(4)?),
        expires_at: timestamp(row.try_get(5)?),
        reason: row.try_get(6)?,
        recorded_at: timestamp(row.try_get(7)?),
        epoch: row.try_get(8)?,
    })
}
