//! Logs and traces.
//!
//! Logs go to standard error, a line a request, written by a thread of their own: a request does
//! not wait for whoever reads them, and where nobody does for long, lines are lost rather than
//! requests. Traces go over OTLP where an endpoint is set, and cost nothing where none is. What may
//! never be in either is listed in `docs/logging.md`.

mod non_blocking_writer;

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter, WithExportConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{DynFilterFn, FilterExt as _, dynamic_filter_fn, filter_fn};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use crate::config::TelemetrySettings;
use crate::transport::observe::span;

/// How long the end waits for a collector at most, however much time there is.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why telemetry could not begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The settings of the traces' exporter make no sense.
    #[error(transparent)]
    Exporter(#[from] ExporterBuildError),
    /// The log has no thread.
    #[error("the log's thread could not be started: {0}")]
    Thread(io::Error),
}

/// Keeps telemetry going; sends what is left when it ends.
#[derive(Debug)]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    lost_lines: Arc<AtomicU64>,
    _lines: non_blocking_writer::Writing,
}

impl Telemetry {
    /// Begins to log and trace.
    ///
    /// # Errors
    /// Where the exporter's settings make no sense, or there is no thread for the log.
    pub fn begin(settings: &TelemetrySettings) -> Result<Self, TelemetryError> {
        let filter = EnvFilter::new(&settings.level);
        // A line says all by itself: spans are for export.
        let level = filter.max_level_hint().unwrap_or(LevelFilter::TRACE);
        let own = filter_fn(is_line as fn(&Metadata<'_>) -> bool).with_max_level_hint(level);
        let filter = filter.and(own);
        let (writer, writing) =
            non_blocking_writer::start(std::io::stderr()).map_err(TelemetryError::Thread)?;
        let lost_lines = writer.lost();
        let colours = std::io::stderr().is_terminal();
        let lines = fmt::layer().with_writer(writer).with_target(false).with_ansi(colours);
        let lines =
            if settings.json { lines.json().flatten_event(true).boxed() } else { lines.boxed() };
        let provider = settings.otlp_endpoint.as_deref().map(provider).transpose()?;
        let spans = provider.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("token-authority"))
                .with_location(false)
                .with_threads(false)
                .with_target(false)
                .with_tracked_inactivity(false)
                .with_filter(of_requests())
        });
        let lines = lines.with_filter(filter);
        let subscriber = tracing_subscriber::registry().with(lines).with(spans);
        if subscriber.try_init().is_err() {
            tracing::debug!("telemetry had begun already");
        }
        Ok(Self { traces: provider, lost_lines, _lines: writing })
    }

    /// Counts the lines that were lost.
    #[must_use]
    pub fn lost_lines(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.lost_lines)
    }

    /// Sends what is left, within that time.
    pub fn end(self, patience: Duration) {
        if let Some(provider) = self.traces
            && let Err(error) = provider.shutdown_with_timeout(patience.min(EXPORT_TIMEOUT))
        {
            tracing::warn!(%error, "some traces were not sent");
        }
    }
}

/// Exports in batches all that is given it: what is sampled has been decided before.
fn provider(endpoint: &str) -> Result<SdkTracerProvider, ExporterBuildError> {
    let mut exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint);
    if endpoint.starts_with("https:") {
        exporter = exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots());
    }
    let exporter = exporter.build()?;
    let mut resource = Resource::builder();
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("token-authority");
    }
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::AlwaysOn)
        .with_resource(resource.build())
        .build())
}

/// Requests' spans, and within them those of what they cause. Whether a request has one has been
/// decided where it began; what goes on outside of any request, or within one that has none, has
/// none either. The spans of libraries tell nothing that these do not.
fn of_requests<S>()
-> DynFilterFn<S, impl Fn(&Metadata<'_>, &Context<'_, S>) -> bool, CallsiteFilter>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let callsite: CallsiteFilter = |metadata| {
        if !is_our_span(metadata) {
            Interest::never()
        } else if is_request(metadata) {
            Interest::always()
        } else {
            Interest::sometimes()
        }
    };
    dynamic_filter_fn(|metadata: &Metadata<'_>, context: &Context<'_, S>| {
        // Asked of what other layers want, too.
        is_our_span(metadata) && (is_request(metadata) || context.lookup_current().is_some())
    })
    .with_callsite_filter(callsite)
    .with_max_level_hint(LevelFilter::INFO)
}

type CallsiteFilter = fn(&'static Metadata<'static>) -> Interest;

fn is_request(metadata: &Metadata<'_>) -> bool {
    [span::RPC, span::HTTP].contains(&metadata.name())
}

/// What libraries say below `info` quotes what strangers sent them, tokens in the wrong place among
/// it.
fn is_line(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && (is_ours(metadata) || *metadata.level() <= Level::INFO)
}

fn is_our_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && is_ours(metadata) && *metadata.level() <= Level::INFO
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
}
