//! The commands and snippets of README and `docs/` run as they stand, in their order.
//!
//! [`listed`] names every snippet: the test that runs it, or why it cannot run. The guides and the
//! kits' own pages are run by the kits' tests.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by a panic, in its helpers too"
)]

mod callers_and_keys;
mod first_minute;
mod listed;
mod machine;
mod operations;
mod page;
mod postgres;
mod revocation;
mod rollout;
mod verifiers;
