//! Classifies the failures of Postgres and of the connection to it.

use sqlx::error::DatabaseError;

use crate::store::StoreError;

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    pub(super) error: StoreError,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The connection, or its server, is unusable. The statement may or may not have taken effect.
    Broken,
    /// The server rolled the statement back in favour of another one. Retry it.
    Undone,
    /// A prepared statement is outdated and had no effect. Retry it on another connection.
    OutOfDate,
    /// A prepared statement does not exist on this server connection and had no effect, because a
    /// pooler changes connections between our messages.
    StatementLost,
    /// The server cancelled the statement.
    GivenUp,
    /// Another transaction did not release a row lock in time.
    Locked,
    /// The table does not exist.
    TableMissing,
    /// The server refused the statement or its values, or holds data that we cannot read.
    Refused,
}

impl Failure {
    /// Returns whether the connection has to be closed.
    pub(super) const fn breaks_connection(&self) -> bool {
        matches!(self.kind, Kind::Broken | Kind::OutOfDate | Kind::StatementLost)
    }

    /// Returns whether the attempt certainly had no effect and may succeed the next time.
    pub(super) const fn is_undone(&self) -> bool {
        matches!(self.kind, Kind::Undone | Kind::OutOfDate | Kind::StatementLost)
    }

    fn unavailable(kind: Kind, why: &str) -> Self {
        Self { kind, error: StoreError::Unavailable(why.to_owned()) }
    }

    fn of_server(error: &dyn DatabaseError) -> Self {
        let code = error.code().unwrap_or_default();
        let why = format!("SQLSTATE {code}");
        let kind = match &*code {
            // A serialization failure, or a deadlock.
            "40001" | "40P01" => Kind::Undone,
            // A change of the schema invalidates a cached plan.
            "0A000" => Kind::OutOfDate,
            "26000" | "42P05" => Kind::StatementLost,
            "57014" => Kind::GivenUp,
            "55P03" => Kind::Locked,
            "42P01" => Kind::TableMissing,
            code if is_of_data(code) => Kind::Refused,
            _ => Kind::Broken,
        };
        match kind {
            Kind::TableMissing | Kind::Refused => {
                Self { kind, error: StoreError::Inconsistent(why) }
            }
            Kind::Locked => Self { kind, error: StoreError::Locked },
            _ => Self::unavailable(kind, &why),
        }
    }
}

/// Returns whether an SQLSTATE is about values (class 22), constraints (23), names and types (42)
/// or sizes (54). All others are about the state of the server.
fn is_of_data(code: &str) -> bool {
    let right_missing = "42501";
    code != right_missing && ["22", "23", "42", "54"].iter().any(|class| code.starts_with(class))
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        let broken = |why: &str| Self::unavailable(Kind::Broken, why);
        match &error {
            E::Database(error) => Self::of_server(error.as_ref()),
            E::Io(error) => broken(&format!("the connection failed: {}", error.kind())),
            E::Tls(_) => broken("TLS could not be established"),
            E::PoolTimedOut => broken("no connection came free in time"),
            E::PoolClosed => broken("the connections are closed"),
            E::Configuration(_) => broken("the connection is misconfigured"),
            E::Encode(_)
            | E::Decode(_)
            | E::ColumnDecode { .. }
            | E::ColumnNotFound(_)
            | E::ColumnIndexOutOfBounds { .. }
            | E::TypeNotFound { .. }
            | E::InvalidArgument(_) => {
                StoreError::Inconsistent("a column has an unexpected type".into()).into()
            }
            _ => broken("the connection broke the protocol"),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { kind: Kind::Refused, error }
    }
}
