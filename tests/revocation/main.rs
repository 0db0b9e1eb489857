//! Revocations reach every replica: real replicas on a real Postgres, behind a real PgBouncer, with
//! a real Redis, and on SQLite, while the connection to the database is cut and restored.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers, too"
)]

mod changed;
mod oauth;
mod outage;
mod outlast;
mod redis_server;
mod replica;
mod signals;
mod spread;
mod staleness;
mod subscribers;
mod watch;
