//! Reads the instruments as an operator does: a real Prometheus scrapes two loaded replicas, and
//! every query of the dashboard and of the alert rules has to find something there; promtool holds
//! metrics and rules to its own ideas; the pages that explain them are held to what there is.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail by a panic"
)]

mod documents;
mod exposition;
mod load;
mod prometheus;
mod queries;
mod rules;
mod troubleshooting;
