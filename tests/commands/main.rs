//! Subcommands that work on the database beside the service: the real binary, real replicas.

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

mod sessions;
