//! Metrics: what an operator's Prometheus reads.
//!
//! The rooms below know nothing of it. The authority tells an [`TokenEvents`](crate::authority::TokenEvents),
//! the transport a [`RequestEvents`](crate::transport::observe::RequestEvents), and what stands rather than
//! happens (connections, lanes, the roll-out, keys) is asked when somebody reads. Nothing that a
//! validation touches takes a lock. Every name and its meaning: `docs/metrics.md`.
//!
//! * [`tokens`]: validations, refreshes, verdicts, the sweeper, the spread of revocations
//! * [`requests`]: RPCs and HTTP requests
//! * [`state`]: the database, its lanes and connections, the roll-out
//! * [`trust`]: the revocations known here, the keys and the certificate that end one day
//! * `process`: the process itself
//! * [`listener`]: `GET /metrics`

pub mod listener;
mod process;
mod register;
pub mod requests;
pub mod state;
pub mod tokens;
pub mod trust;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus::{Encoder as _, Registry, TextEncoder};

use process::ProcessMetrics;
use requests::RequestMetrics;
use state::StateMetrics;
use tokens::TokenMetrics;
use trust::TrustMetrics;

/// Metrics could not be made: two have one name. A test rules it out.
#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be made: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// What the authority tells.
    pub tokens: Arc<TokenMetrics>,
    /// What the transport tells.
    pub requests: Arc<RequestMetrics>,
    state: StateMetrics,
    trust: TrustMetrics,
    process: ProcessMetrics,
}

impl Metrics {
    /// Metrics of a process that has done nothing yet: all that is known beforehand is there,
    /// and zero, so that a first event is seen as one. `lost_lines` counts those of the log.
    ///
    /// # Errors
    /// Where two metrics have one name.
    pub fn new(
        sources: state::Sources,
        trust: trust::Sources,
        lost_lines: Arc<AtomicU64>,
    ) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let tokens = Arc::new(TokenMetrics::register(&registry)?);
        let requests = Arc::new(RequestMetrics::register(&registry)?);
        let state = StateMetrics::register(&registry, sources)?;
        let trust = TrustMetrics::register(&registry, trust)?;
        let process = ProcessMetrics::register(&registry, lost_lines)?;
        Ok(Self { registry, tokens, requests, state, trust, process })
    }

    /// The metrics of state, to be kept up to date.
    #[must_use]
    pub const fn state(&self) -> &StateMetrics {
        &self.state
    }

    /// All metrics as they stand now, in Prometheus's text format.
    ///
    /// # Errors
    /// Where they cannot be written as text.
    pub fn render(&self) -> Result<Vec<u8>, MetricsError> {
        self.state.look();
        self.trust.look();
        self.process.look();
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// The type of [`Self::render`]'s text.
    #[must_use]
    pub fn content_type() -> String {
        TextEncoder::new().format_type().to_owned()
    }
}
