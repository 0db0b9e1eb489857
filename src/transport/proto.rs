//! The code generated from the contract, `proto/token_authority/v1`.

use prost::Message as _;
use prost_types::FileDescriptorSet;

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

/// The contract's descriptor set, which reflection serves.
pub const DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/token_authority.bin"));

/// Returns the contract's services by their full names, with the methods of each.
#[must_use]
pub fn methods() -> Vec<(String, Vec<String>)> {
    // This crate's build script wrote the descriptor, so it always decodes.
    let files = FileDescriptorSet::decode(DESCRIPTOR).unwrap_or_default().file;
    let services = files.into_iter().flat_map(|file| {
        let package = file.package().to_owned();
        file.service
            .into_iter()
            .map(move |service| (format!("{package}.{}", service.name()), service))
    });
    let names = |service: prost_types::ServiceDescriptorProto| {
        service.method.iter().map(|method| method.name().to_owned()).collect()
    };
    services.map(|(name, service)| (name, names(service))).collect()
}
