//! gRPC-Web on the gRPC port, for callers that have `fetch` and no HTTP/2 client: Workers, Deno, Bun.
//!
//! 1. A `POST` of `application/grpc-web` is translated to gRPC before the gate sees it. So the same
//!    authentication, roles and limits apply, and the same log lines and metrics are written.
//! 2. Over HTTP/1.1 only gRPC-Web is served. gRPC itself needs the trailers of HTTP/2.
//! 3. A page in a browser is refused. A caller's key has no place in a page, and without this rule a
//!    page could call a development service, which has no keys, by DNS rebinding.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::middleware::from_fn;
use futures::FutureExt as _;
use futures::future::{Either as Next, Map};
use http::{HeaderMap, Request, Response, StatusCode, Version, header};
use http_body_util::Either;
use tonic_web::GrpcWebLayer;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, Service};

use super::GrpcStack;
use crate::transport::limits::unread_body;
use crate::transport::observe::Observed;
use crate::transport::page;
use crate::transport::serve::open_stream::RequestBody;

type Native = Observed<tonic::body::Body>;
type Answer = Response<Either<Native, Body>>;
type Answered = Result<Answer, Infallible>;

/// All RPCs as the gRPC port serves them: over gRPC and over gRPC-Web.
#[derive(Debug, Clone)]
pub struct GrpcPort {
    native: GrpcStack,
    /// Shared, because every request clones its port, and few of them use this.
    web: Arc<BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>>,
}

impl GrpcPort {
    /// Serves the RPCs of `stack`.
    #[must_use]
    pub fn new(stack: GrpcStack) -> Self {
        let web = GrpcWebLayer::new().layer(stack.clone());
        // Without it, an early refusal over HTTP/1.1 would reach the client as a broken connection.
        let web = from_fn(unread_body::finish).layer(web);
        Self { native: stack, web: Arc::new(BoxCloneSyncService::new(web)) }
    }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// gRPC, or something else that the gate refuses.
    Native,
    /// gRPC-Web.
    Web,
    /// Something that is refused here, with this status.
    Nothing(StatusCode),
}

impl Asked {
    fn by(version: Version, headers: &HeaderMap) -> Self {
        let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
        if kind.starts_with(b"application/grpc-web") {
            let is_of_a_page = page::is_asking(headers);
            return if is_of_a_page { Self::Nothing(StatusCode::FORBIDDEN) } else { Self::Web };
        }
        if version < Version::HTTP_2 && kind.starts_with(b"application/grpc") {
            return Self::Nothing(StatusCode::HTTP_VERSION_NOT_SUPPORTED);
        }
        Self::Native
    }
}

impl Service<Request<RequestBody>> for GrpcPort {
    type Response = Answer;
    type Error = Infallible;
    type Future = Next<
        Map<
            <GrpcStack as Service<Request<RequestBody>>>::Future,
            fn(Result<Response<Native>, Infallible>) -> Answered,
        >,
        Pin<Box<dyn Future<Output = Answered> + Send>>,
    >;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Every service is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        match Asked::by(request.version(), request.headers()) {
            Asked::Native => Next::Left(
                self.native.call(request).map(|answered| Ok(answered?.map(Either::Left))),
            ),
            Asked::Web => {
                let answering = BoxCloneSyncService::clone(&self.web).call(request.map(Body::new));
                Next::Right(Box::pin(async move { Ok(answering.await?.map(Either::Right)) }))
            }
            Asked::Nothing(status) => {
                Next::Right(Box::pin(std::future::ready(Ok(refused(status)))))
            }
        }
    }
}

fn refused(status: StatusCode) -> Answer {
    let mut answer = Response::new(Either::Right(Body::empty()));
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn asked(version: Version, kind: &'static str, more: &[(&'static str, &'static str)]) -> Asked {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        for (name, value) in more {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        Asked::by(version, &headers)
    }

    #[test]
    fn grpc_needs_http2_and_a_page_is_refused() {
        let (one, two) = (Version::HTTP_11, Version::HTTP_2);
        for (version, kind, expected) in [
            (two, "application/grpc", Asked::Native),
            (two, "application/grpc+proto", Asked::Native),
            (one, "application/grpc", Asked::Nothing(StatusCode::HTTP_VERSION_NOT_SUPPORTED)),
            (one, "application/json", Asked::Native),
            (one, "application/grpc-web", Asked::Web),
            (two, "application/grpc-web+proto", Asked::Web),
        ] {
            assert_eq!(asked(version, kind, &[]), expected, "{version:?} {kind}");
        }
        for page in [
            ("origin", "http://localhost:50051"),
            ("origin", "null"),
            ("sec-fetch-site", "same-origin"),
        ] {
            let refused = Asked::Nothing(StatusCode::FORBIDDEN);
            assert_eq!(asked(one, "application/grpc-web+proto", &[page]), refused, "{page:?}");
        }
        let curl = ("sec-fetch-mode", "cors");
        assert_eq!(asked(one, "application/grpc-web", &[curl]), Asked::Web, "Node's fetch");
    }
}
