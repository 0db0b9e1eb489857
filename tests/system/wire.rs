//! The contract's messages as tests write them, and its errors as tests read them.

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

/// A user logs in.
pub(crate) async fn issue(client: &Tokens, user: &str) -> IssueTokensResponse {
    try_issue(client, user).await.unwrap()
}

/// A user tries to log in.
pub(crate) async fn try_issue(client: &Tokens, user: &str) -> Result<IssueTokensResponse, Status> {
    let ask = IssueTokensRequest { user_id: user.into(), ..Default::default() };
    client.clone().issue_tokens(ask).await.map(tonic::Response::into_inner)
}

/// A refresh token is presented.
pub(crate) async fn refresh(
    client: &Tokens,
    token: &str,
) -> Result<RefreshAccessTokenResponse, Status> {
    let ask = RefreshAccessTokenRequest { refresh_token: token.into() };
    client.clone().refresh_access_token(ask).await.map(tonic::Response::into_inner)
}

/// A refresh token's session is ended.
pub(crate) async fn revoke(client: &Tokens, token: &str) -> Result<(), Status> {
    let ask = RevokeRefreshTokenRequest { refresh_token: token.into() };
    client.clone().revoke_refresh_token(ask).await.map(drop)
}

/// An access token is shown.
pub(crate) async fn validate(client: &Tokens, token: &str) -> ValidateTokenResponse {
    let ask = ValidateTokenRequest { token: token.into(), audience: String::new() };
    client.clone().validate_token(ask).await.unwrap().into_inner()
}

/// The code and the `ErrorInfo.reason` of an error; the domain is the contract's.
pub(crate) fn reason(error: &Status) -> (Code, String) {
    let details = error.get_error_details();
    let Some(info) = details.error_info() else { panic!("no ErrorInfo: {error:?}") };
    assert_eq!(info.domain, "token-authority");
    (error.code(), info.reason.clone())
}

/// The fields that an error's `BadRequest` names.
pub(crate) fn bad_fields(error: &Status) -> Vec<String> {
    let details = error.get_error_details();
    let violations = details.bad_request().map(|bad| &bad.field_violations[..]);
    violations.unwrap_or_default().iter().map(|violation| violation.field.clone()).collect()
}
