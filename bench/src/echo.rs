//! The limit of RPC: a bare tonic server with the same contract, which answers every
//! `ValidateToken` with the same bytes and does nothing else.

use std::net::SocketAddr;
use std::path::Path;

use token_authority::transport::proto::v1::token_authority_service_server::{
    TokenAuthorityService, TokenAuthorityServiceServer,
};
use token_authority::transport::proto::v1::{
    IssueTokensRequest, IssueTokensResponse, RefreshAccessTokenRequest, RefreshAccessTokenResponse,
    RegisterDeviceRequest, RegisterDeviceResponse, RenewDeviceBindingRequest,
    RenewDeviceBindingResponse, RevokeRefreshTokenRequest, RevokeRefreshTokenResponse,
    ValidateTokenRequest, ValidateTokenResponse, ValidateTokensRequest, ValidateTokensResponse,
};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

struct Echo(ValidateTokenResponse);

#[tonic::async_trait]
impl TokenAuthorityService for Echo {
    async fn validate_token(
        &self,
        _: Request<ValidateTokenRequest>,
    ) -> Result<Response<ValidateTokenResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }

    async fn issue_tokens(
        &self,
        _: Request<IssueTokensRequest>,
    ) -> Result<Response<IssueTokensResponse>, Status> {
        Err(Status::unimplemented("an echo"))
    }

    async fn refresh_access_token(
        &self,
        _: Request<RefreshAccessTokenRequest>,
    ) -> Result<Response<RefreshAccessTokenResponse>, Status> {
        Err(Status::unimplemented("an echo"))
    }

    async fn revoke_refresh_token(
        &self,
        _: Request<RevokeRefreshTokenRequest>,
    ) -> Result<Response<RevokeRefreshTokenResponse>, Status> {
        Err(Status::unimplemented("an echo"))
    }

    async fn register_device(
        &self,
        _: Request<RegisterDeviceRequest>,
    ) -> Result<Response<RegisterDeviceResponse>, Status> {
        Err(Status::unimplemented("an echo"))
    }

    async fn renew_device_binding(
        &self,
        _: Request<RenewDeviceBindingRequest>,
    ) -> Result<Response<RenewDeviceBindingResponse>, Status> {
        Err(Status::unimplemented("an echo"))
    }

    async fn validate_tokens(
        &self,
        _: Request<ValidateTokensRequest>,
    ) -> Result<Response<ValidateTokensResponse>, Status> {
        Err(Status::unimplemented("an echo"))
    }
}

/// Serves until it is killed.
pub(crate) async fn serve(addr: SocketAddr, answer: &Path) {
    let answer = prost::Message::decode(std::fs::read(answer).unwrap().as_slice()).unwrap();
    let incoming = TcpIncoming::bind(addr).unwrap().with_nodelay(Some(true));
    tonic::transport::Server::builder()
        .add_service(TokenAuthorityServiceServer::new(Echo(answer)))
        .serve_with_incoming(incoming)
        .await
        .unwrap();
}
