//! The generated contract: `proto/token_authority/v1`.

/// The messages and services of `token_authority.v1`.
#[expect(
    clippy::pedantic,
    clippy::allow_attributes,
    missing_debug_implementations,
    reason = "generated from the contract, which documents itself and keeps secrets from printing"
)]
pub mod v1 {
    tonic::include_proto!("token_authority.v1");
}

/// The contract's descriptor, for reflection.
pub const DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/token_authority.bin"));
