//! Reads sessions from rows.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::error::store_error;
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::columns::{Columns, DeviceColumns};
use crate::store::rows::Row;
use crate::token::session::Session;

pub(super) fn stored(row: &SqliteRow) -> Result<Row, StoreError> {
    read(row).map_err(|error| store_error(&error))?.into_row()
}

pub(super) fn session(row: &SqliteRow) -> Result<Session, StoreError> {
    Ok(stored(row)?.session)
}

fn read(row: &SqliteRow) -> Result<Columns, sqlx::Error> {
    let timestamp = Timestamp::from_micros;
    let id: String = row.try_get(0)?;
    Ok(Columns {
        id: id.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        user_id: row.try_get(1)?,
        token: row.try_get(2)?,
        expires_at: timestamp(row.try_get(3)?),
        predecessor: row.try_get(4)?,
        generation: row.try_get(5)?,
        sealed: row.try_get(6)?,
        lineage_key: row.try_get(7)?,
        handed_out_at: timestamp(row.try_get(8)?),
        proven_at: row.try_get::<Option<_>, _>(9)?.map(timestamp),
        created_at: timestamp(row.try_get(10)?),
        last_used_at: timestamp(row.try_get(11)?),
        revoked_at: row.try_get::<Option<_>, _>(12)?.map(timestamp),
        revocation_reason: row.try_get(13)?,
        granted: row.try_get(14)?,
        user_agent: row.try_get(15)?,
        ip_address: row.try_get(16)?,
        device_name: row.try_get(17)?,
        revision: row.try_get(18)?,
        auth_method: row.try_get(19)?,
        access_ends_at: row.try_get::<Option<_>, _>(20)?.map(timestamp),
        refresh_seconds: row.try_get(21)?,
        max_seconds: row.try_get(22)?,
        persistent: row.try_get(23)?,
        epoch: row.try_get(24)?,
        exact_reason: row.try_get(25)?,
        set_aside: row.try_get(26)?,
        device: DeviceColumns {
            key: row.try_get(27)?,
            thumbprint: row.try_get(28)?,
            algorithm: row.try_get(29)?,
            bound_at: row.try_get::<Option<_>, _>(30)?.map(timestamp),
            generation: row.try_get(31)?,
        },
    })
}
