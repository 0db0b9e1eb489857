//! [`EventRows`] on Postgres.

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::PgRows;
use super::client::RetryMode;
use super::rows::{decoding, timestamp};
use super::statements::moment;
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::columns::EventColumns;
use crate::store::events::{EventPosition, EventRows, EventsOf, events_of};
use crate::token::event::SessionEvent;
use crate::token::id::SessionId;

const OF_SESSION: &str = events_of!("id", "session_id", "$2::timestamptz IS NULL");
const OF_USER: &str = events_of!("user_id", "user_id", "$2::timestamptz IS NULL");

const PURGE: &str = "
    WITH due AS MATERIALIZED (
        SELECT session_id, happened_at, kind FROM session_events WHERE happened_at < $1
        ORDER BY happened_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    DELETE FROM session_events AS e USING due
    WHERE e.session_id = due.session_id AND e.happened_at = due.happened_at
      AND e.kind = due.kind";

#[async_trait]
impl EventRows for PgRows {
    async fn events(
        &self,
        of: &EventsOf,
        before: Option<EventPosition>,
        limit: u32,
    ) -> Result<Vec<SessionEvent>, StoreError> {
        let build = || {
            let asked = match of {
                EventsOf::Session(id) => sqlx::query(OF_SESSION).bind(id.as_uuid()),
                EventsOf::User(id) => sqlx::query(OF_USER).bind(id.as_str().to_owned()),
            };
            Ok(asked
                .bind(before.map(|before| moment(before.at)).transpose()?)
                .bind(before.map(|before| before.session_id.as_uuid()))
                .bind(before.map(|before| before.kind.as_str()))
                .bind(i64::from(limit)))
        };
        let rows = self.client.fetch(RetryMode::Reading, build).await?;
        rows.iter().map(|row| read(row).map_err(decoding)?.into_event()).collect()
    }

    async fn purge_events(
        &self,
        happened_before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let purge = || Ok(sqlx::query(PURGE).bind(moment(happened_before)?).bind(i64::from(limit)));
        self.client.execute(purge).await
    }
}

fn read(row: &PgRow) -> Result<EventColumns, sqlx::Error> {
    Ok(EventColumns {
        session_id: SessionId::from(row.try_get::<Uuid, _>(0)?),
        user_id: row.try_get(1)?,
        happened_at: timestamp(row.try_get(2)?),
        kind: row.try_get(3)?,
        actor: row.try_get(4)?,
        detail: row.try_get(5)?,
    })
}
