//! The metrics that Prometheus scrapes.
//!
//! The modules below do not depend on this one. The authority reports to a
//! [`TokenEvents`](crate::authority::TokenEvents), the transport to a
//! [`RequestEvents`](crate::transport::observe::RequestEvents). State (connections, shards, the
//! roll-out, keys) is read at each scrape. A validation takes no lock here. `docs/metrics.md`
//! explains every metric.
//!
//! * [`tokens`]: validations, refreshes, verdicts, the sweeper, the propagation of revocations
//! * [`requests`]: RPCs and HTTP requests
//! * [`state`]: the database, the store's shards and connections, the roll-out
//! * [`trust`]: the revocations known here, and the expiry of keys and of the certificate
//! * [`process`]: the process itself
//! * [`listener`]: `GET /metrics`

pub mod listener;
pub mod process;
mod register;
pub mod requests;
pub mod state;
pub mod tokens;
pub mod trust;

use std::sync::Arc;

use prometheus::{Encoder as _, Registry, TextEncoder};

use process::ProcessMetrics;
use requests::RequestMetrics;
use state::StateMetrics;
use tokens::TokenMetrics;
use trust::TrustMetrics;

/// The metrics could not be registered because two have the same name. A test rules this out.
#[derive(Debug, thiserror::Error)]
#[error("cannot register the metrics: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Metrics of the authority's events.
    pub tokens: Arc<TokenMetrics>,
    /// Metrics of the transport's events.
    pub requests: Arc<RequestMetrics>,
    state: StateMetrics,
    trust: TrustMetrics,
    process: ProcessMetrics,
}

impl Metrics {
    /// Registers all metrics. Every series whose labels are known in advance starts at zero, so that
    /// `rate()` sees its first event.
    ///
    /// # Errors
    /// Returns [`MetricsError`] if two metrics have the same name.
    pub fn new(
        sources: state::Sources,
        trust: trust::Sources,
        process: process::Sources,
    ) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let tokens = Arc::new(TokenMetrics::register(&registry)?);
        let requests = Arc::new(RequestMetrics::register(&registry)?);
        let state = StateMetrics::register(&registry, sources)?;
        let trust = TrustMetrics::register(&registry, trust)?;
        let process = ProcessMetrics::register(&registry, process)?;
        Ok(Self { registry, tokens, requests, state, trust, process })
    }

    /// Returns the metrics of state, which a background task keeps up to date.
    #[must_use]
    pub const fn state(&self) -> &StateMetrics {
        &self.state
    }

    /// Renders all metrics in Prometheus's text format.
    ///
    /// # Errors
    /// Returns [`MetricsError`] if a metric cannot be encoded.
    pub fn render(&self) -> Result<Vec<u8>, MetricsError> {
        self.state.update();
        self.trust.update();
        self.process.update();
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// Returns the media type of [`Self::render`]'s text.
    #[must_use]
    pub fn content_type() -> String {
        TextEncoder::new().format_type().to_owned()
    }
}
