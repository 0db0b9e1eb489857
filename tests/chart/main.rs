//! Checks the Helm chart: real Helm renders it, Kubernetes' own schemas accept the result,
//! contradictory values are refused, and the binary starts with the rendered containers.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by a panic")]

mod contents;
mod helm;
mod image;
mod kept_in_step;
mod refusals;
mod start;
mod valid;
