//! A span and one log line for each request, gRPC and HTTP alike.
//!
//! The span follows the OpenTelemetry conventions and has the caller's `traceparent` as its
//! parent where there is one; a request that the browser's adapter makes in this process is a
//! child of the HTTP request that caused it. Nothing of a request but its method, path, caller's
//! name and outcome is recorded: no header, no body, no query.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::Code;
use tower::{Layer, Service};
use tracing::{Instrument as _, Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::callers::Caller;
use super::callers::roles;

/// Which kind of request is observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An RPC: its outcome is its `grpc-status`.
    Grpc,
    /// An HTTP request: its outcome is its status.
    Http,
}

/// Is told of every request that has ended. Has to be quick, and may not wait.
pub trait Meter: fmt::Debug + Send + Sync + 'static {
    /// A request has ended: an RPC `service/Method` with its gRPC status, or an HTTP request
    /// `METHOD /path` with its status. Whoever calls decides what the name says.
    fn request(&self, kind: Kind, name: &str, outcome: i32, took: Duration);
}

/// Observes every request of a service.
#[derive(Debug, Clone)]
pub struct ObserveLayer(pub Kind, pub Arc<dyn Meter>);

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;
    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner, kind: self.0, meter: Arc::clone(&self.1) }
    }
}

/// A service whose requests are observed.
#[derive(Debug, Clone)]
pub struct Observe<S> {
    inner: S,
    kind: Kind,
    meter: Arc<dyn Meter>,
}

impl<S, B, R> Service<Request<B>> for Observe<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<Observed<R>>;
    type Error = S::Error;
    type Future =
        Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send + 'static>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let record = Record::begin(self.kind, &self.meter, &request);
        let future = self.inner.call(request).instrument(record.span.clone());
        Box::pin(async move {
            let response = future.await?;
            Ok(record.follow(response))
        })
    }
}

/// What is known of a request under way.
#[derive(Debug)]
struct Record {
    kind: Kind,
    meter: Arc<dyn Meter>,
    span: Span,
    method: String,
    begun: Instant,
    /// Who called, where the gate has found out.
    caller: Option<Caller>,
}

impl Record {
    fn begin<B>(kind: Kind, meter: &Arc<dyn Meter>, request: &Request<B>) -> Self {
        let path = known(kind, request.uri().path());
        let (span, method) = match kind {
            Kind::Grpc => {
                let (service, method) = split_rpc(path);
                (grpc_span(service, method), path.trim_start_matches('/').to_owned())
            }
            Kind::Http => {
                let method = format!("{} {path}", request.method());
                (http_span(request.method(), path), method)
            }
        };
        adopt_parent(&span, request.headers());
        let meter = Arc::clone(meter);
        Self { kind, meter, span, method, begun: Instant::now(), caller: None }
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
            return response.map(|inner| Observed { inner: Box::pin(inner), record: None });
        }
        response.map(|inner| Observed { inner: Box::pin(inner), record: Some(self) })
    }

    /// Writes the request's one line.
    fn end(self, outcome: i32) {
        let took = self.begun.elapsed();
        self.meter.request(self.kind, &self.method, outcome, took);
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
                if self.method.starts_with("grpc.") {
                    // Health checks and reflection come in by the minute.
                    tracing::debug!(rpc = self.method, ?code, micros, caller, "rpc");
                } else {
                    tracing::info!(rpc = self.method, ?code, micros, caller, "rpc");
                }
            }
            Kind::Http => {
                self.span.record("http.response.status_code", outcome);
                if outcome >= 500 {
                    self.span.record("otel.status_code", "ERROR");
                }
                tracing::info!(request = self.method, status = outcome, micros, caller, "http");
            }
        }
    }
}

/// The path, if it is one of ours: whatever else somebody asks for may hold a secret.
fn known(kind: Kind, path: &str) -> &str {
    let is_known = match kind {
        Kind::Grpc => roles::of_rpc(path).is_some(),
        Kind::Http => roles::ROUTES.iter().any(|route| route.path() == path),
    };
    if is_known { path } else { "/unknown" }
}

fn split_rpc(path: &str) -> (&str, &str) {
    path.trim_start_matches('/').split_once('/').unwrap_or((path, ""))
}

fn grpc_span(service: &str, method: &str) -> Span {
    tracing::info_span!(
        "rpc",
        otel.name = %format_args!("{service}/{method}"),
        otel.kind = "server",
        otel.status_code = field::Empty,
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = field::Empty,
        caller = field::Empty,
    )
}

fn http_span(method: &http::Method, path: &str) -> Span {
    tracing::info_span!(
        "http",
        otel.name = %format_args!("{method} {path}"),
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = %method,
        url.path = path,
        http.response.status_code = field::Empty,
        caller = field::Empty,
    )
}

/// Makes the caller's span the parent (W3C Trace Context). Without one, the span stays a child of
/// whatever caused it in this process.
fn adopt_parent(span: &Span, headers: &HeaderMap) {
    if headers.contains_key("traceparent") {
        let context = TraceContextPropagator::new().extract(&Headers(headers));
        if context.span().span_context().is_valid() {
            // Fails only where no spans are exported, and then there is nothing to connect.
            let _ = span.set_parent(context);
        }
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

fn grpc_status(headers: &HeaderMap) -> Option<i32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// A response's body, watched for the trailer that says how the RPC ended.
#[derive(Debug)]
pub struct Observed<R> {
    inner: Pin<Box<R>>,
    record: Option<Record>,
}

impl<R: Body<Data = Bytes>> Body for Observed<R> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        let polled = self.inner.as_mut().poll_frame(context);
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
