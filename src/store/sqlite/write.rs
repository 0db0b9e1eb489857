//! Writes inside the caller's transaction. One statement writes many rows, because each statement
//! goes to SQLite's own thread and back.

use std::collections::HashSet;

use sqlx::query_builder::Separated;
use sqlx::sqlite::SqliteRow;
use sqlx::{Executor as _, QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::{events, sql};
use crate::clock::{Timestamp, micros};
use crate::store::columns::{DeviceColumns, exact_reason, lifetimes, reason, shown};
use crate::store::rows::{CompareAndSwap, OptimisticRotation, Purged};
use crate::store::{Open, Receipt};
use crate::token::id::UserId;
use crate::token::refresh::TokenHash;
use crate::token::session::{Refused, Revocation, Session};

/// A row of a statement for many rows.
type Row<'a> = Separated<'a, Sqlite, &'static str>;

/// The maximum number of rows in a statement. All sizes are powers of two, which keeps the number
/// of prepared statements small.
const MAX_ROWS: usize = 64;

/// Inserts sessions. `granted` holds the sessions' grants in the same order.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    opens: &[Open],
    granted: Vec<String>,
) -> Result<Vec<bool>, sqlx::Error> {
    let mut inserted = HashSet::with_capacity(opens.len());
    let rows: Vec<_> = opens.iter().zip(granted).collect();
    for part in parts(&rows) {
        let mut statement = QueryBuilder::new(sql::INSERT);
        statement.push_values(part, |row, (open, granted)| bind_insert(row, open, granted));
        statement.push(sql::UNLESS_TAKEN);
        for row in statement.build().fetch_all(&mut *connection).await? {
            inserted.insert(row.try_get::<String, _>(0)?);
        }
    }
    Ok(opens.iter().map(|open| inserted.contains(&open.session.id.to_string())).collect())
}

fn bind_insert(mut row: Row<'_>, open: &Open, granted: &str) {
    let session = &open.session;
    let (lineage, client) = (&session.lineage, &session.client);
    let request = open.request.as_ref();
    let (refresh_seconds, max_seconds) = lifetimes(session);
    row.push_bind(session.id.to_string())
        .push_bind(session.user_id.as_str().to_owned())
        .push_bind(lineage.current.to_hex())
        .push_bind(session.expires_at.as_micros())
        .push_bind(lineage.predecessor.map(TokenHash::to_hex))
        .push_bind(i64::from(lineage.generation.number()))
        .push_bind(sealed(session))
        .push_bind(lineage.key.as_bytes().to_vec())
        .push_bind(lineage.handed_out_at.as_micros())
        .push_bind(lineage.proven_at.map(Timestamp::as_micros))
        .push_bind(session.created_at.as_micros())
        .push_bind(session.last_used_at.as_micros())
        .push_bind(session.revoked.map(|revoked| revoked.at.as_micros()))
        .push_bind(reason(session))
        .push_bind(granted.to_owned())
        .push_bind(client.user_agent().to_owned())
        .push_bind(client.ip_address().to_owned())
        .push_bind(client.device_name().to_owned())
        .push_bind(request.map(|request| request.key.clone()))
        .push_bind(request.map(|request| request.sealed.as_bytes().to_vec()))
        .push("0")
        // A sweeper examines the session when it ends.
        .push_bind(session.expires_at.as_micros())
        .push_bind(session.auth_method.as_str())
        .push_bind(session.access_ends_at.as_micros())
        .push_bind(refresh_seconds)
        .push_bind(max_seconds)
        .push_bind(session.persistent);
}

pub(super) async fn swap(
    connection: &mut SqliteConnection,
    swaps: &[CompareAndSwap],
    granted: Vec<Option<String>>,
) -> Result<Vec<bool>, sqlx::Error> {
    let mut swapped = HashSet::with_capacity(swaps.len());
    let rows: Vec<_> = swaps.iter().zip(granted).collect();
    for part in parts(&rows) {
        let mut statement = QueryBuilder::new(sql::NEW_STATES);
        statement
            .push_values(part, |row, (swap, granted)| bind_swap(row, swap, granted.as_deref()));
        statement.push(sql::SWAP);
        for row in statement.build().fetch_all(&mut *connection).await? {
            swapped.insert(row.try_get::<String, _>(0)?);
        }
    }
    let mut done = Vec::with_capacity(swaps.len());
    for swap in swaps {
        let written = swapped.contains(&swap.session.id.to_string());
        if written {
            if let Some(revocation) = &swap.revocation {
                append_revocation(connection, revocation).await?;
            }
            for event in &swap.events {
                events::append(connection, event).await?;
            }
        }
        done.push(written);
    }
    Ok(done)
}

fn bind_swap(mut row: Row<'_>, swap: &CompareAndSwap, granted: Option<&str>) {
    let session = &swap.session;
    let lineage = &session.lineage;
    let device = DeviceColumns::of(session);
    row.push_bind(session.id.to_string())
        .push_bind(swap.revision)
        .push_bind(lineage.current.to_hex())
        .push_bind(session.expires_at.as_micros())
        .push_bind(lineage.predecessor.map(TokenHash::to_hex))
        .push_bind(i64::from(lineage.generation.number()))
        .push_bind(sealed(session))
        .push_bind(lineage.handed_out_at.as_micros())
        .push_bind(lineage.proven_at.map(Timestamp::as_micros))
        .push_bind(session.last_used_at.as_micros())
        .push_bind(session.revoked.map(|revoked| revoked.at.as_micros()))
        .push_bind(reason(session))
        .push_bind(session.auth_method.as_str())
        .push_bind(session.access_ends_at.as_micros())
        .push_bind(i64::from(session.epoch.number()))
        .push_bind(granted.map(str::to_owned))
        .push_bind(lineage.set_aside.map(TokenHash::to_hex))
        .push_bind(device.key)
        .push_bind(device.thumbprint)
        .push_bind(device.algorithm)
        .push_bind(device.bound_at.map(Timestamp::as_micros))
        .push_bind(device.generation);
}

/// Rotates tokens, and returns the rows of the sessions that matched the assumption.
pub(super) async fn rotate(
    connection: &mut SqliteConnection,
    rotations: &[OptimisticRotation],
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    let mut rotated = Vec::with_capacity(rotations.len());
    for part in parts(rotations) {
        let mut statement = QueryBuilder::new(sql::ASSUMED_STATES);
        statement.push_values(part, bind_rotation).push(sql::ROTATE);
        rotated.extend(statement.build().fetch_all(&mut *connection).await?);
    }
    Ok(rotated)
}

fn bind_rotation(mut row: Row<'_>, rotation: &OptimisticRotation) {
    let optimistic = &rotation.optimistic;
    row.push_bind(rotation.session_id().to_string())
        .push_bind(optimistic.presented.to_hex())
        .push_bind(optimistic.now.as_micros())
        .push_bind(optimistic.handed_out_before.as_micros())
        .push_bind(optimistic.successor.hash().to_hex())
        .push_bind(optimistic.sealed.as_bytes().to_vec())
        .push_bind(optimistic.expires_at.as_micros())
        .push_bind(micros(optimistic.session_max_lifetime))
        .push_bind(rotation.auth_method.as_str())
        .push_bind(rotation.access_ends_at.as_micros())
        .push_bind(shown(rotation.shown));
}

/// Splits rows into parts of 64, and the remainder into smaller powers of two.
fn parts<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = MAX_ROWS.min(1 << rows.len().checked_ilog2()?);
        let (part, rest) = rows.split_at(size);
        rows = rest;
        Some(part)
    })
}

/// Adds a revocation to the feed.
pub(super) async fn append_revocation(
    connection: &mut SqliteConnection,
    revocation: &Revocation,
) -> Result<(), sqlx::Error> {
    let id = revocation.session_id;
    let expires_at = revocation.expires_at.as_micros();
    let append = match revocation.refused {
        Refused::Before(epoch) => sqlx::query(sql::APPEND_STALE_TOKENS)
            .bind(id.to_string())
            .bind(i64::from(epoch.number()))
            .bind(expires_at),
        Refused::All(reason) => {
            let user_id = revocation.user_id.clone().unwrap_or_else(|| UserId::erased(id));
            sqlx::query(sql::APPEND_REVOCATION)
                .bind(id.to_string())
                .bind(user_id.as_str().to_owned())
                .bind(revocation.revoked_at.as_micros())
                .bind(expires_at)
                .bind(reason.known_to_all())
                .bind(exact_reason(reason))
        }
    };
    append.execute(connection).await.map(drop)
}

fn sealed(session: &Session) -> Option<Vec<u8>> {
    session.lineage.sealed.as_ref().map(|sealed| sealed.as_bytes().to_vec())
}

pub(super) async fn record_receipts(
    connection: &mut SqliteConnection,
    receipts: &[Receipt],
) -> Result<u64, sqlx::Error> {
    let mut proven = 0;
    for receipt in receipts {
        let done = sqlx::query(sql::RECORD_RECEIPTS)
            .bind(receipt.session_id.to_string())
            .bind(i64::from(receipt.generation.number()))
            .bind(receipt.seen_at.as_micros())
            .execute(&mut *connection)
            .await?;
        proven += done.rows_affected();
    }
    Ok(proven)
}

/// Deletes sessions that have ended, and postpones those that were refreshed since they were last
/// examined.
pub(super) async fn purge(
    connection: &mut SqliteConnection,
    ended_before: Timestamp,
    limit: u32,
) -> Result<Purged, sqlx::Error> {
    let due = sqlx::query(sql::DUE)
        .bind(ended_before.as_micros())
        .bind(limit)
        .fetch_all(&mut *connection)
        .await?;
    let (mut ended, mut alive) = (Vec::<String>::new(), Vec::<String>::new());
    for row in &due {
        let expires_at: i64 = row.try_get(1)?;
        let group = if expires_at < ended_before.as_micros() { &mut ended } else { &mut alive };
        group.push(row.try_get(0)?);
    }
    let examined = u64::try_from(due.len()).unwrap_or(u64::MAX);
    let deleted = sqlx::query(sql::DELETE).bind(array(&ended)).execute(&mut *connection).await?;
    sqlx::query(sql::POSTPONE).bind(array(&alive)).execute(&mut *connection).await?;
    Ok(Purged { examined, deleted: deleted.rows_affected() })
}

/// Writes the first page without a change. A commit without a changed page would write nothing,
/// and would not find a full disk.
pub(super) async fn probe(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let version: i64 =
        sqlx::query(sql::USER_VERSION).fetch_one(&mut *connection).await?.try_get(0)?;
    let write = sqlx::AssertSqlSafe(format!("{} = {version}", sql::USER_VERSION));
    connection.execute(sqlx::raw_sql(write)).await.map(drop)
}

/// Returns a JSON array for `json_each`.
pub(super) fn array(texts: &[String]) -> String {
    serde_json::Value::from(texts).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_powers_of_two_and_leave_nothing_out() {
        for length in [0, 1, 2, 3, 63, 64, 65, 150, 512] {
            let rows: Vec<usize> = (0..length).collect();
            let parts: Vec<&[usize]> = parts(&rows).collect();
            assert!(
                parts.iter().all(|part| part.len().is_power_of_two() && part.len() <= MAX_ROWS)
            );
            assert!(parts.len() <= length / MAX_ROWS + 6);
            assert_eq!(parts.concat(), rows);
        }
    }
}
