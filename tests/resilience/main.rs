//! Checks that the service continues while its environment, or a replica itself, is stopped,
//! crashes, moves or is replaced. The tests use real replicas, a real Postgres and a real `HAProxy`
//! under load.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by a panic")]

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
