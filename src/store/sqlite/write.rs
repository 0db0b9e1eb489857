//! What is written, row by row inside the caller's transaction.

use sqlx::{Row as _, SqliteConnection};

use super::file::Statement;
use super::sql;
use crate::clock::Timestamp;
use crate::store::columns::reason;
use crate::store::rows::{Purged, Swap};
use crate::store::{Open, Proof};
use crate::token::refresh::TokenHash;
use crate::token::session::{Revocation, Session};

/// Inserts; `granted` are the sessions' grants in the same order.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    opens: &[Open],
    granted: Vec<String>,
) -> Result<Vec<bool>, sqlx::Error> {
    let mut inserted = Vec::with_capacity(opens.len());
    for (open, granted) in opens.iter().zip(granted) {
        let done = insert_one(open, granted).execute(&mut *connection).await?;
        inserted.push(done.rows_affected() > 0);
    }
    Ok(inserted)
}

fn insert_one(open: &Open, granted: String) -> Statement {
    let session = &open.session;
    let (lineage, client) = (&session.lineage, &session.client);
    let request = open.request.as_ref();
    sqlx::query(sql::INSERT)
        .bind(session.id.to_string())
        .bind(session.user_id.as_str().to_owned())
        .bind(lineage.current.to_hex())
        .bind(session.expires_at.as_micros())
        .bind(lineage.predecessor.map(TokenHash::to_hex))
        .bind(i64::from(lineage.generation.number()))
        .bind(sealed(session))
        .bind(lineage.key.as_bytes().to_vec())
        .bind(lineage.handed_out_at.as_micros())
        .bind(lineage.proven_at.map(Timestamp::as_micros))
        .bind(session.created_at.as_micros())
        .bind(session.last_used_at.as_micros())
        .bind(session.revoked.map(|revoked| revoked.at.as_micros()))
        .bind(reason(session))
        .bind(granted)
        .bind(client.user_agent().to_owned())
        .bind(client.ip_address().to_owned())
        .bind(client.device_name().to_owned())
        .bind(request.map(|request| request.key.clone()))
        .bind(request.map(|request| request.sealed.as_bytes().to_vec()))
        .bind(session.auth_method.as_str())
}

pub(super) async fn swap(
    connection: &mut SqliteConnection,
    swaps: &[Swap],
) -> Result<Vec<bool>, sqlx::Error> {
    let mut swapped = Vec::with_capacity(swaps.len());
    for swap in swaps {
        let done = swap_one(swap).execute(&mut *connection).await?.rows_affected() > 0;
        if let Some(revocation) = swap.revocation.as_ref().filter(|_| done) {
            tell(connection, revocation).await?;
        }
        swapped.push(done);
    }
    Ok(swapped)
}

fn swap_one(swap: &Swap) -> Statement {
    let session = &swap.session;
    let lineage = &session.lineage;
    sqlx::query(sql::SWAP)
        .bind(session.id.to_string())
        .bind(swap.revision)
        .bind(lineage.current.to_hex())
        .bind(session.expires_at.as_micros())
        .bind(lineage.predecessor.map(TokenHash::to_hex))
        .bind(i64::from(lineage.generation.number()))
        .bind(sealed(session))
        .bind(lineage.handed_out_at.as_micros())
        .bind(lineage.proven_at.map(Timestamp::as_micros))
        .bind(session.last_used_at.as_micros())
        .bind(session.revoked.map(|revoked| revoked.at.as_micros()))
        .bind(reason(session))
        .bind(session.auth_method.as_str())
}

/// Adds a revocation to the feed.
pub(super) async fn tell(
    connection: &mut SqliteConnection,
    revocation: &Revocation,
) -> Result<(), sqlx::Error> {
    sqlx::query(sql::TELL)
        .bind(revocation.session_id.to_string())
        .bind(revocation.user_id.as_str().to_owned())
        .bind(revocation.revoked_at.as_micros())
        .bind(revocation.expires_at.as_micros())
        .bind(revocation.reason.as_str())
        .execute(connection)
        .await
        .map(drop)
}

fn sealed(session: &Session) -> Option<Vec<u8>> {
    session.lineage.sealed.as_ref().map(|sealed| sealed.as_bytes().to_vec())
}

pub(super) async fn prove(
    connection: &mut SqliteConnection,
    proofs: &[Proof],
) -> Result<u64, sqlx::Error> {
    let mut proven = 0;
    for proof in proofs {
        let done = sqlx::query(sql::PROVE)
            .bind(proof.session_id.to_string())
            .bind(i64::from(proof.generation.number()))
            .bind(proof.seen_at.as_micros())
            .execute(&mut *connection)
            .await?;
        proven += done.rows_affected();
    }
    Ok(proven)
}

/// Deletes what has ended, and puts off what was refreshed since it was last looked at.
pub(super) async fn purge(
    connection: &mut SqliteConnection,
    ended_before: Timestamp,
    most: u32,
) -> Result<Purged, sqlx::Error> {
    let due = sqlx::query(sql::DUE)
        .bind(ended_before.as_micros())
        .bind(most)
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
    sqlx::query(sql::PUT_OFF).bind(array(&alive)).execute(&mut *connection).await?;
    Ok(Purged { examined, deleted: deleted.rows_affected() })
}

/// A JSON array, as `json_each` takes it.
pub(super) fn array(texts: &[String]) -> String {
    serde_json::Value::from(texts).to_string()
}
