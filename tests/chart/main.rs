//! Holds the Helm chart to what it promises: real Helm renders it, Kubernetes' own schemas accept
//! what it renders, contradictions are refused, and what it gives its container starts the binary.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by a panic")]

mod contents;
mod helm;
mod image;
mod kept_in_step;
mod refusals;
mod start;
mod valid;
