//! [`LegacyRows`] on Postgres: a table of another application, which is only read.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::PgRows;
use super::client::RetryMode;
use super::rows::decoding;
use crate::store::legacy::{LegacyRows, LegacyTable, end, in_order, session};
use crate::store::{StoreError, System};
use crate::token::legacy::LegacySession;

#[async_trait]
impl LegacyRows for PgRows {
    fn system(&self) -> System {
        System::Postgres
    }

    async fn find_legacy(
        &self,
        table: &LegacyTable,
        tokens: &[String],
    ) -> Result<Vec<Option<LegacySession>>, StoreError> {
        if !self.legacy_tokens_are_uuids.load(Ordering::Relaxed) {
            match self.select_legacy(table, "text[]", tokens.to_vec()).await {
                // The column may have another type than text, and uuid is the only other one in use.
                Err(StoreError::Inconsistent(_)) => {}
                rows => return Ok(in_order(tokens, rows?)),
            }
        }
        let uuids = tokens.iter().filter(|token| Uuid::try_parse(token).is_ok()).cloned();
        let rows = self.select_legacy(table, "text[]::uuid[]", uuids.collect()).await?;
        self.legacy_tokens_are_uuids.store(true, Ordering::Relaxed);
        Ok(in_order(tokens, rows))
    }
}

impl PgRows {
    async fn select_legacy(
        &self,
        table: &LegacyTable,
        tokens_as: &str,
        tokens: Vec<String>,
    ) -> Result<Vec<(String, Option<LegacySession>)>, StoreError> {
        let sql = select(table, tokens_as);
        let build = || Ok(sqlx::query(AssertSqlSafe(sql.clone())).bind(tokens.clone()));
        let rows = self.client.fetch(RetryMode::Reading, build).await?;
        rows.iter().map(read).collect::<Result<_, _>>().map_err(decoding)
    }
}

/// Builds the statement. Only quoted names and the type of the tokens go into it. The end is selected
/// as JSON, so that a column of any type can be read.
fn select(table: &LegacyTable, tokens_as: &str) -> String {
    let LegacyTable { table, token, user, expires } = table;
    format!(
        "SELECT s.{token}::text, s.{user}::text, to_jsonb(s.{expires}) #>> '{{}}' \
         FROM {table} AS s WHERE s.{token} = ANY($1::{tokens_as})",
        table = table.quoted(),
        token = token.quoted(),
        user = user.quoted(),
        expires = expires.quoted(),
    )
}

fn read(row: &PgRow) -> Result<(String, Option<LegacySession>), sqlx::Error> {
    let expires: Option<String> = row.try_get(2)?;
    Ok((row.try_get(0)?, session(row.try_get(1)?, expires.as_deref().and_then(end))))
}
