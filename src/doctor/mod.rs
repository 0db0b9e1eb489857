//! What may be wrong with an installation.
//!
//! Everything there is to see is looked at once ([`observe`]), without changing any of it. Each
//! check is then a pure function from the [`Installation`] to findings. To add one, write it, name it
//! in [`CHECKS`], and plant its fault in `tests/doctor`; what it needs to see is a field of the
//! patient.

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
use crate::config::Config;
use crate::keys::Secret;
use crate::store::inspect::Place;

pub use callers::{CallerSeen, CallersSeen};
pub use finding::{Finding, Severity};
pub use observe::{Database, DatabaseFacts, Files};
pub use tls::CertificateSeen;

/// What is examined.
#[derive(Debug)]
pub struct Installation<'a> {
    /// Its settings, checked.
    pub config: &'a Config,
    /// Its settings as given, by name, where they are not the default. Secrets without a value.
    pub given: Vec<(&'static str, Option<String>)>,
    /// The names in its environment.
    pub environment: Vec<String>,
    /// The secret that signs: the given one, or the one that a data directory keeps.
    pub jwt_secret: Option<Secret>,
    /// Its database.
    pub database: Database,
    /// The table of the sessions that were there before, if there is to be one: whether it can be
    /// read, or why not.
    pub legacy: Option<Result<(), String>>,
    /// Where that table is, if in another Postgres than the service's own.
    pub legacy_place: Option<Place>,
    /// Its files.
    pub files: Files,
    /// What the service would refuse to start with, beside what makes no sense at all.
    pub unservable: Vec<String>,
    /// Who may call. `None`: nobody says so, or the file cannot be read.
    pub callers: Option<CallersSeen>,
    /// The certificate of the ports. `None`: there is none, or it cannot be loaded.
    pub certificate: Option<CertificateSeen>,
    /// How many descriptors a process here may open. `None`: as many as it likes.
    pub descriptors: Option<u64>,
    /// The metrics of a service that runs beside, if one does.
    pub replica: Option<String>,
    /// When it was looked at.
    pub now: Timestamp,
}

/// A check: looks for one kind of fault.
pub type Check = fn(&Installation<'_>) -> Vec<Finding>;

/// Every check, in the order of the report.
pub const CHECKS: &[Check] = &[
    settings::listed,
    settings::misspelt,
    settings::exposed_in_development,
    settings::unannounced_end,
    settings::unservable,
    callers::file,
    callers::weak,
    tls::expiry,
    secrets::fingerprints,
    secrets::shared,
    secrets::short_of_randomness,
    cookies::scheme,
    cookies::site,
    cookies::default_port,
    cookies::none_allowed,
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
    database::swept,
    legacy::readable,
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
];

/// Runs every check.
#[must_use]
pub fn examine(installation: &Installation<'_>) -> Vec<Finding> {
    CHECKS.iter().flat_map(|check| check(installation)).collect()
}

/// The findings for settings that make no sense at all, with which nothing else can be looked at.
#[must_use]
pub fn refused(problems: &[String]) -> Vec<Finding> {
    problems.iter().map(|problem| Finding::error("settings", problem)).collect()
}
