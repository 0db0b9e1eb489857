//! Builds statements with their arguments: the rows of a batch, column by column.

use sqlx::types::time::OffsetDateTime;
use sqlx::{Encode, Postgres, Type};

use super::client::Statement;
use super::sql::{self, Batch};
use crate::clock::{Timestamp, micros};
use crate::store::columns::{DeviceColumns, events, granted, lifetimes, reason, shown};
use crate::store::rows::{CompareAndSwap, OVERLAP, OptimisticRotation, Position};
use crate::store::{Open, Receipt, StoreError};
use crate::token::rotation::Optimistic;
use crate::token::session::{Refused, Session};

pub(super) fn insert(opens: &[&Open]) -> Result<Statement, StoreError> {
    let sessions: Vec<&Session> = opens.iter().map(|open| &open.session).collect();
    let request = |open: &&Open| open.request.clone();
    let granted: Vec<String> =
        sessions.iter().map(|session| granted(session)).collect::<Result<_, _>>()?;
    let keys = each(opens, |open| request(&open).map(|request| request.key));
    let first_tokens =
        each(opens, |open| request(&open).map(|request| request.sealed.as_bytes().to_vec()));
    Ok(Batched::new(&sql::INSERT, opens.len())
        .bind(each(&sessions, |session| session.id.as_uuid()))
        .bind(each(&sessions, |session| session.user_id.as_str()))
        .bind(each(&sessions, |session| session.lineage.current.to_hex()))
        .bind(moments(&sessions, |session| session.expires_at)?)
        .bind(each(&sessions, predecessor))
        .bind(each(&sessions, |session| i64::from(session.lineage.generation.number())))
        .bind(each(&sessions, sealed))
        .bind(each(&sessions, |session| session.lineage.key.as_bytes().as_slice()))
        .bind(moments(&sessions, |session| session.lineage.handed_out_at)?)
        .bind(moments_if(&sessions, |session| session.lineage.proven_at)?)
        .bind(moments(&sessions, |session| session.created_at)?)
        .bind(moments(&sessions, |session| session.last_used_at)?)
        .bind(moments_if(&sessions, |session| session.revoked.map(|revoked| revoked.at))?)
        .bind(each(&sessions, reason))
        .bind(granted)
        .bind(each(&sessions, |session| session.client.user_agent()))
        .bind(each(&sessions, |session| session.client.ip_address()))
        .bind(each(&sessions, |session| session.client.device_name()))
        .bind(keys)
        .bind(first_tokens)
        .bind(each(&sessions, |session| session.auth_method.as_str()))
        .bind(moments(&sessions, |session| session.access_ends_at)?)
        .bind(each(&sessions, |session| lifetimes(session).0))
        .bind(each(&sessions, |session| lifetimes(session).1))
        .bind(each(&sessions, |session| session.persistent))
        .0)
}

pub(super) fn swap(swaps: &[&CompareAndSwap]) -> Result<Statement, StoreError> {
    let sessions: Vec<&Session> = swaps.iter().map(|swap| &swap.session).collect();
    let devices: Vec<DeviceColumns> = sessions.iter().map(|of| DeviceColumns::of(of)).collect();
    let devices: Vec<&DeviceColumns> = devices.iter().collect();
    Ok(Batched::new(&sql::SWAP, swaps.len())
        .bind(each(&sessions, |session| session.id.as_uuid()))
        .bind(each(swaps, |swap| swap.revision))
        .bind(each(&sessions, |session| session.lineage.current.to_hex()))
        .bind(moments(&sessions, |session| session.expires_at)?)
        .bind(each(&sessions, predecessor))
        .bind(each(&sessions, |session| i64::from(session.lineage.generation.number())))
        .bind(each(&sessions, sealed))
        .bind(moments(&sessions, |session| session.lineage.handed_out_at)?)
        .bind(moments_if(&sessions, |session| session.lineage.proven_at)?)
        .bind(moments(&sessions, |session| session.last_used_at)?)
        .bind(moments_if(&sessions, |session| session.revoked.map(|revoked| revoked.at))?)
        .bind(each(&sessions, reason))
        .bind(each(&sessions, |session| session.auth_method.as_str()))
        .bind(moments_if(swaps, |swap| {
            revocation_end(swap, |refused| matches!(refused, Refused::All(_)))
        })?)
        .bind(moments(&sessions, |session| session.access_ends_at)?)
        .bind(each(&sessions, |session| i64::from(session.epoch.number())))
        .bind(changed_grants(swaps)?)
        .bind(moments_if(swaps, |swap| {
            revocation_end(swap, |refused| matches!(refused, Refused::Before(_)))
        })?)
        .bind(each(&sessions, set_aside))
        .bind(each(swaps, |swap| events(&swap.events)))
        .bind(each(&devices, |device| device.key.clone()))
        .bind(each(&devices, |device| device.thumbprint.clone()))
        .bind(each(&devices, |device| device.algorithm.clone()))
        .bind(moments_if(&devices, |device| device.bound_at)?)
        .bind(each(&devices, |device| device.generation))
        .0)
}

/// Returns until when the revocation of a changed session is kept, if it is one of that kind.
fn revocation_end(swap: &CompareAndSwap, is_wanted: fn(Refused) -> bool) -> Option<Timestamp> {
    let revocation = swap.revocation.as_ref().filter(|revocation| is_wanted(revocation.refused));
    revocation.map(|revocation| revocation.expires_at)
}

fn changed_grants(swaps: &[&CompareAndSwap]) -> Result<Vec<Option<String>>, StoreError> {
    let changed = |swap: &&CompareAndSwap| swap.grant_changed.then(|| granted(&swap.session));
    swaps.iter().map(|swap| changed(swap).transpose()).collect()
}

pub(super) fn rotate(rotations: &[&OptimisticRotation]) -> Result<Statement, StoreError> {
    let optimistic: Vec<&Optimistic> =
        rotations.iter().map(|rotation| &rotation.optimistic).collect();
    Ok(Batched::new(&sql::ROTATE, rotations.len())
        .bind(each(&optimistic, |of| of.successor.session_id().as_uuid()))
        .bind(each(&optimistic, |of| of.presented.to_hex()))
        .bind(moments(&optimistic, |of| of.now)?)
        .bind(moments(&optimistic, |of| of.handed_out_before)?)
        .bind(each(&optimistic, |of| of.successor.hash().to_hex()))
        .bind(each(&optimistic, |of| of.sealed.as_bytes()))
        .bind(moments(&optimistic, |of| of.expires_at)?)
        .bind(each(&optimistic, |of| micros(of.session_max_lifetime)))
        .bind(each(rotations, |rotation| rotation.auth_method.as_str()))
        .bind(moments(rotations, |rotation| rotation.access_ends_at)?)
        .bind(each(rotations, |rotation| shown(rotation.shown)))
        .0)
}

pub(super) fn feed(
    sql: &'static str,
    after: Position,
    now: Timestamp,
    limit: u32,
) -> Result<Statement, StoreError> {
    Ok(sqlx::query(sql)
        .bind(moment(after.recorded_at)?)
        .bind(after.session_id.as_uuid())
        .bind(moment(now)?)
        .bind(i64::from(limit))
        .bind(micros(OVERLAP)))
}

pub(super) fn record_receipts(receipts: &[Receipt]) -> Result<Statement, StoreError> {
    let receipts: Vec<&Receipt> = receipts.iter().collect();
    Ok(Batched::new(&sql::RECORD_RECEIPTS, receipts.len())
        .bind(each(&receipts, |receipt| receipt.session_id.as_uuid()))
        .bind(each(&receipts, |receipt| i64::from(receipt.generation.number())))
        .bind(moments(&receipts, |receipt| receipt.seen_at)?)
        .0)
}

/// A batch's statement with the columns that are bound so far.
struct Batched(Statement);

impl Batched {
    fn new(batch: &'static Batch, rows: usize) -> Self {
        Self(sqlx::query(batch.text(rows)))
    }

    /// Binds the next column: the values of all rows in order, or the plain value of a single row.
    fn bind<'v, T>(self, values: Vec<T>) -> Self
    where
        T: Encode<'v, Postgres> + Type<Postgres>,
        Vec<T>: Encode<'v, Postgres> + Type<Postgres>,
    {
        Self(match <[T; 1]>::try_from(values) {
            Ok([value]) => self.0.bind(value),
            Err(values) => self.0.bind(values),
        })
    }
}

/// Converts a timestamp for Postgres.
///
/// # Errors
/// Returns [`StoreError::Inconsistent`] if it is after the year 9999.
pub(super) fn moment(at: Timestamp) -> Result<OffsetDateTime, StoreError> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.as_micros()) * 1000)
        .map_err(|_| StoreError::Inconsistent("a timestamp is after the year 9999".into()))
}

fn predecessor(session: &Session) -> Option<String> {
    session.lineage.predecessor.map(crate::token::refresh::TokenHash::to_hex)
}

fn set_aside(session: &Session) -> Option<String> {
    session.lineage.set_aside.map(crate::token::refresh::TokenHash::to_hex)
}

fn sealed(session: &Session) -> Option<&[u8]> {
    session.lineage.sealed.as_ref().map(crate::token::seal::Sealed::as_bytes)
}

fn each<'a, T, U>(items: &[&'a T], column: impl Fn(&'a T) -> U) -> Vec<U> {
    items.iter().map(|item| column(item)).collect()
}

fn moments<T>(
    items: &[&T],
    column: impl Fn(&T) -> Timestamp,
) -> Result<Vec<OffsetDateTime>, StoreError> {
    items.iter().map(|item| moment(column(item))).collect()
}

fn moments_if<T>(
    items: &[&T],
    column: impl Fn(&T) -> Option<Timestamp>,
) -> Result<Vec<Option<OffsetDateTime>>, StoreError> {
    items.iter().map(|item| column(item).map(moment).transpose()).collect()
}
