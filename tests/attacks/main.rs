//! Attacks on the running service, each bounded and on loopback, with an honest client beside it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by a panic")]

mod age;
mod batches;
mod bodies;
mod connections;
mod cookies;
mod floods;
mod frames;
mod media;
mod probes;
mod refusals;
mod removed;
mod spread;
mod streams;
mod target;
mod web;
