//! What a failure of Postgres, or of the way to it, means for the operation.
//!
//! Only the SQLSTATE is passed on: a server's messages may quote values.

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
    /// The connection, or the server behind it, is of no more use. Whether the statement took
    /// effect is unknown.
    Broken,
    /// The server undid the statement for another one's sake: try again.
    Undone,
    /// A prepared statement is out of date and did nothing: try again on another connection.
    OutOfDate,
    /// A prepared statement is not where it was left and did nothing: a pooler changes the
    /// connection between our messages.
    StatementLost,
    /// The server gave the statement up.
    GivenUp,
    /// Another transaction did not let go of a row in time.
    Locked,
    /// There is no such table.
    TableMissing,
    /// The server refused the statement or its values, or holds what we cannot read.
    Refused,
}

impl Failure {
    /// Whether the connection has to be closed.
    pub(super) const fn breaks_connection(&self) -> bool {
        matches!(self.kind, Kind::Broken | Kind::OutOfDate | Kind::StatementLost)
    }

    /// Whether it certainly did nothing, and might succeed at the next attempt.
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
            // What a change of the schema does to a cached plan.
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

/// Whether the code speaks of values (class 22), constraints (23), names and types (42) or sizes
/// (54). All others speak of the server's own state.
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
                StoreError::Inconsistent("a value has another type".into()).into()
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
