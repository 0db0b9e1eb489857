//! Verify the access tokens of a token-authority in a Rust backend, follow its revocations, and call it.
//!
//! * [`Verifier`] says whether an access token is good, without a call where it can.
//! * [`VerifierLayer`] is the same for tower: axum, tonic and hyper services find the [`Identity`] in
//!   the request's extensions.
//! * [`Client`] calls the service: issue, refresh, revoke, list, change, end and erase sessions, and tell their
//!   history.

mod builder;
mod cache;
mod client;
mod error;
mod history;
mod identity;
mod jws;
mod key_set;
mod keys;
mod layer;
mod remote;
mod revocations;
mod target;
mod unsent;
mod update;
mod verifier;

pub use builder::{BuildError, VerifierBuilder};
pub use client::{Client, ClientInfo, Issue, Session, Tokens};
pub use error::{ClientError, Reason, TokenError};
pub use history::{Happened, SessionEvent};
pub use identity::{Identity, Method};
pub use layer::{VerifierLayer, VerifierService};
pub use target::{Target, TargetError};
pub use unsent::was_never_sent;
pub use update::Update;
pub use verifier::{State, Verifier};

/// The messages and clients of the service's contract, `token_authority.v1`.
#[expect(
    clippy::pedantic,
    missing_debug_implementations,
    reason = "generated from the contract, which documents itself and keeps secrets from printing"
)]
pub mod v1 {
    include!("generated/token_authority.v1.rs");
}
