//! The erasure of a user.
//!
//! 1. Revoke the user's sessions, and replace the user's id in them. This waits for statements that
//!    change these sessions at the same time.
//! 2. Remove the user from the revocation feed and from the history. The statement begins after those
//!    others have committed, so it sees the rows that they added. In one statement with the first step,
//!    it would not see them, and they would keep the user's id.

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use sqlx::types::time::OffsetDateTime;

use super::client::{Client, settle};
use super::error::Failure;
use super::statements::moment;
use super::user_sql;
use crate::store::Audit;
use crate::token::id::UserId;

/// Erases a user, and returns the rows of the user's sessions.
///
/// Its statements are never prepared by name, like those of a purge.
pub(super) async fn erase(
    client: &Client,
    user_id: &UserId,
    audit: Audit<'_>,
    retention: Duration,
) -> Result<Vec<PgRow>, Failure> {
    let moments = (moment(audit.at)?, moment(audit.at + retention)?);
    let mut connection = client.acquire().await?;
    let erased = run(client, &mut connection, user_id.as_str(), audit.actor, moments).await;
    settle(connection, erased)
}

async fn run(
    client: &Client,
    connection: &mut PgConnection,
    user_id: &str,
    actor: &str,
    (now, until): (OffsetDateTime, OffsetDateTime),
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut transaction = client.begin(connection).await?;
    let erase = sqlx::query(user_sql::ERASE_USER)
        .bind(user_id)
        .bind(now)
        .bind(until)
        .bind(actor)
        .persistent(false);
    let erased = erase.fetch_all(&mut *transaction).await?;
    let forget = sqlx::query(user_sql::FORGET_USER).bind(user_id).persistent(false);
    forget.execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(erased)
}
