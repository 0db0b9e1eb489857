//! Checks of an installation for `token-authority doctor`.
//!
//! The inspection ([`observe`]) reads everything once and changes nothing. Each check is then a pure
//! function from the [`Installation`] to findings. To add a check, write the function, add it to
//! [`CHECKS`], and plant its fault in `tests/doctor`. Data that a check needs is a field of
//! [`Installation`].

mod callers;
mod cookies;
mod database;
mod descriptors;
mod files;
mod finding;
mod keys;
mod legacy;
mod lifetimes;
pub mod observe;
mod replica;
mod rollout;
mod secrets;
mod settings;
mod tls;

use crate::clock::Timestamp;
use crate::config::{Config, Problem};
use crate::keys::Secret;
use crate::store::inspect::Place;
use crate::store::{LegacySample, StoreError};

pub use callers::{CallerSeen, CallersSeen};
pub use finding::{Finding, Severity};
pub use observe::{Database, DatabaseFacts, Files};
pub use tls::CertificateSeen;

/// The installation as the inspection found it.
#[derive(Debug)]
pub struct Installation<'a> {
    /// Its settings, checked.
    pub config: &'a Config,
    /// The settings that differ from their defaults, as given. Secrets have no value here.
    pub given: Vec<(&'static str, Option<String>)>,
    /// The names of its environment variables.
    pub environment: Vec<String>,
    /// Standard telemetry variables that have no effect, a sentence each.
    pub unsupported: Vec<String>,
    /// The shared secret: the configured one, or the one in the data directory.
    pub jwt_secret: Option<Secret>,
    /// Its database.
    pub database: Database,
    /// The result of reading the table of legacy sessions. `None`: none is configured.
    pub legacy: Option<Result<LegacySample, StoreError>>,
    /// The place of that table, if it is in a separate Postgres.
    pub legacy_place: Option<Place>,
    /// Its files.
    pub files: Files,
    /// The problems that only prevent `serve` from starting.
    pub unservable: Vec<Problem>,
    /// The callers file. `None`: there is none, or it cannot be read.
    pub callers: Option<CallersSeen>,
    /// The certificate of the ports. `None`: there is none, or it cannot be loaded.
    pub certificate: Option<CertificateSeen>,
    /// How many descriptors a process here may open. `None`: no limit.
    pub descriptors: Option<u64>,
    /// The metrics of the running service. `None`: none answers.
    pub replica: Option<String>,
    /// The time of the inspection.
    pub now: Timestamp,
}

/// A check for one kind of fault.
pub type Check = fn(&Installation<'_>) -> Vec<Finding>;

/// Every check, in the order of the report.
pub const CHECKS: &[Check] = &[
    settings::listed,
    settings::misspelt,
    settings::exposed_in_development,
    settings::unannounced_shutdown,
    settings::unservable,
    settings::untrusted_proxy,
    settings::unsupported_telemetry,
    callers::file,
    callers::weak,
    tls::expiry,
    secrets::fingerprints,
    secrets::shared,
    secrets::short_of_randomness,
    secrets::auth_server,
    cookies::scheme,
    cookies::site,
    cookies::none_allowed,
    cookies::embedded,
    lifetimes::window,
    lifetimes::access_token,
    lifetimes::leeway,
    lifetimes::rotation,
    files::private,
    descriptors::limit,
    database::reachable,
    database::encrypted,
    database::round_trip,
    database::pooled,
    database::writable,
    database::durable,
    database::clock,
    database::schema,
    database::foreign_objects,
    database::privileges,
    database::swept,
    legacy::readable,
    legacy::rows,
    legacy::encrypted,
    legacy::signed,
    keys::active,
    keys::opened,
    keys::ending,
    keys::rotation,
    rollout::stored,
    replica::version,
    replica::revocations,
    replica::held,
    replica::origins,
];

/// Runs every check.
#[must_use]
pub fn examine(installation: &Installation<'_>) -> Vec<Finding> {
    CHECKS.iter().flat_map(|check| check(installation)).collect()
}

/// Returns findings for invalid settings. Nothing else can be checked with them.
#[must_use]
pub fn refused<P: ToString>(problems: &[P]) -> Vec<Finding> {
    problems.iter().map(|problem| Finding::error("settings", problem.to_string())).collect()
}
