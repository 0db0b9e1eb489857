//! The verifier as a tower layer: behind it, a request's extensions hold the [`Identity`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use crate::error::Reason;
use crate::verifier::Verifier;
use crate::{Identity, TokenError};

/// Lets requests in by their access token, and puts the [`Identity`] into their extensions.
///
/// A request without a good token is answered 401, one whose token lacks a scope 403, and one whose token
/// cannot be judged now 503 with `Retry-After`; a gRPC request by `UNAUTHENTICATED`,
/// `PERMISSION_DENIED` and `UNAVAILABLE`. For axum's routers, tonic's servers, and whatever else speaks
/// `http`'s requests.
#[derive(Debug, Clone)]
pub struct VerifierLayer {
    verifier: Verifier,
    rules: Arc<Rules>,
}

#[derive(Debug, Clone, Default)]
struct Rules {
    scopes: Vec<String>,
    audience: Option<String>,
    is_optional: bool,
}

impl VerifierLayer {
    /// A layer that asks that verifier.
    #[must_use]
    pub fn new(verifier: Verifier) -> Self {
        Self { verifier, rules: Arc::default() }
    }

    /// The same, for tokens that have all these scopes.
    #[must_use]
    pub fn scopes(self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let scopes = scopes.into_iter().map(Into::into).collect();
        self.with(|rules| rules.scopes = scopes)
    }

    /// The same, for tokens that are meant for that audience.
    #[must_use]
    pub fn audience(self, audience: impl Into<String>) -> Self {
        let audience = Some(audience.into());
        self.with(|rules| rules.audience = audience)
    }

    /// The same, letting in requests that bring no token, without an [`Identity`]. One that is not good is
    /// still refused.
    #[must_use]
    pub fn optional(self) -> Self {
        self.with(|rules| rules.is_optional = true)
    }

    fn with(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(Arc::make_mut(&mut self.rules));
        self
    }
}

impl<S> Layer<S> for VerifierLayer {
    type Service = VerifierService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        VerifierService { inner, layer: self.clone() }
    }
}

/// A service behind a [`VerifierLayer`].
#[derive(Debug, Clone)]
pub struct VerifierService<S> {
    inner: S,
    layer: VerifierLayer,
}

/// A server of tonic may have it around all its services.
impl<S: tonic::server::NamedService> tonic::server::NamedService for VerifierService<S> {
    const NAME: &'static str = S::NAME;
}

type Answer<B, E> = Pin<Box<dyn Future<Output = Result<Response<B>, E>> + Send>>;

impl<S, A, B> Service<Request<A>> for VerifierService<S>
where
    S: Service<Request<A>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    A: Send + 'static,
    B: Default,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Answer<B, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        // The one that is ready serves this request; its clone waits for the next.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let layer = self.layer.clone();
        Box::pin(async move {
            match layer.judge(request.headers()).await {
                Ok(identity) => {
                    if let Some(identity) = identity {
                        request.extensions_mut().insert(identity);
                    }
                    inner.call(request).await
                }
                Err(refusal) => Ok(refusal.answer(is_grpc(request.headers()))),
            }
        })
    }
}

impl VerifierLayer {
    async fn judge(&self, headers: &HeaderMap) -> Result<Option<Identity>, Refusal> {
        let Some(token) = bearer(headers) else {
            return if self.rules.is_optional { Ok(None) } else { Err(Refusal::NoToken) };
        };
        let judged = match &self.rules.audience {
            Some(audience) => self.verifier.verify_for(token, audience).await,
            None => self.verifier.verify(token).await,
        };
        let identity = judged.map_err(Refusal::Token)?;
        if self.rules.scopes.iter().all(|scope| identity.has_scope(scope)) {
            return Ok(Some(identity));
        }
        Err(Refusal::Scope(self.rules.scopes.join(" ")))
    }
}

/// The bearer token of a request (RFC 6750 section 2.1); empty if it says that it has one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

/// Why a request is not let in.
enum Refusal {
    /// It brings no token.
    NoToken,
    Token(TokenError),
    /// The token lacks one of these scopes.
    Scope(String),
}

impl Refusal {
    fn answer<B: Default>(&self, is_grpc: bool) -> Response<B> {
        let (status, code) = match self {
            Self::Token(TokenError { reason: Reason::Unavailable }) => {
                (StatusCode::SERVICE_UNAVAILABLE, tonic::Code::Unavailable)
            }
            Self::NoToken | Self::Token(_) => {
                (StatusCode::UNAUTHORIZED, tonic::Code::Unauthenticated)
            }
            Self::Scope(_) => (StatusCode::FORBIDDEN, tonic::Code::PermissionDenied),
        };
        let mut response = if is_grpc {
            tonic::Status::new(code, self.message()).into_http::<B>()
        } else {
            let mut response = Response::new(B::default());
            *response.status_mut() = status;
            response
        };
        let headers = response.headers_mut();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        } else if let Ok(challenge) = HeaderValue::from_str(&self.challenge()) {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }

    fn message(&self) -> String {
        match self {
            Self::NoToken => "an access token is needed".to_owned(),
            Self::Token(error) => error.to_string(),
            Self::Scope(scopes) => format!("the token lacks a scope of: {scopes}"),
        }
    }

    fn challenge(&self) -> String {
        match self {
            // No error code: the client may not know yet that a token is needed (RFC 6750 section 3.1).
            Self::NoToken => "Bearer".to_owned(),
            Self::Token(_) => r#"Bearer error="invalid_token""#.to_owned(),
            Self::Scope(scopes) => {
                format!(r#"Bearer error="insufficient_scope", scope="{scopes}""#)
            }
        }
    }
}
