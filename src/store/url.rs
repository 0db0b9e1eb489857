//! Parses `DATABASE_URL` and `LEGACY_DATABASE_URL`.

use std::fmt;
use std::path::PathBuf;

use super::postgres::InvalidPostgresUrl;

/// The database that keeps the sessions.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A Postgres, by its whole URL, which may hold a password.
    Postgres(String),
    /// An SQLite file.
    Sqlite(PathBuf),
}

/// Why a text is not a database URL. Never holds a piece of the text, which may be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// Neither Postgres nor SQLite.
    #[error("must begin with postgres:// or sqlite://")]
    Scheme,
    /// A Postgres URL that cannot be used.
    #[error(transparent)]
    Postgres(#[from] InvalidPostgresUrl),
    /// An SQLite URL that names no file.
    #[error("names no file: write sqlite:///absolute/path or sqlite://relative/path")]
    NoFile,
    /// A database in memory, which would forget every session on a restart.
    #[error("names a database in memory, which would forget every session: name a file")]
    Memory,
    /// An SQLite URL with parameters, of which there are none.
    #[error("has parameters, but an SQLite URL takes none")]
    Parameters,
}

impl DatabaseUrl {
    /// Parses `postgres://…`, `postgresql://…`, `sqlite:///absolute/path` or
    /// `sqlite://relative/path`.
    ///
    /// # Errors
    /// Returns an error if the text is none of these, or if a password in it is not
    /// percent-encoded.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            super::postgres::check_url(text)?;
            return Ok(Self::Postgres(text.to_owned()));
        }
        let rest = text.strip_prefix("sqlite:").ok_or(InvalidUrl::Scheme)?;
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if path.contains(":memory:") || path.contains("mode=memory") {
            return Err(InvalidUrl::Memory);
        }
        if path.contains(['?', '#']) {
            return Err(InvalidUrl::Parameters);
        }
        if path.is_empty() || path.ends_with('/') {
            return Err(InvalidUrl::NoFile);
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(_) => f.write_str("Postgres(…)"),
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::strict_url::UrlError;

    #[test]
    fn files_are_found() {
        let path = |text| match DatabaseUrl::parse(text) {
            Ok(DatabaseUrl::Sqlite(path)) => path,
            other => panic!("{other:?}"),
        };
        assert_eq!(path("sqlite:///var/lib/a.db"), PathBuf::from("/var/lib/a.db"));
        assert_eq!(path("sqlite://a.db"), PathBuf::from("a.db"));
        assert_eq!(path("sqlite:a.db"), PathBuf::from("a.db"));
    }

    #[test]
    fn other_texts_are_refused() {
        let refusal = |text| DatabaseUrl::parse(text).unwrap_err();
        assert_eq!(refusal("mysql://h/d"), InvalidUrl::Scheme);
        let malformed = InvalidPostgresUrl::Url(UrlError::Malformed);
        assert_eq!(refusal("postgres://u:p@h:port/d"), InvalidUrl::Postgres(malformed));
        assert_eq!(refusal(""), InvalidUrl::Scheme);
        assert_eq!(refusal("sqlite::memory:"), InvalidUrl::Memory);
        assert_eq!(refusal("sqlite://:memory:"), InvalidUrl::Memory);
        assert_eq!(refusal("sqlite://x?mode=memory"), InvalidUrl::Memory);
        assert_eq!(refusal("sqlite://a.db?mode=ro"), InvalidUrl::Parameters);
        assert_eq!(refusal("sqlite://"), InvalidUrl::NoFile);
        assert_eq!(refusal("sqlite:///tmp/"), InvalidUrl::NoFile);
    }

    #[test]
    fn a_password_is_not_printed() {
        let url = DatabaseUrl::parse("postgres://u:hunter2@h/d").unwrap();
        assert!(!format!("{url:?}").contains("hunter2"));
    }
}
