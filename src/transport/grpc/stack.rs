//! All RPCs as the ports serve them, and as the HTTP port of this process calls them.

use super::Rpcs;
use crate::transport::callers::gate::{AuthService, RpcPort};
use crate::transport::callers::in_process::InProcess;
use crate::transport::observe::Observe;
use crate::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;

/// All RPCs, observed and behind the gate.
pub type GrpcStack = Observe<AuthService<Rpcs, RpcPort>>;

/// The tokens' service, called in this process.
pub type TokensInProcess = TokenAuthorityServiceClient<InProcess<GrpcStack>>;
