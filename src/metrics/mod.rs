//! Metrics: what an operator's Prometheus reads.
//!
//! The rooms below know nothing of it. The authority tells an [`Observer`](crate::authority::Observer),
//! the transport a [`Meter`](crate::transport::observe::Meter), and what stands rather than
//! happens (connections, lanes, the roll-out, keys) is asked when somebody reads. Nothing that a
//! validation touches takes a lock. Every name and its meaning: `docs/metrics.md`.
//!
//! * [`tokens`]: validations, refreshes, verdicts, the sweeper, the spread of revocations
//! * [`requests`]: RPCs and HTTP requests
//! * [`standing`]: the database, its lanes and connections, the roll-out
//! * [`trust`]: the revocations known here, the keys and the certificate that end one day
//! * [`listener`]: `GET /metrics`

pub mod listener;
mod register;
pub mod requests;
pub mod standing;
pub mod tokens;
pub mod trust;

use std::sync::Arc;

use prometheus::process_collector::ProcessCollector;
use prometheus::{Encoder as _, IntGaugeVec, Opts, Registry, TextEncoder};

use requests::RequestMetrics;
use standing::StandingMetrics;
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
    standing: StandingMetrics,
    trust: TrustMetrics,
}

impl Metrics {
    /// Metrics of a process that has done nothing yet: all that is known beforehand is there,
    /// and zero, so that a first event is seen as one.
    ///
    /// # Errors
    /// Where two metrics have one name.
    pub fn new(sources: standing::Sources, trust: trust::Sources) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let tokens = Arc::new(TokenMetrics::register(&registry)?);
        let requests = Arc::new(RequestMetrics::register(&registry)?);
        let standing = StandingMetrics::register(&registry, sources)?;
        let trust = TrustMetrics::register(&registry, trust)?;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let about = Opts::new("token_authority_build_info", "The version that runs; always 1.");
        let build = IntGaugeVec::new(about, &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(build))?;
        Ok(Self { registry, tokens, requests, standing, trust })
    }

    /// The standing metrics, to be kept up to date.
    #[must_use]
    pub const fn standing(&self) -> &StandingMetrics {
        &self.standing
    }

    /// All metrics as they stand now, in Prometheus's text format.
    ///
    /// # Errors
    /// Where they cannot be written as text.
    pub fn render(&self) -> Result<Vec<u8>, MetricsError> {
        self.standing.look();
        self.trust.look();
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
