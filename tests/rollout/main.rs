//! Moving users from database sessions to JWTs and back, on real processes and real databases.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail by a panic"
)]

#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "../support/mod.rs"]
mod support;

#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "../support/replica.rs"]
mod replica;

mod buckets;
mod kinds;
mod legacy;
mod replicas;
mod shadow;
mod users;
