//! [`LegacyRows`] on Postgres: a table of another application, which is only read.

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::PgRows;
use super::client::RetryMode;
use super::rows::decoding;
use crate::clock::Timestamp;
use crate::store::legacy::{Found, LegacyRows, LegacyTable, in_order, session};
use crate::store::{StoreError, System};

#[async_trait]
impl LegacyRows for PgRows {
    fn system(&self) -> System {
        System::Postgres
    }

    async fn find_legacy(
        &self,
        table: &LegacyTable,
        tokens: &[String],
    ) -> Result<Vec<Found>, StoreError> {
        let sql = select(table);
        let build = || Ok(sqlx::query(AssertSqlSafe(sql.clone())).bind(tokens.to_vec()));
        let rows = self.client.fetch(RetryMode::Reading, build).await?;
        Ok(in_order(tokens, rows.iter().map(read).collect::<Result<_, _>>()?))
    }
}

/// Builds the statement. Only quoted names go into it. A timestamp without a zone, as some ORMs
/// store it, is taken as UTC. `infinity` is clamped to the end of the calendar.
fn select(table: &LegacyTable) -> String {
    let LegacyTable { table, token, user, expires } = table;
    format!(
        "SELECT s.{token}::text, s.{user}::text, \
                CASE WHEN s.{expires} IS NOT NULL THEN \
                    (least(greatest(extract(epoch FROM s.{expires}), 0), 253402300799) \
                     * 1000000)::bigint END \
         FROM {table} AS s WHERE s.{token} = ANY($1)",
        table = table.quoted(),
        token = token.quoted(),
        user = user.quoted(),
        expires = expires.quoted(),
    )
}

fn read(row: &PgRow) -> Result<(String, Found), StoreError> {
    let expires_at: Option<i64> = row.try_get(2).map_err(decoding)?;
    let found = session(row.try_get(1).map_err(decoding)?, expires_at.map(Timestamp::from_micros));
    Ok((row.try_get(0).map_err(decoding)?, found))
}
