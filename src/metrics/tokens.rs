//! Metrics of tokens, which the authority reports.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Opts, Registry, Result};

use super::register::{counter, counters, histogram, histograms, whole_gauge};
use crate::authority::events::{Disagreement, Refreshing, TokenEvents};
use crate::authority::{AuthMethod, ProofRefusal, RefreshRefusal};
use crate::clock::Timestamp;
use crate::token::rotation::Verdict;

/// The buckets of validations, from five microseconds (about the time to check a signature) to the
/// store's timeout.
const VALIDATION_BUCKETS: [f64; 20] = [
    0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_075, 0.000_1, 0.000_15, 0.000_25, 0.000_5,
    0.000_75, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 3.0,
];
const REFRESH_BUCKETS: [f64; 14] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
const PROPAGATION_BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// A metric's name and help text.
type About = (&'static str, &'static str);

const VALIDATIONS: About =
    ("auth_validation_seconds", "Duration of validations of access tokens, by kind of token.");
const QUERIES: About = (
    "auth_db_queries_total",
    "Validations that needed the database: to look up a session, or to record the receipt of a refreshed token.",
);
const ISSUED: About =
    ("token_issued_total", "Logins for which first tokens were issued, by kind of token.");
const REFRESH_DURATION: About =
    ("token_refresh_duration_seconds", "Duration of refreshes, whatever their outcome.");
const REFRESHES: About = ("token_refresh_total", "Refresh requests, whatever their outcome.");
const REFRESH_ERRORS: About = (
    "token_refresh_errors_total",
    "Refresh tokens refused, by reason. Failures of the database are not counted.",
);
const JUDGED: About = (
    "token_refresh_verdicts_total",
    "Refresh tokens judged, by verdict and class; the class suspicious marks verdicts that a correct client does not cause.",
);
const COMPARISONS: About = (
    "auth_shadow_comparisons_total",
    "Validations that were repeated with the other kind of token (shadow mode).",
);
const DISAGREEMENTS: About = (
    "auth_shadow_disagreements_total",
    "Validations whose two results disagreed in shadow mode, by kind of disagreement.",
);
const REGISTERED: About =
    ("device_registrations_total", "Devices that were registered for a session.");
const RENEWED: About =
    ("device_renewals_total", "Bindings of sessions to devices that were renewed.");
const PROOFS: About = ("device_proofs_refused_total", "Proofs of devices refused, by reason.");
const SWEPT: About = ("sweeper_rows_deleted_total", "Ended sessions that the sweeper deleted.");
const LAST_SWEEP: About = (
    "sweeper_last_run_timestamp_seconds",
    "When the sweeper last completed a run; 0 if it has not yet.",
);
const PROPAGATED: About = (
    "revocation_propagation_seconds",
    "Time from a revocation on another replica until it applied here.",
);

/// One metric for each kind of access token. Reading it needs no look-up by label.
#[derive(Debug)]
struct PerMethod<M> {
    jwt: M,
    session: M,
}

impl<M> PerMethod<M> {
    fn of(make: impl Fn(&'static str) -> M) -> Self {
        Self { jwt: make(AuthMethod::Jwt.as_str()), session: make(AuthMethod::Session.as_str()) }
    }

    const fn get(&self, method: AuthMethod) -> &M {
        match method {
            AuthMethod::Jwt => &self.jwt,
            AuthMethod::Session => &self.session,
        }
    }
}

/// Metrics of tokens.
#[derive(Debug)]
pub struct TokenMetrics {
    validations: PerMethod<Histogram>,
    queries: PerMethod<IntCounter>,
    issued: PerMethod<IntCounter>,
    refresh_duration: Histogram,
    refreshes: IntCounter,
    refresh_errors: IntCounterVec,
    verdicts: IntCounterVec,
    devices_registered: IntCounter,
    devices_renewed: IntCounter,
    proofs_refused: IntCounterVec,
    comparisons: IntCounter,
    disagreements: IntCounterVec,
    swept: IntCounter,
    last_sweep: IntGauge,
    propagation: Histogram,
}

impl TokenMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self> {
        let validations = histograms(registry, VALIDATIONS, &["method"], &VALIDATION_BUCKETS)?;
        let methods = AuthMethod::ALL.map(AuthMethod::as_str);
        let by_method = |about| counters(registry, about, "method", &methods);
        let (queries, issued) = (by_method(QUERIES)?, by_method(ISSUED)?);
        let kinds = Disagreement::ALL.map(Disagreement::as_str);
        // Without device-bound sessions, no series says `unbound`.
        let reasons = RefreshRefusal::ALL.into_iter().filter(|one| *one != RefreshRefusal::Unbound);
        let reasons: Vec<_> = reasons.map(RefreshRefusal::as_str).collect();
        let proof_reasons = ProofRefusal::ALL.map(ProofRefusal::as_str);
        Ok(Self {
            validations: PerMethod::of(|method| validations.with_label_values(&[method])),
            queries: PerMethod::of(|method| queries.with_label_values(&[method])),
            issued: PerMethod::of(|method| issued.with_label_values(&[method])),
            refresh_duration: histogram(registry, REFRESH_DURATION, &REFRESH_BUCKETS)?,
            refreshes: counter(registry, REFRESHES)?,
            refresh_errors: counters(registry, REFRESH_ERRORS, "reason", &reasons)?,
            verdicts: verdicts(registry)?,
            devices_registered: counter(registry, REGISTERED)?,
            devices_renewed: counter(registry, RENEWED)?,
            proofs_refused: counters(registry, PROOFS, "reason", &proof_reasons)?,
            comparisons: counter(registry, COMPARISONS)?,
            disagreements: counters(registry, DISAGREEMENTS, "kind", &kinds)?,
            swept: counter(registry, SWEPT)?,
            last_sweep: whole_gauge(registry, LAST_SWEEP)?,
            propagation: histogram(registry, PROPAGATED, &PROPAGATION_BUCKETS)?,
        })
    }
}

/// Every verdict with its labels: `benign` if correct clients cause it, otherwise `suspicious`.
const VERDICTS: [(Verdict, &str, &str); 10] = [
    (Verdict::Rotate, "rotate", "benign"),
    (Verdict::Keep, "keep", "benign"),
    (Verdict::Young, "young", "benign"),
    (Verdict::Replay, "replay", "benign"),
    (Verdict::Remint, "remint", "benign"),
    (Verdict::Theft, "theft", "suspicious"),
    (Verdict::Revoked, "revoked", "benign"),
    (Verdict::Expired, "expired", "benign"),
    (Verdict::Invalid, "invalid", "suspicious"),
    (Verdict::Unbound, "unbound", "benign"),
];

fn verdicts(registry: &Registry) -> Result<IntCounterVec> {
    let about = Opts::new(JUDGED.0, JUDGED.1);
    let verdicts = IntCounterVec::new(about, &["verdict", "class"])?;
    registry.register(Box::new(verdicts.clone()))?;
    for (_, name, class) in VERDICTS {
        verdicts.with_label_values(&[name, class]);
    }
    Ok(verdicts)
}

impl TokenEvents for TokenMetrics {
    fn validated(&self, method: AuthMethod, took: Duration) {
        self.validations.get(method).observe(took.as_secs_f64());
    }

    fn asked_database(&self, method: AuthMethod) {
        self.queries.get(method).inc();
    }

    fn issued(&self, method: AuthMethod) {
        self.issued.get(method).inc();
    }

    fn refreshed(&self, outcome: Refreshing, took: Duration) {
        self.refreshes.inc();
        self.refresh_duration.observe(took.as_secs_f64());
        if let Some(refusal) = outcome.refusal() {
            self.refresh_errors.with_label_values(&[refusal.as_str()]).inc();
        }
        let judged = match outcome {
            Refreshing::Judged(verdict) => verdict,
            Refreshing::Malformed => Verdict::Invalid,
            Refreshing::Failed => return,
        };
        if let Some((_, name, class)) = VERDICTS.iter().find(|(verdict, ..)| *verdict == judged) {
            self.verdicts.with_label_values(&[name, class]).inc();
        }
    }

    fn device_registered(&self) {
        self.devices_registered.inc();
    }

    fn device_renewed(&self) {
        self.devices_renewed.inc();
    }

    fn device_proof_refused(&self, reason: ProofRefusal) {
        self.proofs_refused.with_label_values(&[reason.as_str()]).inc();
    }

    fn swept(&self, deleted: u64, at: Timestamp) {
        self.swept.inc_by(deleted);
        self.last_sweep.set(at.as_seconds());
    }

    fn compared(&self, disagreement: Option<Disagreement>) {
        self.comparisons.inc();
        if let Some(disagreement) = disagreement {
            self.disagreements.with_label_values(&[disagreement.as_str()]).inc();
        }
    }

    fn revocation_arrived(&self, after: Duration) {
        self.propagation.observe(after.as_secs_f64());
    }
}
