//! Sessions from before this service: a table of the product's auth-server, which is only read.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;

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

/// The result of a look-up: nothing, a session, or an error because the row cannot be read.
pub type Found = Result<Option<LegacySession>, StoreError>;

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
    ) -> Result<Vec<Found>, StoreError>;
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
                    Ok(found) => found,
                    Err(error) => batch.iter().map(|_| Err(error.clone())).collect(),
                }
            }
        });
        Self { system, loads }
    }

    /// Looks up the session of a token. Concurrent look-ups share a statement.
    ///
    /// # Errors
    /// Returns an error if the database fails, or if the row does not describe a session.
    pub async fn find(&self, token: String) -> Found {
        // Any byte spreads the tokens evenly. The last one is as random as the others.
        let shard = token.bytes().next_back().map_or(0, usize::from);
        spanned(self.system, FIND, self.loads.ask(shard, token)).await
    }
}

/// Converts a row's columns to a session.
///
/// # Errors
/// Returns [`StoreError::Inconsistent`] if a column is null, or if the user's id is invalid.
pub(super) fn session(user_id: Option<String>, expires_at: Option<Timestamp>) -> Found {
    let unreadable = |what| StoreError::Inconsistent(format!("a legacy session {what}"));
    let user_id = user_id.and_then(|id| UserId::new(id).ok());
    let user_id = user_id.ok_or_else(|| unreadable("has no valid user id"))?;
    let expires_at = expires_at.ok_or_else(|| unreadable("has no valid end"))?;
    Ok(Some(LegacySession { user_id, expires_at }))
}

/// Orders the rows of an answer like the tokens of the query. The comparison is exact, because the
/// column's collation may match other tokens as well.
pub(super) fn in_order(tokens: &[String], rows: Vec<(String, Found)>) -> Vec<Found> {
    let rows: HashMap<String, Found> = rows.into_iter().collect();
    tokens.iter().map(|token| rows.get(token).cloned().unwrap_or(Ok(None))).collect()
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
        let failed = || Err(StoreError::Inconsistent("x".into()));
        let found = in_order(&tokens, vec![("a".into(), failed()), ("b".into(), Ok(None))]);
        assert!(matches!(&found[..], [Ok(None), Ok(None), Err(_)]), "{found:?}");
    }
}
