//! A span and one log line for each request, gRPC and HTTP alike.
//!
//! The span follows the OpenTelemetry conventions and has the caller's `traceparent` as its
//! parent where there is one; a request that the browser's adapter makes in this process is a
//! child of the HTTP request that caused it. Nothing of a request but its method, path, caller's
//! name and outcome is recorded: no header, no body, no query.

pub mod span;

use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use tonic::Code;
use tower::{Layer, Service};
use tracing::{Instrument as _, Span};

use super::callers::Caller;
use super::callers::roles::{self, Route};
use span::Spans;

/// Which kind of request is observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An RPC: its outcome is its `grpc-status`.
    Grpc,
    /// An HTTP request: its outcome is its status.
    Http,
}

/// Is told of requests. Has to be quick, and may not wait.
pub trait RequestEvents: fmt::Debug + Send + Sync + 'static {
    /// A request has ended: an RPC `service/Method` with its gRPC status, or an HTTP request
    /// `METHOD /path` with its status. Whoever calls decides what the name says.
    fn request(&self, kind: Kind, name: &str, outcome: i32, took: Duration);

    /// A browser wanted its token renewed and sent no refresh cookie along.
    fn cookie_missing(&self);
}

/// Who is told of requests.
#[derive(Debug)]
pub struct RequestObservers {
    /// Makes their spans.
    pub spans: Spans,
    /// Measures them.
    pub meter: Arc<dyn RequestEvents>,
}

/// Observes every request of a service.
#[derive(Debug, Clone)]
pub struct ObserveLayer(pub Kind, pub Arc<RequestObservers>);

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;
    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner, kind: self.0, observers: Arc::clone(&self.1) }
    }
}

/// A service whose requests are observed.
#[derive(Debug, Clone)]
pub struct Observe<S> {
    inner: S,
    kind: Kind,
    observers: Arc<RequestObservers>,
}

impl<S, B, R> Service<Request<B>> for Observe<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: Body<Data = Bytes> + Unpin + Send + 'static,
{
    type Response = Response<Observed<R>>;
    type Error = S::Error;
    type Future =
        Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send + 'static>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let record = Record::begin(self.kind, &self.observers, &request);
        let future = self.inner.call(request).instrument(record.span.clone());
        Box::pin(async move { Ok(record.follow(future.await?)) })
    }
}

/// What is known of a request under way.
#[derive(Debug)]
struct Record {
    kind: Kind,
    observers: Arc<RequestObservers>,
    span: Span,
    /// `service/Method`, or `METHOD /path`.
    name: Cow<'static, str>,
    begun: Instant,
    /// Who called, where the gate has found out.
    caller: Option<Caller>,
}

impl Record {
    fn begin<B>(kind: Kind, observers: &Arc<RequestObservers>, request: &Request<B>) -> Self {
        let path = known(kind, request.uri().path());
        let span = observers.spans.begin(kind, path, request);
        let name = match kind {
            Kind::Grpc => Cow::Borrowed(path.trim_start_matches('/')),
            Kind::Http => Cow::Owned(format!("{} {path}", method_of(request))),
        };
        let observers = Arc::clone(observers);
        Self { kind, observers, span, name, begun: Instant::now(), caller: None }
    }

    fn follow<R>(mut self, response: Response<R>) -> Response<Observed<R>> {
        self.caller = response.extensions().get::<Caller>().cloned();
        let outcome = match self.kind {
            Kind::Http => Some(i32::from(response.status().as_u16())),
            // An RPC that failed before it sent anything has its status among the headers.
            Kind::Grpc => grpc_status(response.headers()),
        };
        if let Some(outcome) = outcome {
            self.end(outcome);
            return response.map(|inner| Observed { inner, record: None });
        }
        response.map(|inner| Observed { inner, record: Some(self) })
    }

    /// Writes the request's one line.
    fn end(self, outcome: i32) {
        let took = self.begun.elapsed();
        self.observers.meter.request(self.kind, &self.name, outcome, took);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let _entered = self.span.enter();
        let caller = self.caller.as_ref().map(Caller::name);
        self.span.record("caller", caller);
        match self.kind {
            Kind::Grpc => {
                self.span.record("rpc.grpc.status_code", outcome);
                let code = Code::from_i32(outcome);
                if matches!(code, Code::Internal | Code::Unknown | Code::DataLoss) {
                    self.span.record("otel.status_code", "ERROR");
                }
                if self.name.starts_with("grpc.") {
                    // Health checks and reflection come in by the minute.
                    tracing::debug!(rpc = &*self.name, ?code, micros, caller, "rpc");
                } else {
                    tracing::info!(rpc = &*self.name, ?code, micros, caller, "rpc");
                }
            }
            Kind::Http => {
                self.span.record("http.response.status_code", outcome);
                if outcome >= 500 {
                    self.span.record("otel.status_code", "ERROR");
                }
                tracing::info!(request = &*self.name, status = outcome, micros, caller, "http");
            }
        }
    }
}

/// What stands for a method that nobody standardised (OpenTelemetry's conventions for HTTP).
const OTHER: &str = "_OTHER";

/// The method, if it is a known one: whatever else somebody sends may hold a secret.
fn method_of<B>(request: &Request<B>) -> &'static str {
    const KNOWN: [&str; 9] =
        ["GET", "POST", "OPTIONS", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == request.method().as_str()).unwrap_or(OTHER)
}

/// The path, if it is one of ours: whatever else somebody asks for may hold a secret.
fn known(kind: Kind, path: &str) -> &'static str {
    let known = match kind {
        Kind::Grpc => roles::RPCS.iter().map(|(known, _)| *known).find(|known| *known == path),
        Kind::Http => roles::ROUTES.iter().map(Route::path).find(|known| *known == path),
    };
    known.unwrap_or("/unknown")
}

fn grpc_status(headers: &HeaderMap) -> Option<i32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// A response's body, watched for the trailer that says how the RPC ended.
#[derive(Debug)]
pub struct Observed<R> {
    inner: R,
    record: Option<Record>,
}

impl<R: Body<Data = Bytes> + Unpin> Body for Observed<R> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        let outcome = match &polled {
            Poll::Ready(Some(Ok(frame))) => frame.trailers_ref().and_then(grpc_status),
            Poll::Ready(Some(Err(_)) | None) => Some(Code::Unknown as i32),
            Poll::Pending => None,
        };
        if let (Some(outcome), Some(_)) = (outcome, &self.record)
            && let Some(record) = self.record.take()
        {
            record.end(outcome);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<R> Drop for Observed<R> {
    /// A body that nobody reads to its end is a caller that left.
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            record.end(Code::Cancelled as i32);
        }
    }
}
