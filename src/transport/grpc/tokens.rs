//! `TokenAuthorityService`: issue, refresh, revoke and validate tokens.

use std::sync::Arc;

use tonic::metadata::AsciiMetadataValue;
use tonic::{Request, Response, Status};

use super::convert;
use crate::authority::{Authority, Compared, Tokens};
use crate::token::field::InvalidField;
use crate::transport::callers::Caller;
use crate::transport::proto::v1::token_authority_service_server::TokenAuthorityService;
use crate::transport::proto::v1::{
    IssueTokensRequest, IssueTokensResponse, RefreshAccessTokenRequest, RefreshAccessTokenResponse,
    RevokeRefreshTokenRequest, RevokeRefreshTokenResponse, ValidateTokenRequest,
    ValidateTokenResponse, ValidateTokensRequest, ValidateTokensResponse,
};

/// The metadata key of a second token, in a request and in an answer.
pub(in crate::transport) const SHADOW: &str = "x-shadow-token";

const BEARER: &str = "Bearer";
const MOST_TOKENS: usize = 1000;

/// The implementation of `TokenAuthorityService`.
#[derive(Debug, Clone)]
pub struct TokenAuthority {
    authority: Arc<Authority>,
}

impl TokenAuthority {
    /// Makes the service for this authority.
    #[must_use]
    pub const fn new(authority: Arc<Authority>) -> Self {
        Self { authority }
    }

    async fn validate(&self, token: &str, audience: &str) -> Result<ValidateTokenResponse, Status> {
        let audience = (!audience.is_empty()).then_some(audience);
        Ok(convert::validation(&self.authority.validate(token, audience).await?))
    }

    /// Returns the token of the other kind that a request carries beside its own, in shadow mode.
    fn shadow_of<T>(&self, request: &Request<T>) -> Option<String> {
        let shadow = request.metadata().get(SHADOW).filter(|_| self.authority.has_shadow())?;
        Some(shadow.to_str().ok()?.to_owned())
    }
}

fn with_shadow<T>(shadow: Option<&str>, answer: T) -> Response<T> {
    let mut response = Response::new(answer);
    if let Some(mut shadow) = shadow.and_then(|token| AsciiMetadataValue::try_from(token).ok()) {
        shadow.set_sensitive(true);
        response.metadata_mut().insert(SHADOW, shadow);
    }
    response
}

/// Builds the answer of an RPC that hands out tokens: two messages of the contract have the same
/// fields.
macro_rules! handed_out {
    ($message:ident, $tokens:ident) => {{
        let Tokens { expires_in, refresh_expires_in, session_id, auth_method, .. } = $tokens;
        let answer = $message {
            access_token: $tokens.access_token,
            token_type: BEARER.into(),
            expires_in: Some(convert::duration(expires_in)),
            refresh_token: $tokens.refresh_token,
            refresh_expires_in: Some(convert::duration(refresh_expires_in)),
            session_id: session_id.to_string(),
            auth_method: convert::auth_method(auth_method).into(),
            user_id: $tokens.user_id.as_str().to_owned(),
        };
        with_shadow($tokens.shadow.as_deref(), answer)
    }};
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
        Ok(handed_out!(IssueTokensResponse, tokens))
    }

    async fn refresh_access_token(
        &self,
        request: Request<RefreshAccessTokenRequest>,
    ) -> Result<Response<RefreshAccessTokenResponse>, Status> {
        let tokens = self.authority.refresh(&request.into_inner().refresh_token).await?;
        Ok(handed_out!(RefreshAccessTokenResponse, tokens))
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
        let shadow = self.shadow_of(&request);
        let ValidateTokenRequest { token, audience } = request.into_inner();
        let audience = (!audience.is_empty()).then_some(audience);
        let validation = self.authority.validate(&token, audience.as_deref()).await?;
        let answer = convert::validation(&validation);
        if let Some(other) = shadow {
            let method = self.authority.method_of(&token);
            self.authority.compare(Compared { validation, method, audience }, other);
        }
        Ok(Response::new(answer))
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
