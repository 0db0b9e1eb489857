//! `TokenAuthorityService`: issue, refresh, revoke and validate tokens.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use tokio::sync::Semaphore;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Request, Response, Status};

use super::{answer_size, convert, devices};
use crate::authority::{AuthMethod, Authority, Compared, Tokens};
use crate::token::field::InvalidField;
use crate::transport::callers::Caller;
use crate::transport::proto::v1::token_authority_service_server::TokenAuthorityService;
use crate::transport::proto::v1::{
    IssueTokensRequest, IssueTokensResponse, RefreshAccessTokenRequest, RefreshAccessTokenResponse,
    RegisterDeviceRequest, RegisterDeviceResponse, RenewDeviceBindingRequest,
    RenewDeviceBindingResponse, RevokeRefreshTokenRequest, RevokeRefreshTokenResponse,
    ValidateTokenRequest, ValidateTokenResponse, ValidateTokensRequest, ValidateTokensResponse,
};

/// The metadata key of a second token, in a request and in an answer.
pub(in crate::transport) const SHADOW: &str = "x-shadow-token";

const BEARER: &str = "Bearer";
/// How many tokens `ValidateTokens` accepts.
pub(in crate::transport) const MAX_TOKENS: usize = 1000;

/// How long a batch may keep a thread to itself before other requests have their turn.
const TURN: Duration = Duration::from_micros(200);

/// How many JWTs of a batch are judged together. More would make a turn longer; fewer would make a batch
/// slower when revocations must be looked up in the database.
const TOKENS_AT_ONCE: usize = 4;

/// The implementation of `TokenAuthorityService`.
#[derive(Debug, Clone)]
pub struct TokenAuthority {
    authority: Arc<Authority>,
    /// One permit for each batch that may verify signatures at one time. The other threads stay free
    /// for other requests. Tokens whose signature was verified before need no permit.
    verifying: Arc<Semaphore>,
}

/// The error for a batch without tokens or with too many.
pub(in crate::transport) fn too_many_tokens() -> Status {
    InvalidField::new("tokens", "must be 1 to 1,000 tokens").into()
}

type Verdict = Result<ValidateTokenResponse, Status>;

impl TokenAuthority {
    /// Makes the service for this authority.
    #[must_use]
    pub fn new(authority: Arc<Authority>) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { authority, verifying: Arc::new(Semaphore::new((threads / 2).max(1))) }
    }

    async fn validate(&self, token: &str, audience: Option<&str>) -> Verdict {
        Ok(convert::validation(&self.authority.validate(token, audience).await?))
    }

    /// Validates a batch. Tokens that need the database are looked up together. JWTs need time on a
    /// thread instead.
    async fn validate_batch(
        &self,
        tokens: &[String],
        methods: &[AuthMethod],
        audience: Option<&str>,
    ) -> Result<Vec<ValidateTokenResponse>, Status> {
        let of = |wanted| {
            let kinds = tokens.iter().zip(methods);
            kinds.filter(move |(_, method)| **method == wanted).map(|(token, _)| token.as_str())
        };
        let jwts: Vec<_> = of(AuthMethod::Jwt).collect();
        let looked_up = of(AuthMethod::Session).map(|token| self.validate(token, audience));
        let mut looked_up = try_join_all(looked_up).await?.into_iter();
        let mut judged = self.validate_jwts(&jwts, audience).await?.into_iter();
        let in_order = methods.iter().map(|method| match method {
            AuthMethod::Jwt => judged.next(),
            AuthMethod::Session => looked_up.next(),
        });
        Ok(in_order.flatten().collect())
    }

    /// Validates JWTs, in turns, so that other requests have theirs in between. Few batches verify
    /// signatures at one time: a batch needs a permit for each turn in which it verifies one.
    async fn validate_jwts(
        &self,
        jwts: &[&str],
        audience: Option<&str>,
    ) -> Result<Vec<ValidateTokenResponse>, Status> {
        let mut judged = Vec::with_capacity(jwts.len());
        let mut turn = Instant::now();
        let mut permit = None;
        for few in jwts.chunks(TOKENS_AT_ONCE) {
            let verified =
                few.iter().map(|token| self.authority.validate_verified(token, audience));
            let verified = try_join_all(verified).await?;
            if permit.is_none() && verified.iter().any(Option::is_none) {
                // The semaphore is never closed, so there is always a permit.
                permit = self.verifying.acquire().await.ok();
            }
            let answers = few.iter().zip(verified).map(|(token, verified)| async move {
                match verified {
                    Some(validation) => Ok(convert::validation(&validation)),
                    None => self.validate(token, audience).await,
                }
            });
            judged.extend(try_join_all(answers).await?);
            if turn.elapsed() > TURN {
                permit = None;
                tokio::task::yield_now().await;
                turn = Instant::now();
            }
        }
        Ok(judged)
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
            persistent: Some($tokens.persistent),
            device_registration: devices::offer($tokens.device_challenge),
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
        let RefreshAccessTokenRequest { refresh_token, device_binding } = request.into_inner();
        let tokens = self.authority.refresh(&refresh_token, &device_binding).await?;
        let storing = tokens.storing;
        let mut response = handed_out!(RefreshAccessTokenResponse, tokens);
        // For the browser's adapter in this process. No extension goes over the wire.
        response.extensions_mut().insert(storing);
        Ok(response)
    }

    async fn revoke_refresh_token(
        &self,
        request: Request<RevokeRefreshTokenRequest>,
    ) -> Result<Response<RevokeRefreshTokenResponse>, Status> {
        let actor = Caller::name_of(request.extensions());
        let token = request.into_inner().refresh_token;
        self.authority.revoke_refresh_token(&token, &actor).await?;
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
            self.authority.compare(Compared { validation, audience }, other);
        }
        Ok(Response::new(answer))
    }

    async fn validate_tokens(
        &self,
        request: Request<ValidateTokensRequest>,
    ) -> Result<Response<ValidateTokensResponse>, Status> {
        let ValidateTokensRequest { tokens, audience } = request.into_inner();
        if tokens.is_empty() || tokens.len() > MAX_TOKENS {
            return Err(too_many_tokens());
        }
        let methods: Vec<_> = tokens.iter().map(|token| self.authority.method_of(token)).collect();
        let fits = answer_size::surely_fits(&tokens, &methods);
        if !fits {
            answer_size::check(&tokens, &methods)?;
        }
        let audience = (!audience.is_empty()).then_some(audience);
        let results = self.validate_batch(&tokens, &methods, audience.as_deref()).await?;
        let answer = ValidateTokensResponse { results };
        if !fits {
            answer_size::check_made(&answer)?;
        }
        Ok(Response::new(answer))
    }

    async fn register_device(
        &self,
        request: Request<RegisterDeviceRequest>,
    ) -> Result<Response<RegisterDeviceResponse>, Status> {
        let actor = Caller::name_of(request.extensions());
        let RegisterDeviceRequest { refresh_token, proof } = request.into_inner();
        let answer = self.authority.register_device(&refresh_token, &proof, &actor).await?;
        Ok(Response::new(devices::registered(answer)))
    }

    async fn renew_device_binding(
        &self,
        request: Request<RenewDeviceBindingRequest>,
    ) -> Result<Response<RenewDeviceBindingResponse>, Status> {
        let RenewDeviceBindingRequest { session_id, proof } = request.into_inner();
        let answer = self.authority.renew_device_binding(session_id.parse()?, &proof).await?;
        Ok(Response::new(devices::renewed(answer)))
    }
}
