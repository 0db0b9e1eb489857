//! The span of a request's wait for the database, after OpenTelemetry's conventions for databases.
//!
//! It is a child of the request's span and ends with the request's own answer, although the
//! statement may have served other requests as well. A request that is not traced gets no span.

use tracing::{Instrument as _, Span, field};

use super::StoreError;

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Postgres, or a database with its protocol.
    Postgres,
    /// SQLite.
    Sqlite,
}

impl System {
    /// Returns the name by the conventions (`db.system.name`).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Sqlite => "sqlite",
        }
    }
}

/// An operation of the database. It holds no value of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    /// The operation's name.
    pub name: &'static str,
    /// The main table that it uses.
    pub table: &'static str,
}

/// Returns an operation on sessions.
pub(super) const fn on_sessions(name: &'static str) -> Operation {
    Operation { name, table: "user_sessions" }
}

/// Runs a database operation within a span.
pub(super) async fn spanned<T>(
    system: System,
    operation: Operation,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let Operation { name, table } = operation;
    let span = tracing::info_span!(
        "store",
        otel.name = %format_args!("{name} {table}"),
        otel.kind = "client",
        otel.status_code = field::Empty,
        db.system.name = system.name(),
        db.operation.name = name,
        db.collection.name = table,
        "error.type" = field::Empty,
    );
    let answer = work.instrument(span.clone()).await;
    if let Err(error) = &answer {
        fail(&span, error);
    }
    answer
}

fn fail(span: &Span, error: &StoreError) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", error.kind());
}
