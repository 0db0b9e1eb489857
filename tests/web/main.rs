//! The HTTP port as browsers, native apps and OAuth 2 clients use it, behind proxies too.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod raw;
mod remember;
mod tokens;

mod batches;
mod bodies;
mod cookies;
mod devices;
mod documents;
mod native_apps;
mod next;
mod origins;
mod sessions;
mod start;
