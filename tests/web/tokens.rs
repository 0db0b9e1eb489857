//! Short calls for these tests: a login, a validation, and the state of a session.

use token_authority::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use token_authority::transport::proto::v1::{
    IssueTokensRequest, IssueTokensResponse, RefreshAccessTokenRequest, RevokeRefreshTokenRequest,
    ValidateTokenRequest, ValidateTokenResponse,
};
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

use test_support::replica::Replica;

fn client(service: &Replica) -> TokenAuthorityServiceClient<Channel> {
    service.tokens()
}

/// Logs a user in.
pub(crate) async fn issue(service: &Replica, user: &str) -> IssueTokensResponse {
    let ask = IssueTokensRequest {
        user_id: user.into(),
        scopes: vec!["read".into(), "write".into()],
        ..Default::default()
    };
    client(service).issue_tokens(ask).await.unwrap().into_inner()
}

/// Validates an access token.
pub(crate) async fn validate(service: &Replica, token: &str) -> ValidateTokenResponse {
    let ask = ValidateTokenRequest { token: token.into(), ..Default::default() };
    client(service).validate_token(ask).await.unwrap().into_inner()
}

/// Ends a session.
pub(crate) async fn revoke(service: &Replica, refresh_token: &str) {
    let ask = RevokeRefreshTokenRequest { refresh_token: refresh_token.into() };
    client(service).revoke_refresh_token(ask).await.unwrap();
}

/// Returns whether a refresh token is granted.
pub(crate) async fn is_good(service: &Replica, refresh_token: &str) -> bool {
    let ask =
        RefreshAccessTokenRequest { refresh_token: refresh_token.into(), ..Default::default() };
    client(service).refresh_access_token(ask).await.is_ok()
}

/// Returns whether a refresh token's session was revoked.
pub(crate) async fn is_over(service: &Replica, login: &IssueTokensResponse) -> bool {
    let ask = RefreshAccessTokenRequest {
        refresh_token: login.refresh_token.clone(),
        ..Default::default()
    };
    let refused = client(service).refresh_access_token(ask).await.err();
    refused.is_some_and(|error| reason(&error) == "REFRESH_TOKEN_REVOKED")
}

fn reason(error: &Status) -> String {
    let details = error.get_error_details();
    details.error_info().map(|info| info.reason.clone()).unwrap_or_default()
}
