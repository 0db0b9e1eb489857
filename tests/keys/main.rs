//! Keys as verifiers and operators meet them: the real binary, a real Envoy, `PyJWT` and jose, OAuth 2
//! clients; rotation and moves between algorithms under load.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, in its helpers, too"
)]

#[expect(dead_code, reason = "no poolers here")]
#[path = "../support/mod.rs"]
mod support;

mod administration;
mod discovery;
mod moves;
mod replica;
mod rotation;
mod verifier;
