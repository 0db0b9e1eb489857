//! Metrics of what this replica's answers depend on: the revocations that it knows, and the expiry of
//! its keys and of its certificate. They are updated at each scrape.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{Gauge, IntGauge, Registry, Result};

use super::register::{gauge, whole_gauge};
use crate::authority::Revocations;
use crate::clock::Timestamp;
use crate::keys::KeyRing;
use crate::transport::serve::tls::Tls;

/// The sources of these metrics.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The revocations that are known here.
    pub revocations: Arc<Revocations>,
    /// The keys.
    pub keys: Arc<KeyRing>,
    /// How long a key pair signs. `None`: until an operator rotates it.
    pub rotate_every: Option<Duration>,
    /// The server's certificate, if TLS is on.
    pub tls: Option<Arc<Tls>>,
}

/// Metrics of revocations, keys and the certificate.
#[derive(Debug)]
pub struct TrustMetrics {
    sources: Sources,
    staleness: Gauge,
    held: IntGauge,
    limit: IntGauge,
    watchers: IntGauge,
    signing_ends: Gauge,
    rotation_due: Gauge,
    certificate_ends: Gauge,
}

impl TrustMetrics {
    pub(super) fn register(registry: &Registry, sources: Sources) -> Result<Self> {
        let whole = |name, help| whole_gauge(registry, (name, help));
        let decimal = |name, help| gauge(registry, (name, help));
        let made = Self {
            staleness: decimal(
                "revocation_staleness_seconds",
                "Time since this replica last confirmed that it knows every revocation.",
            )?,
            held: whole(
                "revocations_held",
                "Revocations held in memory that still apply to live tokens.",
            )?,
            limit: whole(
                "revocations_held_limit",
                "Limit of revocations_held; above it, validations ask the database.",
            )?,
            watchers: whole("revocation_watchers", "Open streams of WatchRevocations.")?,
            signing_ends: decimal(
                "signing_key_expires_timestamp_seconds",
                "When the last key pair that this replica can sign with expires; +Inf if none has an end.",
            )?,
            rotation_due: decimal(
                "signing_key_rotation_due_timestamp_seconds",
                "When the newest key pair is due for rotation; +Inf if rotation is manual.",
            )?,
            certificate_ends: decimal(
                "tls_certificate_expires_timestamp_seconds",
                "When the TLS certificate of the service expires; +Inf if there is none.",
            )?,
            sources,
        };
        let limit = made.sources.revocations.settings().max_entries;
        made.limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
        Ok(made)
    }

    /// Updates the metrics before a scrape.
    pub(super) fn update(&self) {
        let Sources { revocations, keys, rotate_every, tls } = &self.sources;
        self.staleness.set(revocations.staleness().as_secs_f64());
        self.held.set(i64::try_from(revocations.len()).unwrap_or(i64::MAX));
        self.watchers.set(i64::try_from(revocations.watchers()).unwrap_or(i64::MAX));
        self.signing_ends.set(moment(keys.signing_ends()));
        let due = keys.newest_signs_from().zip(*rotate_every).map(|(from, life)| from + life);
        self.rotation_due.set(moment(due));
        self.certificate_ends.set(moment(tls.as_ref().map(|tls| tls.ends())));
    }
}

/// Returns seconds since 1970, or infinity for `None`.
fn moment(at: Option<Timestamp>) -> f64 {
    let seconds = |at: Timestamp| at.since(Timestamp::EPOCH).as_secs_f64();
    at.map_or(f64::INFINITY, seconds)
}
