//! Plants faults one at a time and holds `token-authority doctor` to finding each, that one alone,
//! and none in a healthy installation; and that it changes nothing while it looks.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by a panic")]

mod callers;
mod certificates;
mod health;
mod healthy;
mod installation;
mod keys;
mod looking;
mod postgres;
mod replica;
mod rollout;
mod settings;
mod sqlite;
