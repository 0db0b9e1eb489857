//! Who may call, and limits: against a real server, over real connections.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail by a panic"
)]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "this suite needs only a part of it")]
mod support;

mod authority;
mod certificates;
mod flood;
mod limits;
mod oauth_clients;
mod replaced;
mod rpc;
mod start;
mod table;
mod web;
