//! Subcommands for operators, on the database and on real replicas, with the real binary.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by a panic")]

mod console;
mod sessions;
mod status;
