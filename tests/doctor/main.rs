//! Plants faults one at a time and checks that `token-authority doctor` finds exactly that fault,
//! finds none in a healthy installation, and changes nothing.

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
