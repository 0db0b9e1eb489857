//! The crate beside the real service, and against the service's verdicts.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its helpers, too"
)]

mod guide;
mod keys;
mod layer;
mod service;
mod sessions;
mod vectors;
