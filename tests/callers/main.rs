//! Who may call, and limits: against a real server, over real connections.
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
