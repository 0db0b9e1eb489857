//! `TokenAuthorityService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::convert;
use crate::authority::{Authority, Tokens};
use crate::token::field::InvalidField;
use crate::transport::callers::Caller;
use crate::transport::proto::v1::token_authority_service_server::TokenAuthorityService;
use crate::transport::proto::v1::{
    IssueTokensRequest, IssueTokensResponse, RefreshAccessTokenRequest, RefreshAccessTokenResponse,
    RevokeRefreshTokenRequest, RevokeRefreshTokenResponse, ValidateTokenRequest,
    ValidateTokenResponse, ValidateTokensRequest, ValidateTokensResponse,
};

const BEARER: &str = "Bearer";
const MOST_TOKENS: usize = 1000;

/// The service over an authority.
#[derive(Debug, Clone)]
pub struct TokenAuthority {
    authority: Arc<Authority>,
}

impl TokenAuthority {
    /// Serves that authority.
    #[must_use]
    pub const fn new(authority: Arc<Authority>) -> Self {
        Self { authority }
    }

    async fn validate(&self, token: &str, audience: &str) -> Result<ValidateTokenResponse, Status> {
        let audience = (!audience.is_empty()).then_some(audience);
        Ok(convert::validation(self.authority.validate(token, audience).await?))
    }
}

#[tonic::async_trait]
impl TokenAuthorityService for TokenAuthority {
    async fn issue_tokens(
        &self,
        request: Request<IssueTokensRequest>,
    ) -> Result<Response<IssueTokensResponse>, Status> {
        let caller = Caller::name_of(request.extensions());
        let issue = convert::issue(request.into_inner(), caller)?;
        let tokens = self.authority.issue(issue).await?;
        let Tokens { expires_in, refresh_expires_in, session_id, auth_method, .. } = tokens;
        Ok(Response::new(IssueTokensResponse {
            access_token: tokens.access_token,
            token_type: BEARER.into(),
            expires_in: Some(convert::duration(expires_in)),
            refresh_token: tokens.refresh_token,
            refresh_expires_in: Some(convert::duration(refresh_expires_in)),
            session_id: session_id.to_string(),
            auth_method: convert::auth_method(auth_method).into(),
        }))
    }

    async fn refresh_access_token(
        &self,
        request: Request<RefreshAccessTokenRequest>,
    ) -> Result<Response<RefreshAccessTokenResponse>, Status> {
        let tokens = self.authority.refresh(&request.into_inner().refresh_token).await?;
        let Tokens { expires_in, refresh_expires_in, session_id, auth_method, .. } = tokens;
        Ok(Response::new(RefreshAccessTokenResponse {
            access_token: tokens.access_token,
            token_type: BEARER.into(),
            expires_in: Some(convert::duration(expires_in)),
            refresh_token: tokens.refresh_token,
            refresh_expires_in: Some(convert::duration(refresh_expires_in)),
            session_id: session_id.to_string(),
            auth_method: convert::auth_method(auth_method).into(),
        }))
    }

    async fn revoke_refresh_token(
        &self,
        request: Request<RevokeRefreshTokenRequest>,
    ) -> Result<Response<RevokeRefreshTokenResponse>, Status> {
        self.authority.revoke_refresh_token(&request.into_inner().refresh_token).await?;
        Ok(Response::new(RevokeRefreshTokenResponse {}))
    }

    async fn validate_token(
        &self,
        request: Request<ValidateTokenRequest>,
    ) -> Result<Response<ValidateTokenResponse>, Status> {
        let ValidateTokenRequest { token, audience } = request.into_inner();
        Ok(Response::new(self.validate(&token, &audience).await?))
    }

    async fn validate_tokens(
        &self,
        request: Request<ValidateTokensRequest>,
    ) -> Result<Response<ValidateTokensResponse>, Status> {
        let ValidateTokensRequest { tokens, audience } = request.into_inner();
        if tokens.is_empty() || tokens.len() > MOST_TOKENS {
            return Err(InvalidField::new("tokens", "must be 1 to 1,000 tokens").into());
        }
        let answers = tokens.iter().map(|token| self.validate(token, &audience));
        let results = futures::future::try_join_all(answers).await?;
        Ok(Response::new(ValidateTokensResponse { results }))
    }
}
