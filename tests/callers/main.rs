//! Authentication, roles and limits, with a real server and real connections.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by a panic")]

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
