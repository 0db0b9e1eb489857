//! Logs and traces.
//!
//! Logs go to standard error, one line for each request. A separate thread writes them, so a request
//! never waits for the log. If standard error is blocked, lines are dropped and counted. Traces are
//! exported over OTLP if an endpoint is set. `docs/logging.md` lists what must never be in either.

mod export;
mod http_client;
mod non_blocking_writer;
mod once_a_minute;

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::trace::SdkTracerProvider;
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
pub(crate) use http_client::trusting;

/// How long the shutdown waits for the collector at most. Without a limit, a collector that does
/// not answer would use up the whole grace period.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The settings of the trace exporter are invalid.
    #[error(transparent)]
    Exporter(#[from] ExporterBuildError),
    /// The connection to the collector cannot be set up.
    #[error("cannot set up the export of traces: {0}")]
    Connection(io::Error),
    /// The log's thread could not be started.
    #[error("cannot start the log's thread: {0}")]
    Thread(io::Error),
}

/// Counters of telemetry that was dropped.
#[derive(Debug, Clone, Default)]
pub struct Dropped {
    /// Log lines, because standard error is blocked.
    pub log_lines: Arc<AtomicU64>,
    /// Exports of traces, because the collector failed.
    pub trace_exports: Arc<AtomicU64>,
}

/// Running telemetry. The rest of the log is written when it is dropped.
#[derive(Debug)]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    dropped: Dropped,
    _lines: non_blocking_writer::FlushGuard,
}

impl Telemetry {
    /// Starts logging and tracing.
    ///
    /// # Errors
    /// Returns [`TelemetryError`] if the exporter's settings are invalid or the log's thread cannot be
    /// started.
    pub fn begin(settings: &TelemetrySettings) -> Result<Self, TelemetryError> {
        let filter = EnvFilter::new(&settings.level);
        // A log line is complete by itself. Spans are only exported.
        let level = filter.max_level_hint().unwrap_or(LevelFilter::TRACE);
        let own = filter_fn(is_line as fn(&Metadata<'_>) -> bool).with_max_level_hint(level);
        let filter = filter.and(own);
        let (writer, writing) =
            non_blocking_writer::start(std::io::stderr()).map_err(TelemetryError::Thread)?;
        let dropped = Dropped { log_lines: writer.lost(), ..Dropped::default() };
        let colours = std::io::stderr().is_terminal();
        let lines = fmt::layer().with_writer(writer).with_target(false).with_ansi(colours);
        let lines =
            if settings.json { lines.json().flatten_event(true).boxed() } else { lines.boxed() };
        let provider = |settings| export::provider(settings, Arc::clone(&dropped.trace_exports));
        let provider = settings.export.as_ref().map(provider).transpose()?;
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
            tracing::debug!("a subscriber was already installed");
        }
        Ok(Self { traces: provider, dropped, _lines: writing })
    }

    /// Returns the counters of dropped log lines and exports.
    #[must_use]
    pub fn dropped(&self) -> Dropped {
        self.dropped.clone()
    }

    /// Exports the remaining spans within that time.
    pub fn end(self, timeout: Duration) {
        if let Some(provider) = self.traces
            && let Err(error) = provider.shutdown_with_timeout(timeout.min(EXPORT_TIMEOUT))
        {
            tracing::warn!(%error, "cannot export the remaining traces");
        }
    }
}

/// Returns a filter for the spans of requests and for the spans inside them. The sampler decides at
/// the beginning of a request whether it has a span. Work outside a request, or inside an unsampled
/// one, has no span. The spans of libraries are dropped, because they add nothing.
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
        // The filter is also called for events and for spans of other layers.
        is_our_span(metadata) && (is_request(metadata) || context.lookup_current().is_some())
    })
    .with_callsite_filter(callsite)
    .with_max_level_hint(LevelFilter::INFO)
}

type CallsiteFilter = fn(&'static Metadata<'static>) -> Interest;

fn is_request(metadata: &Metadata<'_>) -> bool {
    [span::RPC, span::HTTP].contains(&metadata.name())
}

/// Returns whether an event is logged. Libraries' events below `info` are dropped, because they quote
/// input, which may contain tokens.
fn is_line(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && (is_ours(metadata) || *metadata.level() <= Level::INFO)
}

fn is_our_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && is_ours(metadata) && *metadata.level() <= Level::INFO
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
}
