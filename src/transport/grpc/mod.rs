//! The gRPC services. Each RPC is decode → authority → encode.

mod answer_size;
mod convert;
mod devices;
mod dispatch;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod history;
mod operator;
mod rollout;
mod sessions;
mod stack;
mod tokens;
mod watch;
mod web;

use std::sync::Arc;

use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic_health::pb::health_server::{Health, HealthServer};

use super::limits::{BATCH_BYTES, MESSAGE_BYTES};
use super::proto;
use super::proto::v1::operator_service_server::OperatorServiceServer;
use super::proto::v1::rollout_service_server::RolloutServiceServer;
use super::proto::v1::session_service_server::SessionServiceServer;
use super::proto::v1::token_authority_service_server::TokenAuthorityServiceServer;
use crate::authority::{Authority, RolloutControl};

pub(in crate::transport) use convert::{claims, issue};
pub use dispatch::Rpcs;
pub use operator::Operator;
pub use rollout::Rollouts;
pub use sessions::Sessions;
pub use stack::{GrpcStack, TokensInProcess};
pub use tokens::TokenAuthority;
pub(in crate::transport) use tokens::{MAX_TOKENS, SHADOW, too_many_tokens};
pub use web::GrpcPort;

/// The service names that health checks may ask for, beside the empty name for the whole process.
pub const SERVICES: [&str; 4] = [
    "token_authority.v1.TokenAuthorityService",
    "token_authority.v1.SessionService",
    "token_authority.v1.RolloutService",
    "token_authority.v1.OperatorService",
];

/// Builds all services of the gRPC port: the contract's, health, and, if `REFLECTION` is on, reflection
/// in both versions, because older grpcurl releases speak only `v1alpha`.
///
/// # Errors
/// Returns an error if the contract's descriptor cannot be read, which a test rules out.
pub fn routes<H: Health>(
    authority: &Arc<Authority>,
    rollout: &Arc<RolloutControl>,
    operator: Operator,
    health: HealthServer<H>,
    reflection: bool,
) -> Result<Rpcs, tonic_reflection::server::Error> {
    let describe = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTOR)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // With these types grpcurl shows an error's details instead of their bytes.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let tokens = TokenAuthority::new(Arc::clone(authority));
    let sessions = Sessions::new(Arc::clone(authority));
    let tokens = TokenAuthorityServiceServer::new(tokens)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MESSAGE_BYTES);
    let batches = tokens.clone().max_decoding_message_size(BATCH_BYTES);
    let sessions = SessionServiceServer::new(sessions)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MESSAGE_BYTES);
    let rollouts = RolloutServiceServer::new(Rollouts::new(Arc::clone(rollout)))
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MESSAGE_BYTES);
    let operator = OperatorServiceServer::new(operator)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MESSAGE_BYTES);
    let health = health
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MESSAGE_BYTES);
    let routes =
        Routes::new(sessions).add_service(rollouts).add_service(operator).add_service(health);
    if !reflection {
        return Ok(Rpcs::new(tokens, batches, routes));
    }
    let (v1, v1alpha) = (describe().build_v1()?, describe().build_v1alpha()?);
    let routes = routes
        .add_service(v1.max_decoding_message_size(MESSAGE_BYTES))
        .add_service(v1alpha.max_decoding_message_size(MESSAGE_BYTES));
    Ok(Rpcs::new(tokens, batches, routes))
}
