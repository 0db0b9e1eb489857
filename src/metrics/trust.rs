//! What this replica's answers rest on: the revocations that it knows, and the keys and the
//! certificate that end one day. Asked when somebody reads the metrics.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{Gauge, IntGauge, Registry, Result};

use super::register::{gauge, whole_gauge};
use crate::authority::Revocations;
use crate::clock::Timestamp;
use crate::keys::KeyRing;
use crate::transport::serve::tls::Tls;

/// What the metrics are read from.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The revocations that are known here.
    pub revocations: Arc<Revocations>,
    /// The keys.
    pub keys: Arc<KeyRing>,
    /// How long a key pair signs. `None`: until someone has it rotated.
    pub rotate_every: Option<Duration>,
    /// The server's certificate, if it shows one.
    pub tls: Option<Arc<Tls>>,
}

/// Knows what the answers rest on.
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
                "How long ago it was last confirmed that all revocations are in force here.",
            )?,
            held: whole(
                "revocations_held",
                "Revocations that are in force here and still matter.",
            )?,
            limit: whole(
                "revocations_held_limit",
                "The most revocations that are held; beyond it, validations ask the database.",
            )?,
            watchers: whole("revocation_watchers", "Open streams of WatchRevocations.")?,
            signing_ends: decimal(
                "signing_key_expires_timestamp_seconds",
                "When this replica has no key pair left to sign with; +Inf: not as far as is known.",
            )?,
            rotation_due: decimal(
                "signing_key_rotation_due_timestamp_seconds",
                "When the newest key pair ought to have a successor; +Inf: never by itself.",
            )?,
            certificate_ends: decimal(
                "tls_certificate_expires_timestamp_seconds",
                "When the certificate of the service's own ports ends; +Inf: there is none.",
            )?,
            sources,
        };
        let limit = made.sources.revocations.settings().max_entries;
        made.limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
        Ok(made)
    }

    /// Looks.
    pub(super) fn look(&self) {
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

/// Seconds since 1970; infinite for what never is.
fn moment(at: Option<Timestamp>) -> f64 {
    let seconds = |at: Timestamp| at.since(Timestamp::EPOCH).as_secs_f64();
    at.map_or(f64::INFINITY, seconds)
}
