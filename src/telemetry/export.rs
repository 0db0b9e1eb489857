//! The export of traces over OTLP, with failures counted and logged at most once a minute.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::KeyValue;
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{
    Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData};

use super::http_client::HttpClient;
use super::{TelemetryError, once_a_minute::OnceAMinute};
use crate::config::{OtlpProtocol, TraceExport};
use crate::keys::Secret;

/// Creates a provider that exports every span it receives, in batches. The sampler has already
/// decided at the beginning of the request. `failures` counts failed exports.
pub(super) fn provider(
    settings: &TraceExport,
    failures: Arc<AtomicU64>,
) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = match settings.protocol {
        OtlpProtocol::Grpc => over_grpc(settings)?,
        OtlpProtocol::HttpProtobuf => over_http(settings)?,
    };
    let exporter = CountingExporter { inner: exporter, failures, log: OnceAMinute::default() };
    let attributes = settings.resource.iter();
    let attributes = attributes.map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let resource = Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(attributes);
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::AlwaysOn)
        .with_resource(resource.build())
        .build())
}

fn over_grpc(settings: &TraceExport) -> Result<SpanExporter, TelemetryError> {
    let builder = SpanExporter::builder().with_tonic().with_endpoint(&settings.endpoint);
    let mut builder = builder.with_timeout(settings.timeout);
    if settings.endpoint.starts_with("https:") {
        let mut tls = ClientTlsConfig::new().with_enabled_roots();
        if let Some(pem) = certificate(settings)? {
            tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
        }
        builder = builder.with_tls_config(tls);
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(invalid)?;
        headers.insert(name, sensitive(value.expose())?);
    }
    Ok(builder.with_metadata(MetadataMap::from_headers(headers)).build()?)
}

fn over_http(settings: &TraceExport) -> Result<SpanExporter, TelemetryError> {
    let client = HttpClient::new(certificate(settings)?.as_deref());
    let client = client.map_err(TelemetryError::Connection)?;
    let text = |value: &Secret| String::from_utf8_lossy(value.expose()).into_owned();
    let headers = settings.headers.iter().map(|(name, value)| (name.clone(), text(value)));
    let builder = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(&settings.endpoint)
        .with_timeout(settings.timeout)
        .with_headers(headers.collect())
        .with_http_client(client);
    Ok(builder.build()?)
}

fn certificate(settings: &TraceExport) -> Result<Option<Vec<u8>>, TelemetryError> {
    let read = |path| std::fs::read(path).map_err(TelemetryError::Connection);
    settings.certificate.as_ref().map(read).transpose()
}

fn sensitive(bytes: &[u8]) -> Result<HeaderValue, TelemetryError> {
    let mut value = HeaderValue::from_bytes(bytes).map_err(invalid)?;
    value.set_sensitive(true);
    Ok(value)
}

fn invalid(error: impl Into<http::Error>) -> TelemetryError {
    TelemetryError::Connection(io::Error::other(error.into()))
}

/// An exporter that counts failures. The SDK drops the spans of a failed export silently.
#[derive(Debug)]
struct CountingExporter {
    inner: SpanExporter,
    failures: Arc<AtomicU64>,
    log: OnceAMinute,
}

impl opentelemetry_sdk::trace::SpanExporter for CountingExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.inner.export(batch).await;
        if let Err(error) = &result {
            let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
            if self.log.is_due() {
                tracing::warn!(%error, spans, failures, "cannot export traces");
            }
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
