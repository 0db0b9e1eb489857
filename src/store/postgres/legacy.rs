//! [`LegacyRows`] on Postgres: a table of another application, which is only read.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::PgRows;
use super::client::RetryMode;
use super::rows::decoding;
use crate::store::legacy::{LegacyRows, LegacyTable, SAMPLE, end, in_order, session};
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
            match self.select_legacy(&find(table, "text[]"), tokens.to_vec()).await {
                // The column may have another type than text, and uuid is the only other one in use.
                Err(StoreError::Inconsistent(_)) => {}
                rows => return Ok(in_order(tokens, rows?)),
            }
        }
        let uuids = tokens.iter().filter(|token| is_canonical_uuid(token)).cloned();
        let uuids = uuids.collect();
        let rows = self.select_legacy(&find(table, "text[]::uuid[]"), uuids).await?;
        self.legacy_tokens_are_uuids.store(true, Ordering::Relaxed);
        Ok(in_order(tokens, rows))
    }

    async fn sample_legacy(
        &self,
        table: &LegacyTable,
    ) -> Result<Vec<Option<LegacySession>>, StoreError> {
        let sql = format!("{} LIMIT {SAMPLE}", select(table));
        // Plans that read a whole table are otherwise so expensive that Postgres compiles them.
        let rows = self.client.survey(|| Ok(sqlx::query(AssertSqlSafe(sql.clone())))).await?;
        let rows: Result<Vec<Row>, _> = rows.iter().map(read).collect();
        Ok(rows.map_err(decoding)?.into_iter().map(|(_, session)| session).collect())
    }
}

/// Returns whether a token has the form in which Postgres writes a UUID. The database would refuse
/// some of the other forms that the library reads, such as `urn:uuid:…`, and with it the whole
/// statement.
fn is_canonical_uuid(token: &str) -> bool {
    Uuid::try_parse(token).is_ok_and(|uuid| uuid.to_string() == token)
}

/// A row: the token, and its session.
type Row = (String, Option<LegacySession>);

impl PgRows {
    async fn select_legacy(&self, sql: &str, tokens: Vec<String>) -> Result<Vec<Row>, StoreError> {
        let build = || Ok(sqlx::query(AssertSqlSafe(sql.to_owned())).bind(tokens.clone()));
        let rows = self.client.fetch(RetryMode::Reading, build).await?;
        rows.iter().map(read).collect::<Result<_, _>>().map_err(decoding)
    }
}

fn find(table: &LegacyTable, tokens_as: &str) -> String {
    format!("{} WHERE s.{} = ANY($1::{tokens_as})", select(table), table.token.quoted())
}

/// Builds the statement. Only quoted names go into it. The end is selected as JSON, so that a column of
/// any type can be read. The text of some types is not what a product would call a user id.
fn select(table: &LegacyTable) -> String {
    let LegacyTable { table, token, user, expires } = table;
    format!(
        "SELECT s.{token}::text, \
                CASE WHEN pg_typeof(s.{user})::text NOT IN ('json', 'jsonb', 'bytea', 'boolean') \
                     THEN s.{user}::text END, \
                to_jsonb(s.{expires}) #>> '{{}}' \
         FROM {table} AS s",
        table = table.quoted(),
        token = token.quoted(),
        user = user.quoted(),
        expires = expires.quoted(),
    )
}

fn read(row: &PgRow) -> Result<Row, sqlx::Error> {
    let (token, expires): (Option<String>, Option<String>) = (row.try_get(0)?, row.try_get(2)?);
    let session = session(row.try_get(1)?, expires.as_deref().and_then(end));
    Ok((token.unwrap_or_default(), session))
}
