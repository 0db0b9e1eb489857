//! Records a span and one log line for each gRPC and HTTP request.
//!
//! The span follows the OpenTelemetry conventions. Its parent is the caller's `traceparent`, if there
//! is one. A request that the browser's adapter makes in this process is a child of the HTTP request
//! that caused it. Only the method, path, caller's name and outcome are recorded: no header, no body,
//! no query.

pub mod refusal_log;
pub mod span;

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::extract::MatchedPath;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tonic::Code;
use tower::{Layer, Service};
use tracing::{Instrument as _, Span};

use super::callers::Caller;
use super::callers::roles::{self, Route};
use super::serve::peer::Peer;
use refusal_log::RefusalLog;
use span::Spans;

/// The kind of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An RPC. Its outcome is its `grpc-status`.
    Grpc,
    /// An HTTP request. Its outcome is its status.
    Http,
}

/// Receives request events. An implementation must be quick and must not wait.
pub trait RequestEvents: fmt::Debug + Send + Sync + 'static {
    /// A request has ended. `name` is `service/Method` for an RPC and `METHOD /path` for an HTTP
    /// request. The client chooses it, so it must be checked before it becomes a label.
    fn request(&self, kind: Kind, name: &str, outcome: i32, took: Duration);

    /// A browser asked for a refresh without a refresh cookie.
    fn cookie_missing(&self);

    /// A page was refused because its origin may not use the cookie. Both texts have the form of an
    /// origin and a host, or state that there was none.
    fn origin_refused(&self, origin: &str, host: &str);

    /// A browser sent refresh cookies of live sessions of different users.
    fn users_mixed(&self);
}

/// The parts that observe requests.
#[derive(Debug)]
pub struct RequestObservers {
    /// Makes spans.
    pub spans: Spans,
    /// Receives events, for metrics.
    pub meter: Arc<dyn RequestEvents>,
    /// Samples the log lines of refusals.
    pub refusals: RefusalLog,
}

/// The status of an RPC. As a constant it is not parsed for each request.
static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Observes every request of a service.
#[derive(Debug, Clone)]
pub struct ObserveLayer(pub Kind, pub Arc<RequestObservers>);

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;
    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner, kind: self.0, observers: Arc::clone(&self.1) }
    }
}

/// A service with observed requests.
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

/// Probes. Successful ones are logged at DEBUG only.
const PROBES: [&str; 4] = ["GET /healthz", "GET /readyz", "HEAD /healthz", "HEAD /readyz"];

/// The record of one request.
#[derive(Debug)]
struct Record {
    kind: Kind,
    observers: Arc<RequestObservers>,
    span: Span,
    /// `service/Method`, or `METHOD /path`.
    name: Cow<'static, str>,
    begun: Instant,
    /// The caller, if the gate has identified it.
    caller: Option<Caller>,
    /// The address at the other end of the connection. `None`: the request was made in this process.
    client: Option<IpAddr>,
}

impl Record {
    fn begin<B>(kind: Kind, observers: &Arc<RequestObservers>, request: &Request<B>) -> Self {
        let path = known(kind, request);
        let span = observers.spans.begin(kind, path, request);
        let name = match kind {
            Kind::Grpc => Cow::Borrowed(path.trim_start_matches('/')),
            Kind::Http => Cow::Owned(format!("{} {path}", method_of(request))),
        };
        let observers = Arc::clone(observers);
        let client = request.extensions().get::<Peer>().map(Peer::address);
        Self { kind, observers, span, name, begun: Instant::now(), caller: None, client }
    }

    fn follow<R>(mut self, response: Response<R>) -> Response<Observed<R>> {
        self.caller = response.extensions().get::<Caller>().cloned();
        let outcome = match self.kind {
            Kind::Http => Some(i32::from(response.status().as_u16())),
            // A request that is not gRPC has no `grpc-status`.
            Kind::Grpc if response.status() != StatusCode::OK => Some(Code::Unimplemented as i32),
            // An RPC that failed before it sent a message has its status in the headers.
            Kind::Grpc => grpc_status(response.headers()),
        };
        if let Some(outcome) = outcome {
            self.end(outcome);
            return response.map(|inner| Observed { inner, record: None });
        }
        response.map(|inner| Observed { inner, record: Some(self) })
    }

    /// Writes the request's log line.
    fn end(self, outcome: i32) {
        let took = self.begun.elapsed();
        self.observers.meter.request(self.kind, &self.name, outcome, took);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let _entered = self.span.enter();
        let caller = self.caller.as_ref().map(Caller::name);
        self.span.record("caller", caller);
        let logged =
            !self.is_refusal(outcome) || self.observers.refusals.admits(self.client, outcome);
        match self.kind {
            Kind::Grpc => {
                self.span.record("rpc.grpc.status_code", outcome);
                let code = Code::from_i32(outcome);
                if matches!(code, Code::Internal | Code::Unknown | Code::DataLoss) {
                    self.span.record("otel.status_code", "ERROR");
                }
                if self.name.starts_with("grpc.") {
                    // Health checks and reflection are frequent and say little.
                    tracing::debug!(rpc = &*self.name, ?code, micros, caller, "rpc");
                } else if logged {
                    tracing::info!(rpc = &*self.name, ?code, micros, caller, "rpc");
                }
            }
            Kind::Http => {
                self.span.record("http.response.status_code", outcome);
                if outcome >= 500 {
                    self.span.record("otel.status_code", "ERROR");
                }
                if outcome < 400 && PROBES.contains(&&*self.name) {
                    // Kubelets and load balancers ask every few seconds.
                    tracing::debug!(
                        request = &*self.name,
                        status = outcome,
                        micros,
                        caller,
                        "http"
                    );
                } else if logged {
                    tracing::info!(request = &*self.name, status = outcome, micros, caller, "http");
                }
            }
        }
    }

    /// Returns whether the request was refused, so that its client could repeat it at no cost.
    fn is_refusal(&self, outcome: i32) -> bool {
        match self.kind {
            Kind::Http => (400..500).contains(&outcome),
            Kind::Grpc => match Code::from_i32(outcome) {
                Code::PermissionDenied | Code::ResourceExhausted => true,
                Code::Unauthenticated | Code::Unimplemented => self.caller.is_none(),
                _ => false,
            },
        }
    }
}

/// Replaces a method that is not standardised (OpenTelemetry's conventions for HTTP).
const OTHER: &str = "_OTHER";

/// Returns the method if it is a known one. Any other text could hold a secret.
fn method_of<B>(request: &Request<B>) -> &'static str {
    const KNOWN: [&str; 9] =
        ["GET", "POST", "OPTIONS", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == request.method().as_str()).unwrap_or(OTHER)
}

/// Returns the path of the RPC or of the route, if it is one of ours. Any other path could hold a secret.
fn known<B>(kind: Kind, request: &Request<B>) -> &'static str {
    let known = match kind {
        Kind::Grpc => {
            let path = request.uri().path();
            roles::RPCS.iter().map(|(known, _)| *known).find(|known| *known == path)
        }
        Kind::Http => request.extensions().get::<MatchedPath>().and_then(|matched| {
            let path = roles::without_slash(matched.as_str());
            roles::ROUTES.iter().map(Route::path).find(|known| *known == path)
        }),
    };
    known.unwrap_or("/unknown")
}

fn grpc_status(headers: &HeaderMap) -> Option<i32> {
    headers.get(&GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// A response body that is watched for the trailer with the RPC's status.
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
    /// A body that is dropped before its end means that the caller left.
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            record.end(Code::Cancelled as i32);
        }
    }
}
