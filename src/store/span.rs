//! The span of a request's wait for the database (OpenTelemetry's conventions for databases).
//!
//! It is a child of the request's span and ends with the request's own answer, although the
//! statement may have answered others, too. Where the request is not traced, none is made.

use tracing::{Instrument as _, Span, field};

use super::StoreError;

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Postgres, or what speaks its protocol.
    Postgres,
    /// SQLite.
    Sqlite,
}

impl System {
    /// Its name by the conventions (`db.system.name`).
    const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Sqlite => "sqlite",
        }
    }
}

/// What a request asks of the database. Neither holds a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    /// What is done.
    pub name: &'static str,
    /// To which of our tables above all.
    pub table: &'static str,
}

/// An operation on sessions.
pub(super) const fn on_sessions(name: &'static str) -> Operation {
    Operation { name, table: "user_sessions" }
}

/// Waits for the database within a span.
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
