//! Logins of users who may have a limited number of sessions.
//!
//! 1. Lock the users, so that no other login of theirs runs until this transaction ends.
//! 2. Insert the sessions.
//! 3. Read which of them were stored: a request key may have been taken.
//! 4. Revoke the sessions that exceed the bound. The statement begins after the lock was granted, so
//!    it sees the sessions of the logins that held the lock before.
//! 5. Unlock the users.
//!
//! A login without a bound is one statement ([`super::statements::insert`]), and faster.

use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use sqlx::types::time::OffsetDateTime;
use uuid::Uuid;

use super::client::{Client, Statement, settle};
use super::error::Failure;
use super::statements::{self, moment};
use super::{sql, user_sql};
use crate::store::Open;
use crate::store::rows::SessionBound;

/// The rows of the ids that were inserted, and those of the sessions that were revoked.
type Done = (Vec<PgRow>, Vec<PgRow>);

/// Inserts sessions, and revokes those that exceed the bound.
///
/// Its statements are never prepared by name, like those of a purge.
pub(super) async fn insert(
    client: &Client,
    opens: &[Open],
    bound: SessionBound,
) -> Result<Done, Failure> {
    let mut sorted: Vec<&Open> = opens.iter().collect();
    sorted.sort_by_key(|open| open.request.as_ref().map(|request| &request.key));
    let insert = statements::insert(&sorted)?;
    let moments = (moment(bound.now)?, moment(bound.now + bound.retention)?);
    let mut connection = client.acquire().await?;
    let done = run(client, &mut connection, opens, insert, bound.most, moments).await;
    settle(connection, done)
}

async fn run(
    client: &Client,
    connection: &mut PgConnection,
    opens: &[Open],
    insert: Statement,
    most: u32,
    (now, until): (OffsetDateTime, OffsetDateTime),
) -> Result<Done, sqlx::Error> {
    let users: Vec<&str> = opens.iter().map(|open| open.session.user_id.as_str()).collect();
    let ids: Vec<Uuid> = opens.iter().map(|open| open.session.id.as_uuid()).collect();
    let mut transaction = client.begin(connection).await?;
    let lock = sqlx::query(user_sql::LOCK_LOGINS).bind(users.as_slice()).persistent(false);
    lock.execute(&mut *transaction).await?;
    insert.persistent(false).execute(&mut *transaction).await?;
    let stored = sqlx::query(sql::STORED).bind(ids.as_slice()).persistent(false);
    let inserted = stored.fetch_all(&mut *transaction).await?;
    let evict = sqlx::query(user_sql::EVICT)
        .bind(users.as_slice())
        .bind(ids.as_slice())
        .bind(now)
        .bind(i64::from(most))
        .bind(until)
        .persistent(false);
    let evicted = evict.fetch_all(&mut *transaction).await?;
    let unlock = sqlx::query(user_sql::UNLOCK_LOGINS).bind(users.as_slice()).persistent(false);
    unlock.execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok((inserted, evicted))
}
