//! Checks the instruments as an operator uses them: a real Prometheus scrapes two loaded replicas,
//! and every query of the dashboard and of the alert rules must return something. promtool checks
//! metrics and rules, and the documentation must match them.

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
