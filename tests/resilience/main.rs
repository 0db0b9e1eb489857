//! Holds the service to going on while what is around it, and it itself, is stopped, crashes,
//! moves or is replaced: real replicas, a real Postgres and a real `HAProxy` under load.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail by a panic"
)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "this suite needs only a part of it")]
mod support;

mod browser;
mod cluster;
mod crash;
mod failover;
mod haproxy;
mod load;
mod previous;
mod replica;
mod restore;
mod rolling;
mod side_by_side;
mod user;
