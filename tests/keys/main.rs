//! Keys as verifiers and operators meet them: the real binary, a real Envoy, `PyJWT` and jose, OAuth 2
//! clients; rotation and moves between algorithms under load.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers, too"
)]

mod administration;
mod client;
mod discovery;
mod moves;
mod rotation;
mod verifier;
