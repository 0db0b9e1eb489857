//! Subcommands that work on the database while the service runs, with the real binary and real
//! replicas.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by a panic")]

mod sessions;
