//! Keys from the point of view of verifiers and operators: the real binary, a real Envoy, `PyJWT`
//! and jose, OAuth 2 clients, and rotation and changes of the algorithm under load.
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
