//! Calls and errors of the contract in a short form for tests.

use token_authority::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use token_authority::transport::proto::v1::{
    IssueTokensRequest, IssueTokensResponse, RefreshAccessTokenRequest, RefreshAccessTokenResponse,
    RevokeRefreshTokenRequest, ValidateTokenRequest, ValidateTokenResponse,
};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A client of the service's tokens.
pub(crate) type Tokens = TokenAuthorityServiceClient<Channel>;

/// Logs a user in.
pub(crate) async fn issue(client: &Tokens, user: &str) -> IssueTokensResponse {
    try_issue(client, user).await.unwrap()
}

/// Tries to log a user in.
pub(crate) async fn try_issue(client: &Tokens, user: &str) -> Result<IssueTokensResponse, Status> {
    let ask = IssueTokensRequest { user_id: user.into(), ..Default::default() };
    client.clone().issue_tokens(ask).await.map(tonic::Response::into_inner)
}

/// Presents a refresh token.
pub(crate) async fn refresh(
    client: &Tokens,
    token: &str,
) -> Result<RefreshAccessTokenResponse, Status> {
    let ask = RefreshAccessTokenRequest { refresh_token: token.into(), ..Default::default() };
    client.clone().refresh_access_token(ask).await.map(tonic::Response::into_inner)
}

/// Revokes a refresh token.
pub(crate) async fn revoke(client: &Tokens, token: &str) -> Result<(), Status> {
    let ask = RevokeRefreshTokenRequest { refresh_token: token.into() };
    client.clone().revoke_refresh_token(ask).await.map(drop)
}

/// Validates an access token.
pub(crate) async fn validate(client: &Tokens, token: &str) -> ValidateTokenResponse {
    let ask = ValidateTokenRequest { token: token.into(), audience: String::new() };
    client.clone().validate_token(ask).await.unwrap().into_inner()
}

/// Returns the code and the `ErrorInfo.reason` of an error, and checks the domain.
pub(crate) fn reason(error: &Status) -> (Code, String) {
    let details = error.get_error_details();
    let Some(info) = details.error_info() else { panic!("no ErrorInfo: {error:?}") };
    assert_eq!(info.domain, "token-authority");
    (error.code(), info.reason.clone())
}

/// Returns the fields that an error's `BadRequest` names.
pub(crate) fn bad_fields(error: &Status) -> Vec<String> {
    let details = error.get_error_details();
    let violations = details.bad_request().map(|bad| &bad.field_violations[..]);
    violations.unwrap_or_default().iter().map(|violation| violation.field.clone()).collect()
}
