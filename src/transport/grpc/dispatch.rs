//! Dispatches an RPC to its service.
//!
//! `TokenAuthorityService` is called thousands of times a second, so it is tried first: a router, which
//! handles paths of any shape, would cost as much as a validation.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use tonic::body::Body;
use tonic::server::NamedService as _;
use tonic::service::Routes;
use tower::Service;

use super::TokenAuthority;
use crate::transport::proto::v1::token_authority_service_server::TokenAuthorityServiceServer;

type Tokens = TokenAuthorityServiceServer<TokenAuthority>;

/// All services of the gRPC port.
#[derive(Debug, Clone)]
pub struct Rpcs {
    tokens: Tokens,
    /// The same service with larger messages, for `ValidateTokens` alone.
    batches: Tokens,
    others: Routes,
}

impl Rpcs {
    pub(super) fn new(tokens: Tokens, batches: Tokens, others: Routes) -> Self {
        Self { tokens, batches, others: others.prepare() }
    }
}

impl<B> Service<Request<B>> for Rpcs
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Every service is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match service_and_method(request.uri().path()) {
            (Tokens::NAME, "ValidateTokens") => self.batches.call(request),
            (Tokens::NAME, _) => self.tokens.call(request),
            _ => Box::pin(self.others.call(request)),
        }
    }
}

fn service_and_method(path: &str) -> (&str, &str) {
    path.strip_prefix('/').and_then(|path| path.split_once('/')).unwrap_or_default()
}
