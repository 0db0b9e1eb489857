//! Sessions from before this service: a table of the product's auth-server, which is only read.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::StoreError;
use super::coalesce::{Coalescer, ShardSettings};
use super::sessions::STATEMENT_TIMEOUT;
use super::span::{Operation, System, spanned};
use crate::clock::Timestamp;
use crate::token::id::UserId;
use crate::token::legacy::LegacySession;

/// Spans use this fixed name, because the real name of the table is a setting.
const FIND: Operation = Operation { name: "find", table: "legacy_sessions" };

const SHARDS: ShardSettings =
    ShardSettings { shards: 2, max_batch: 512, waiting: 4096, timeout: STATEMENT_TIMEOUT };

/// The last second of the year 9999, the latest time of the contract.
const END_OF_TIME: Timestamp = Timestamp::from_seconds(253_402_300_799);

/// The legacy table and its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyTable {
    /// The table, optionally with its schema.
    pub table: Identifier,
    /// The column with the token: text, and indexed.
    pub token: Identifier,
    /// The column with the user's id.
    pub user: Identifier,
    /// The column with the session's end.
    pub expires: Identifier,
}

/// The name of a table or a column. Statements quote it, so a reserved word is a valid name.
#[derive(Clone, PartialEq, Eq)]
pub struct Identifier(Vec<String>);

/// The text is not a valid [`Identifier`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be letters, digits and underscores, at most 63, and must not begin with a digit")]
pub struct InvalidIdentifier;

impl Identifier {
    /// Returns the name as statements use it. Upper case stays upper case.
    #[must_use]
    pub fn quoted(&self) -> String {
        let parts: Vec<_> = self.0.iter().map(|part| format!("\"{part}\"")).collect();
        parts.join(".")
    }

    /// Returns the name without quotes.
    #[must_use]
    pub fn unquoted(&self) -> String {
        self.0.join(".")
    }

    /// Returns whether the name includes a schema.
    #[must_use]
    pub fn has_schema(&self) -> bool {
        self.0.len() > 1
    }
}

impl FromStr for Identifier {
    type Err = InvalidIdentifier;

    fn from_str(text: &str) -> Result<Self, InvalidIdentifier> {
        // Postgres cuts longer names off, and the rest could be the name of another table.
        const MAX_IDENTIFIER_BYTES: usize = 63;
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let sound = |part: &str| {
            part.len() <= MAX_IDENTIFIER_BYTES
                && part.bytes().all(legal)
                && part.bytes().next().is_some_and(|first| !first.is_ascii_digit())
        };
        let parts: Vec<_> = text.split('.').map(str::to_owned).collect();
        let named = parts.len() <= 2 && parts.iter().all(|part| sound(part));
        named.then_some(Self(parts)).ok_or(InvalidIdentifier)
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.quoted())
    }
}

/// A database with a legacy table. Never writes.
#[async_trait]
pub trait LegacyRows: fmt::Debug + Send + Sync + 'static {
    /// Returns the kind of database.
    fn system(&self) -> System;

    /// Looks up the sessions of these tokens, and returns one result for each token, in order.
    async fn find_legacy(
        &self,
        table: &LegacyTable,
        tokens: &[String],
    ) -> Result<Vec<Option<LegacySession>>, StoreError>;

    /// Reads up to a hundred rows of the table, whichever come first. `None`: a row without a valid
    /// user id or end.
    async fn sample_legacy(
        &self,
        table: &LegacyTable,
    ) -> Result<Vec<Option<LegacySession>>, StoreError>;
}

/// The maximum number of rows in a sample.
pub(super) const SAMPLE: u32 = 100;

/// The rows at the beginning of a legacy table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegacySample {
    /// How many were read.
    pub rows: usize,
    /// How many of them have no valid user id or no valid end.
    pub invalid: usize,
}

impl LegacySample {
    /// Looks up a token that does not exist, and then reads some rows. The statement of the look-up
    /// also fails if the type of the token's column is not supported.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails, or if the names of the table and its columns or
    /// the type of the token's column are wrong.
    pub async fn read(rows: &dyn LegacyRows, table: &LegacyTable) -> Result<Self, StoreError> {
        rows.find_legacy(table, &["nobody".to_owned()]).await?;
        let sample = rows.sample_legacy(table).await?;
        let invalid = sample.iter().filter(|session| session.is_none()).count();
        Ok(Self { rows: sample.len(), invalid })
    }

    /// Returns what is wrong with the rows, for the operator.
    #[must_use]
    pub fn problem(&self, table: &LegacyTable) -> Option<String> {
        let Self { rows, invalid } = self;
        let LegacyTable { table, user, expires, .. } = table;
        let columns = format!("{} and {}", user.quoted(), expires.quoted());
        let table = table.quoted();
        match invalid {
            0 => None,
            all if all == rows => Some(format!(
                "no row of {table} has a valid user id and a valid end ({rows} were read), so their \
                 tokens are inactive: do LEGACY_SESSIONS_USER_COLUMN and \
                 LEGACY_SESSIONS_EXPIRES_COLUMN name the right columns, now {columns}?"
            )),
            some => Some(format!(
                "{some} of the first {rows} rows of {table} have no valid user id or no valid end in \
                 {columns}: their tokens are inactive"
            )),
        }
    }
}

/// Looks up legacy sessions.
#[derive(Debug)]
pub struct LegacySessions {
    system: System,
    loads: Coalescer<String, Option<LegacySession>>,
}

impl LegacySessions {
    /// Looks sessions up in that table.
    #[must_use]
    pub fn new(rows: Arc<dyn LegacyRows>, table: LegacyTable) -> Self {
        let (system, table) = (rows.system(), Arc::new(table));
        let loads = Coalescer::start(SHARDS, move |batch: Vec<String>| {
            let (rows, table) = (Arc::clone(&rows), Arc::clone(&table));
            async move {
                match rows.find_legacy(&table, &batch).await {
                    Ok(found) => found.into_iter().map(Ok).collect(),
                    Err(error) => batch.iter().map(|_| Err(error.clone())).collect(),
                }
            }
        });
        Self { system, loads }
    }

    /// Looks up the session of a token. Concurrent look-ups share a statement.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails.
    pub async fn find(&self, token: String) -> Result<Option<LegacySession>, StoreError> {
        // Any byte spreads the tokens evenly. The last one is as random as the others.
        let shard = token.bytes().next_back().map_or(0, usize::from);
        spanned(self.system, FIND, self.loads.ask(shard, token)).await
    }
}

/// Converts a row's columns to a session. A row without a valid user or end is data of another
/// application: only the token of that row is inactive.
pub(super) fn session(
    user_id: Option<String>,
    expires_at: Option<Timestamp>,
) -> Option<LegacySession> {
    let user_id = user_id.and_then(|id| UserId::new(id).ok());
    if user_id.is_none() || expires_at.is_none() {
        tracing::debug!("a row of the legacy table has no valid user id or no valid end");
    }
    Some(LegacySession { user_id: user_id?, expires_at: expires_at? })
}

/// Reads a session's end from the text of a column of any type: a time in ISO 8601, or a number of
/// seconds, milliseconds, microseconds or nanoseconds. Each unit ends where its number would be in the
/// year 5138.
pub(super) fn end(text: &str) -> Option<Timestamp> {
    match text {
        "infinity" => return Some(END_OF_TIME),
        "-infinity" => return Some(Timestamp::EPOCH),
        _ => {}
    }
    if let Ok(number) = text.parse::<f64>() {
        let per_second = match number {
            seconds if seconds < 1e11 => 1.0,
            millis if millis < 1e14 => 1e3,
            micros if micros < 1e17 => 1e6,
            _ => 1e9,
        };
        let latest = END_OF_TIME.since(Timestamp::EPOCH);
        let since_epoch = (number / per_second).max(0.0);
        let since_epoch = Duration::try_from_secs_f64(since_epoch).unwrap_or(latest);
        // A double is exact to less than a millisecond only, so it is rounded to one.
        let millis = (since_epoch.min(latest).as_micros() + 500) / 1000;
        let since_epoch = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        return (!number.is_nan()).then(|| Timestamp::EPOCH + since_epoch);
    }
    let at = OffsetDateTime::parse(&rfc3339(text)?, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos() / 1000).ok().map(Timestamp::from_micros)
}

/// Completes a time as databases and programs write it: with a space instead of the `T`, without
/// seconds, without a time of day, and with a short offset. A time without an offset is in UTC.
fn rfc3339(text: &str) -> Option<String> {
    let (date, rest) = text.split_at_checked("2030-01-02".len())?;
    let rest = rest.trim_start_matches(['T', 't', ' ']);
    let (time, offset) = rest.split_at(rest.find(['Z', 'z', '+', '-', ' ']).unwrap_or(rest.len()));
    let seconds = if time.len() == "03:04".len() { ":00" } else { "" };
    let time = if time.is_empty() { "00:00:00" } else { time };
    let offset = offset.trim().trim_end_matches("UTC").trim_end().replace(':', "");
    let offset = match offset.as_str() {
        "" | "Z" | "z" => "Z".to_owned(),
        offset => {
            let (hours, minutes) = offset.split_at_checked("+01".len())?;
            let minutes = if minutes.is_empty() { "00" } else { minutes };
            format!("{hours}:{minutes}")
        }
    };
    Some(format!("{date}T{time}{seconds}{offset}"))
}

/// Orders the rows of an answer like the tokens of the query. The comparison is exact, because the
/// column's collation may match other tokens as well.
pub(super) fn in_order(
    tokens: &[String],
    rows: Vec<(String, Option<LegacySession>)>,
) -> Vec<Option<LegacySession>> {
    let rows: HashMap<String, Option<LegacySession>> = rows.into_iter().collect();
    tokens.iter().map(|token| rows.get(token).cloned().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_other_texts_are_refused() {
        let quoted = |text: &str| text.parse::<Identifier>().map(|name| name.quoted());
        assert_eq!(quoted("session").unwrap(), r#""session""#);
        assert_eq!(quoted("auth.userId").unwrap(), r#""auth"."userId""#);
        assert_eq!(quoted("_1").unwrap(), r#""_1""#);
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a.b.c",
            "1a",
            "a b",
            "a\"b",
            "a;DROP TABLE x",
            "a--",
            "sitzungsschlüssel",
            &"x".repeat(64),
        ] {
            assert_eq!(quoted(bad).unwrap_err(), InvalidIdentifier, "{bad}");
        }
    }

    #[test]
    fn a_row_is_only_the_answer_for_exactly_its_token() {
        let tokens = ["b", "A", "a"].map(str::to_owned);
        let alice = session(Some("alice".into()), Some(Timestamp::EPOCH));
        let found = in_order(&tokens, vec![("a".into(), alice.clone()), ("b".into(), None)]);
        assert_eq!(found, [None, None, alice]);
    }

    #[test]
    fn a_row_without_a_user_or_an_end_is_no_session() {
        let at = Some(Timestamp::EPOCH);
        for user in [None, Some(String::new()), Some("x".repeat(256)), Some("a\0".into())] {
            assert_eq!(session(user, at), None);
        }
        assert_eq!(session(Some("alice".into()), None), None);
        assert!(session(Some("alice".into()), at).is_some());
    }

    #[test]
    fn an_end_is_read_from_any_type() {
        let at = Some(Timestamp::from_micros(1_893_553_445_678_000));
        for text in [
            "2030-01-02T03:04:05.678Z",
            "2030-01-02T03:04:05.678",
            "2030-01-02 03:04:05.678+00",
            "2030-01-02T04:04:05.678+01:00",
            "2030-01-02 04:04:05.678 +0100",
            "2030-01-02 03:04:05.678 +0000 UTC",
            "2030-01-02t03:04:05.678z",
            "2030-01-01 22:04:05.678-05",
            "1893553445.678",
            "1893553445678",
            "1893553445678000",
            "1893553445678000000",
        ] {
            assert_eq!(end(text), at, "{text}");
        }
        assert_eq!(end("2030-01-02"), Some(Timestamp::from_seconds(1_893_542_400)));
        assert_eq!(end("2030-01-02 03:04"), Some(Timestamp::from_seconds(1_893_553_440)));
        assert_eq!(end("1893553445"), Some(Timestamp::from_seconds(1_893_553_445)));
        for (text, expected) in [("infinity", END_OF_TIME), ("1e300", END_OF_TIME)] {
            assert_eq!(end(text), Some(expected), "{text}");
        }
        for text in ["-infinity", "-1", "0"] {
            assert_eq!(end(text), Some(Timestamp::EPOCH), "{text}");
        }
        for text in [
            "",
            "never",
            "NaN",
            "2030-13-01",
            "{}",
            "true",
            "now",
            "2030-01-02 25:00",
            "2030-01-02+1",
            "2030-01-02 03:04:05 CET",
            "\\x00",
            "zwölf Uhr und später",
        ] {
            assert_eq!(end(text), None, "{text}");
        }
    }
}
