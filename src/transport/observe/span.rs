//! Decides whether a request is traced, and which span is its parent.
//!
//! The decision is made from the request's head, before anything is allocated. A request that is not
//! traced costs almost nothing.

use http::{HeaderMap, Request};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{SpanKind, TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    IdGenerator as _, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample as _,
};
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{Kind, OTHER, method_of};
use crate::transport::callers::in_process::FromInProcess;

/// The name of an RPC's span in `tracing`.
pub const RPC: &str = "rpc";
/// The name of an HTTP request's span in `tracing`.
pub const HTTP: &str = "http";

/// Selects the requests that are traced (OpenTelemetry specification, "Sampling").
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Follow the caller's decision if the request carries one.
    pub follows_parent: bool,
    /// The share of all other requests that is traced, from 0 to 1.
    pub share: f64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { follows_parent: true, share: 1.0 }
    }
}

/// Makes the spans of requests.
#[derive(Debug, Clone)]
pub struct Spans(Option<Sampler>);

impl Spans {
    /// Nothing is traced.
    pub const NONE: Self = Self(None);

    /// Traces the requests that `sampling` selects.
    #[must_use]
    pub fn of(sampling: Sampling) -> Self {
        let share = Sampler::TraceIdRatioBased(sampling.share);
        Self(Some(if sampling.follows_parent {
            Sampler::ParentBased(Box::new(share))
        } else {
            share
        }))
    }

    /// Makes the request's span. Returns the empty span if the request is not traced.
    pub(super) fn begin<B>(&self, kind: Kind, path: &str, request: &Request<B>) -> Span {
        let Some(sampler) = &self.0 else { return Span::none() };
        if request.extensions().get::<FromInProcess>().is_some() {
            // The outer HTTP request has already decided.
            return if Span::current().is_none() {
                Span::none()
            } else {
                made(kind, path, request)
            };
        }
        let parent = parent(request.headers());
        let trace_id = RandomIdGenerator::default().new_trace_id();
        let result =
            sampler.should_sample(parent.as_ref(), trace_id, "", &SpanKind::Server, &[], &[]);
        if result.decision == SamplingDecision::Drop {
            return Span::none();
        }
        let span = made(kind, path, request);
        if let Some(parent) = parent {
            // This fails only if no spans are exported. Then there is nothing to connect.
            let _ = span.set_parent(parent);
        }
        span
    }
}

/// Reads the caller's span (W3C Trace Context).
fn parent(headers: &HeaderMap) -> Option<Context> {
    if !headers.contains_key("traceparent") {
        return None;
    }
    let context = TraceContextPropagator::new().extract(&Headers(headers));
    context.span().span_context().is_valid().then_some(context)
}

fn made<B>(kind: Kind, path: &str, request: &Request<B>) -> Span {
    match kind {
        Kind::Grpc => rpc(path),
        Kind::Http => http(method_of(request), path),
    }
}

fn rpc(path: &str) -> Span {
    let name = path.trim_start_matches('/');
    let (service, method) = name.split_once('/').unwrap_or((name, ""));
    tracing::info_span!(
        RPC,
        otel.name = name,
        otel.kind = "server",
        otel.status_code = field::Empty,
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = field::Empty,
        caller = field::Empty,
    )
}

fn http(method: &str, path: &str) -> Span {
    tracing::info_span!(
        HTTP,
        otel.name = %format_args!("{} {path}", if method == OTHER { "HTTP" } else { method }),
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = method,
        url.path = path,
        http.response.status_code = field::Empty,
        caller = field::Empty,
    )
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
