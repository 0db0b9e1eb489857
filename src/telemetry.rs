//! Logs and traces.
//!
//! Logs go to standard error, a line a request. Traces go over OTLP where an endpoint is set, and
//! cost nothing where none is. What may never be in either is listed in `docs/logging.md`.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Metadata;
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use crate::config::TelemetrySettings;

/// Keeps telemetry going; sends what is left when it ends.
#[derive(Debug)]
pub struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Begins to log and trace.
    ///
    /// # Errors
    /// Where the exporter's settings make no sense.
    pub fn begin(settings: &TelemetrySettings) -> Result<Self, ExporterBuildError> {
        let filter = EnvFilter::new(&settings.level);
        let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
        let lines =
            if settings.json { lines.json().flatten_event(true).boxed() } else { lines.boxed() };
        // A line says all by itself: spans are for export, and cost nothing without.
        let lines = lines.with_filter(filter.and(filter_fn(is_event)));
        let provider = settings.otlp_endpoint.as_deref().map(provider).transpose()?;
        let spans = provider.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("token-authority"))
                .with_filter(filter_fn(is_span))
        });
        let subscriber = tracing_subscriber::registry().with(lines).with(spans);
        if subscriber.try_init().is_err() {
            tracing::debug!("telemetry had begun already");
        }
        Ok(Self(provider))
    }

    /// Sends what is left.
    pub fn end(self) {
        if let Some(provider) = self.0
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "some traces were not sent");
        }
    }
}

/// Exports in batches, sampled as the standard `OTEL_*` variables say.
fn provider(endpoint: &str) -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    let mut resource = Resource::builder();
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("token-authority");
    }
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build())
}

fn is_event(metadata: &Metadata<'_>) -> bool {
    metadata.is_event()
}

fn is_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span()
}
