//! Sessions that were there before: the table of the product's auth-server, which is only read.

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

/// The table's own name is the product's.
const FIND: Operation = Operation { name: "find", table: "legacy_sessions" };

const SHARDS: ShardSettings =
    ShardSettings { shards: 2, most: 512, waiting: 4096, timeout: STATEMENT_TIMEOUT };

/// Which table holds the sessions, and which of its columns hold what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyTable {
    /// The table, perhaps with its schema.
    pub table: Identifier,
    /// The column of the token: text, and indexed.
    pub token: Identifier,
    /// The column of the user's id.
    pub user: Identifier,
    /// The column of the session's end.
    pub expires: Identifier,
}

/// The name of a table or a column. Quoted it is one, whatever the database takes its words for.
#[derive(Clone, PartialEq, Eq)]
pub struct Identifier(Vec<String>);

/// Why a text is no [`Identifier`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be letters, digits and underscores, at most 63 and no digit first")]
pub struct InvalidIdentifier;

impl Identifier {
    /// How statements say it. Upper case stays upper case.
    #[must_use]
    pub fn quoted(&self) -> String {
        let parts: Vec<_> = self.0.iter().map(|part| format!("\"{part}\"")).collect();
        parts.join(".")
    }

    /// Whether it names its schema, too.
    #[must_use]
    pub fn has_schema(&self) -> bool {
        self.0.len() > 1
    }
}

impl FromStr for Identifier {
    type Err = InvalidIdentifier;

    fn from_str(text: &str) -> Result<Self, InvalidIdentifier> {
        // What Postgres would cut off could become another name.
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

/// What came of a look-up: nothing, a session, or a row that cannot be read.
pub type Found = Result<Option<LegacySession>, StoreError>;

/// A database with such a table. Never writes.
#[async_trait]
pub trait LegacyRows: fmt::Debug + Send + Sync + 'static {
    /// Which kind of database it is.
    fn system(&self) -> System;

    /// The sessions of these tokens: one answer a token, in order.
    async fn find_legacy(
        &self,
        table: &LegacyTable,
        tokens: &[String],
    ) -> Result<Vec<Found>, StoreError>;
}

/// Sessions that were there before, to be looked up.
#[derive(Debug)]
pub struct LegacySessions {
    system: System,
    loads: Coalescer<String, Option<LegacySession>>,
}

impl LegacySessions {
    /// Those of that table.
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

    /// The session of a token. Look-ups that come at once share a statement.
    ///
    /// # Errors
    /// Where the database fails, or the row holds what is no session.
    pub async fn find(&self, token: String) -> Found {
        // Any spreading will do: the last character is as random as the others.
        let shard = token.bytes().next_back().map_or(0, usize::from);
        spanned(self.system, FIND, self.loads.ask(shard, token)).await
    }
}

/// What a row's columns say.
///
/// # Errors
/// Where one is empty, or the user's id is none.
pub(super) fn session(user_id: Option<String>, expires_at: Option<Timestamp>) -> Found {
    let unreadable = |what| StoreError::Inconsistent(format!("a legacy session's {what}"));
    let user_id = user_id.and_then(|id| UserId::new(id).ok());
    let user_id = user_id.ok_or_else(|| unreadable("user is none"))?;
    let expires_at = expires_at.ok_or_else(|| unreadable("end is no moment"))?;
    Ok(Some(LegacySession { user_id, expires_at }))
}

/// Puts the rows of an answer in the order of the question. A row answers only for exactly its
/// own token, however the column is collated.
pub(super) fn in_order(tokens: &[String], rows: Vec<(String, Found)>) -> Vec<Found> {
    let rows: HashMap<String, Found> = rows.into_iter().collect();
    tokens.iter().map(|token| rows.get(token).cloned().unwrap_or(Ok(None))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_nothing_else_is_a_name() {
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
    fn a_row_answers_for_its_own_token_alone() {
        let tokens = ["b", "A", "a"].map(str::to_owned);
        let failed = || Err(StoreError::Inconsistent("x".into()));
        let found = in_order(&tokens, vec![("a".into(), failed()), ("b".into(), Ok(None))]);
        assert!(matches!(&found[..], [Ok(None), Ok(None), Err(_)]), "{found:?}");
    }
}
