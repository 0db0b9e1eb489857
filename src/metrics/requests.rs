//! Metrics of RPCs and HTTP requests, which the transport reports.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, Result};

use super::register::{counter, histograms};
use crate::transport::callers::roles::{ROUTES, Route};
use crate::transport::observe::{Kind, RequestEvents};
use crate::transport::proto;

const BUCKETS: [f64; 16] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
/// The status codes of gRPC: 0 to 16.
const CODES: usize = 17;
/// The label of every unknown method and path. Without it, a client could create unlimited series.
const OTHER: &str = "other";
/// How many pairs of origin and host are counted by name. A misconfigured proxy causes one or two.
/// All pairs beyond the limit, which clients can invent freely, count as [`OTHER`].
const MAX_ORIGINS: usize = 16;

/// The histograms of one RPC, one for each status code. Each is created at its first use.
#[derive(Debug)]
struct Rpc {
    service: String,
    method: String,
    by_code: [OnceLock<Histogram>; CODES],
}

/// Metrics of requests.
#[derive(Debug)]
pub struct RequestMetrics {
    rpcs: HistogramVec,
    known: HashMap<String, Rpc>,
    other: Rpc,
    http: HistogramVec,
    cookies_missing: IntCounter,
    users_mixed: IntCounter,
    origins_refused: OriginsRefused,
}

impl RequestMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self> {
        let rpcs = histograms(
            registry,
            ("rpc_server_duration_seconds", "Duration of RPCs, to the last byte of the response."),
            &["rpc_service", "rpc_method", "rpc_grpc_status_code"],
            &BUCKETS,
        )?;
        let http = histograms(
            registry,
            ("http_server_request_duration_seconds", "Duration of HTTP requests."),
            &["http_request_method", "http_route", "http_response_status_code"],
            &BUCKETS,
        )?;
        let health = ("grpc.health.v1.Health", vec!["Check".into(), "Watch".into()]);
        let ours = proto::methods();
        let named = ours.iter().map(|(service, methods)| (service.as_str(), methods.clone()));
        let mut known = HashMap::new();
        for (service, methods) in named.chain([health]) {
            for method in methods {
                let rpc = Rpc::new(service, &method);
                rpc.histogram(&rpcs, 0);
                known.insert(format!("{service}/{method}"), rpc);
            }
        }
        let cookies_missing = counter(
            registry,
            (
                "refresh_cookie_missing_total",
                "Refresh requests of browsers without a refresh cookie.",
            ),
        )?;
        let users_mixed = counter(
            registry,
            (
                "refresh_cookie_users_mixed_total",
                "Refresh requests of browsers with refresh cookies of different users.",
            ),
        )?;
        let origins_refused = OriginsRefused::register(registry)?;
        let other = Rpc::new(OTHER, OTHER);
        Ok(Self { rpcs, known, other, http, cookies_missing, users_mixed, origins_refused })
    }

    fn rpc(&self, name: &str, code: i32, took: Duration) {
        let rpc = self.known.get(name).unwrap_or(&self.other);
        rpc.histogram(&self.rpcs, code).observe(took.as_secs_f64());
    }

    fn http(&self, name: &str, status: i32, took: Duration) {
        let (method, path) = name.split_once(' ').unwrap_or((OTHER, name));
        let methods = ["GET", "POST", "HEAD", "OPTIONS"];
        let method = methods.into_iter().find(|known| *known == method).unwrap_or(OTHER);
        let route = ROUTES.iter().map(Route::path).find(|known| *known == path).unwrap_or(OTHER);
        let labels = [method, route, &status.to_string()];
        self.http.with_label_values(&labels).observe(took.as_secs_f64());
    }
}

impl Rpc {
    fn new(service: &str, method: &str) -> Self {
        let by_code = [const { OnceLock::new() }; CODES];
        Self { service: service.to_owned(), method: method.to_owned(), by_code }
    }

    fn histogram(&self, all: &HistogramVec, code: i32) -> &Histogram {
        const UNKNOWN: usize = 2;
        let code = usize::try_from(code).ok().filter(|code| *code < CODES).unwrap_or(UNKNOWN);
        self.by_code[code].get_or_init(|| {
            all.with_label_values(&[self.service.as_str(), &self.method, &code.to_string()])
        })
    }
}

/// Counts refused pages by their origin and by the host that they called.
#[derive(Debug)]
struct OriginsRefused {
    counters: IntCounterVec,
    known: Mutex<HashSet<(String, String)>>,
}

impl OriginsRefused {
    fn register(registry: &Registry) -> Result<Self> {
        let about = Opts::new(
            "refresh_origin_refused_total",
            "Requests from pages whose origin may not use the refresh cookie.",
        );
        let counters = IntCounterVec::new(about, &["origin", "host"])?;
        registry.register(Box::new(counters.clone()))?;
        counters.with_label_values(&[OTHER, OTHER]);
        Ok(Self { counters, known: Mutex::default() })
    }

    fn count(&self, origin: &str, host: &str) {
        let pair = (origin.to_owned(), host.to_owned());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_named = known.contains(&pair) || (known.len() < MAX_ORIGINS && known.insert(pair));
        drop(known);
        let labels = if is_named { [origin, host] } else { [OTHER, OTHER] };
        self.counters.with_label_values(&labels).inc();
    }
}

impl RequestEvents for RequestMetrics {
    fn request(&self, kind: Kind, name: &str, outcome: i32, took: Duration) {
        match kind {
            Kind::Grpc => self.rpc(name, outcome, took),
            Kind::Http => self.http(name, outcome, took),
        }
    }

    fn cookie_missing(&self) {
        self.cookies_missing.inc();
    }

    fn origin_refused(&self, origin: &str, host: &str) {
        self.origins_refused.count(origin, host);
    }

    fn users_mixed(&self) {
        self.users_mixed.inc();
    }
}
