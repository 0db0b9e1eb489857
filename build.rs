//! Generates the gRPC code and its descriptor from `proto/`, without `protoc`; and the code that
//! `clients/rust` has committed, for a test to compare (`tests/system/kits.rs`).

use std::error::Error;
use std::path::PathBuf;

use prost::Message as _;

const SERVICES: [&str; 5] = [
    "token_authority/v1/error_reason.proto",
    "token_authority/v1/operator_service.proto",
    "token_authority/v1/rollout_service.proto",
    "token_authority/v1/session_service.proto",
    "token_authority/v1/token_authority_service.proto",
];

/// Messages that hold a secret: they get no `Debug` that would print it.
const SECRET: [&str; 11] = [
    "IssueTokensRequest",
    "IssueTokensResponse",
    "RefreshAccessTokenRequest",
    "RefreshAccessTokenResponse",
    "RegisterDeviceRequest",
    "RegisterDeviceResponse",
    "RenewDeviceBindingRequest",
    "RenewDeviceBindingResponse",
    "RevokeRefreshTokenRequest",
    "ValidateTokenRequest",
    "ValidateTokensRequest",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=migrations");
    let descriptors = protox::compile(SERVICES, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("token_authority.bin"), descriptors.encode_to_vec())?;
    let secret = SECRET.map(|message| format!(".token_authority.v1.{message}"));
    let client = out.join("client");
    std::fs::create_dir_all(&client)?;
    tonic_prost_build::configure()
        .build_server(false)
        .out_dir(client)
        .skip_debug(secret.clone())
        .compile_fds(descriptors.clone())?;
    tonic_prost_build::configure()
        .codec_path("crate::transport::codec::Codec")
        .skip_debug(secret)
        .compile_fds(descriptors)?;
    Ok(())
}
