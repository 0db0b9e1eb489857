//! Subcommands that work on the database beside the service: the real binary, real replicas.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by a panic")]

mod sessions;
