//! [`EventRows`] on SQLite.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};

use super::SqliteRows;
use super::error::store_error;
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::columns::EventColumns;
use crate::store::events::{EventPosition, EventRows, EventsOf, events_of};
use crate::token::event::SessionEvent;
use crate::token::id::UserId;

const OF_SESSION: &str = events_of!("id", "session_id", "$2 IS NULL");
const OF_USER: &str = events_of!("user_id", "user_id", "$2 IS NULL");

const APPEND: &str = "
    INSERT INTO session_events (session_id, happened_at, kind, user_id, actor, detail)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (session_id, happened_at, kind) DO NOTHING";

const PURGE: &str = "
    DELETE FROM session_events
    WHERE rowid IN (SELECT rowid FROM session_events WHERE happened_at < ?1
                    ORDER BY happened_at LIMIT ?2)";

#[async_trait]
impl EventRows for SqliteRows {
    async fn events(
        &self,
        of: &EventsOf,
        before: Option<EventPosition>,
        limit: u32,
    ) -> Result<Vec<SessionEvent>, StoreError> {
        let asked = match of {
            EventsOf::Session(id) => sqlx::query(OF_SESSION).bind(id.to_string()),
            EventsOf::User(id) => sqlx::query(OF_USER).bind(id.as_str().to_owned()),
        };
        let statement = asked
            .bind(before.map(|before| before.at.as_micros()))
            .bind(before.map(|before| before.session_id.to_string()))
            .bind(before.map(|before| before.kind.as_str()))
            .bind(limit);
        let rows = self.file.fetch(statement).await?;
        let event = |row: &SqliteRow| read(row).map_err(|error| store_error(&error))?.into_event();
        rows.iter().map(event).collect()
    }

    async fn purge_events(
        &self,
        happened_before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let statement = sqlx::query(PURGE).bind(happened_before.as_micros()).bind(limit);
        self.file
            .in_time(async {
                let mut writing = self.file.begin().await?;
                let purged = statement.execute(writing.connection()).await;
                Ok(writing.end(purged).await?.rows_affected())
            })
            .await
    }
}

/// Adds an event inside the caller's transaction.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    event: &SessionEvent,
) -> Result<(), sqlx::Error> {
    let id = event.session_id;
    let user_id = event.user_id.clone().unwrap_or_else(|| UserId::erased(id));
    sqlx::query(APPEND)
        .bind(id.to_string())
        .bind(event.at.as_micros())
        .bind(event.what.kind().as_str())
        .bind(user_id.as_str().to_owned())
        .bind(event.actor.clone())
        .bind(event.what.detail())
        .execute(connection)
        .await
        .map(drop)
}

fn read(row: &SqliteRow) -> Result<EventColumns, sqlx::Error> {
    let id: String = row.try_get(0)?;
    Ok(EventColumns {
        session_id: id.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        user_id: row.try_get(1)?,
        happened_at: Timestamp::from_micros(row.try_get(2)?),
        kind: row.try_get(3)?,
        actor: row.try_get(4)?,
        detail: row.try_get(5)?,
    })
}
