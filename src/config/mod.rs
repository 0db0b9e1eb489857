//! The settings: read once, checked together, and never printed with a secret.

mod browser;
mod database;
mod kept;
mod keys;
mod legacy;
mod network;
mod pages;
mod problem;
mod randomness;
mod reader;
mod secret_text;
pub mod setting;
pub mod settings;
pub mod source;
mod telemetry;
mod unsupported;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::authority::{RevocationSettings, StalePolicy, TokenPolicy};
use crate::keys::Secret;
use crate::keys::life::Schedule;
use crate::store::legacy::Identifier;
use crate::store::redis::RedisUrl;
use crate::store::url::DatabaseUrl;
use crate::token::rollout::{Percentage, Rollout};
use crate::token::rotation::Policy;
pub use crate::transport::http::SameSite;
use crate::transport::http::{BrowserSettings, PagesSettings, StartSettings};
pub use kept::KeptSecretError;
pub use legacy::LegacySettings;
pub use network::NetworkSettings;
pub use problem::Problem;
use reader::Reader;
use source::Given;
pub use telemetry::{OtlpProtocol, TelemetrySettings, TraceExport};
pub use unsupported::unsupported;

/// The whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Development or production.
    pub environment: Environment,
    /// The database of the sessions.
    pub database: DatabaseUrl,
    /// The file that the database's URL came from, if it came from one.
    pub database_url_file: Option<PathBuf>,
    /// The schema of the tables on Postgres; `None` for the role's own.
    pub database_schema: Option<Identifier>,
    /// The folder of the embedded database and of the generated secret.
    pub data_dir: PathBuf,
    /// The secret that signs. `None` in development: it is generated.
    pub jwt_secret: Option<Secret>,
    /// The previous secret, which still verifies.
    pub jwt_secret_previous: Option<Secret>,
    /// The secret that only this service knows.
    pub authority_secret: Option<Secret>,
    /// The algorithm and the schedule of the signing keys.
    pub keys: Schedule,
    /// The lifetimes and rules of tokens.
    pub tokens: TokenPolicy,
    /// How many live sessions a user may have. 0: any number.
    pub max_sessions_per_user: u32,
    /// How long the history of sessions is kept.
    pub session_events: Duration,
    /// The memory limit of verified tokens, in bytes.
    pub validation_cache: u64,
    /// The limits of revocations in memory.
    pub revocations: RevocationSettings,
    /// The Redis through which replicas notify each other, if any.
    pub redis: Option<RedisUrl>,
    /// The file that the URL of Redis came from, if it came from one.
    pub redis_url_file: Option<PathBuf>,
    /// The roll-out until an operator stores another one.
    pub rollout: Rollout,
    /// Whether both tokens of a request are validated (shadow mode).
    pub shadow: bool,
    /// The legacy sessions that are accepted, if any.
    pub legacy: Option<LegacySettings>,
    /// The secret with which the auth-server signs its cookies.
    pub auth_server_secret: Option<Secret>,
    /// The address of gRPC.
    pub grpc_addr: SocketAddr,
    /// The address of HTTP.
    pub http_addr: SocketAddr,
    /// Callers, TLS and limits of the ports.
    pub network: NetworkSettings,
    /// The address of `GET /metrics`.
    pub metrics_addr: SocketAddr,
    /// How long the binding of a session to a device lives. `None`: device-bound sessions are off.
    pub device_binding: Option<Duration>,
    /// The cookie and the allowed origins.
    pub browser: BrowserSettings,
    /// The look of the pages for users.
    pub pages: PagesSettings,
    /// The delays of a shutdown.
    pub shutdown: ShutdownSettings,
    /// Logs and traces.
    pub telemetry: TelemetrySettings,
}

/// The environment, which decides how strict the checks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// A developer's machine.
    Development,
    /// Production.
    Production,
}

/// The delays of a shutdown.
#[derive(Debug, Clone, Copy)]
pub struct ShutdownSettings {
    /// How long the process serves while it already reports `NOT_SERVING`.
    pub delay: Duration,
    /// How long requests in flight may then take.
    pub grace: Duration,
}

impl Config {
    /// Reads and checks every setting for a subcommand that does not serve.
    ///
    /// # Errors
    /// Returns all problems.
    pub fn read(given: &Given) -> Result<Self, Vec<Problem>> {
        Self::read_for(given, false)
    }

    /// Reads and checks every setting, and checks that it is safe to open ports with them.
    ///
    /// # Errors
    /// Returns all problems.
    pub fn read_to_serve(given: &Given) -> Result<Self, Vec<Problem>> {
        Self::read_for(given, true)
    }

    /// Returns the settings of the start page. `None`: it is not served. It is only on a developer's own
    /// machine, where every client may call everything.
    #[must_use]
    pub fn start_page(&self) -> Option<StartSettings> {
        let is_open = self.network.callers_file.is_none() && self.http_addr.ip().is_loopback();
        let has_one = self.environment == Environment::Development && is_open;
        has_one.then_some(StartSettings { window: self.tokens.rotation.window })
    }

    fn read_for(given: &Given, to_serve: bool) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader::new(given);
        let environments =
            [("development", Environment::Development), ("production", Environment::Production)];
        let environment =
            reader.choice("ENVIRONMENT", &environments).unwrap_or(Environment::Production);
        let production = environment == Environment::Production;
        let data_dir = PathBuf::from(reader.text("DATA_DIR").unwrap_or("data"));
        let config = Self {
            environment,
            database: database::url(&mut reader, &data_dir),
            database_url_file: reader.file("DATABASE_URL"),
            database_schema: database::schema(&mut reader),
            jwt_secret: reader.secret("JWT_SECRET", production),
            jwt_secret_previous: reader.secret("JWT_SECRET_PREVIOUS", production),
            authority_secret: reader.secret("AUTHORITY_SECRET", production),
            keys: keys::read(&mut reader),
            tokens: tokens(&mut reader),
            max_sessions_per_user: reader.number("MAX_SESSIONS_PER_USER", 0..=10_000_u32),
            session_events: Duration::from_hours(
                24 * reader.number("SESSION_EVENTS_DAYS", 1..=3650_u64),
            ),
            validation_cache: reader.number("VALIDATION_CACHE_MIB", 0..=65_536_u64) << 20,
            revocations: revocations(&mut reader),
            redis: database::redis(&mut reader),
            redis_url_file: reader.file("REDIS_URL"),
            rollout: rollout(&mut reader),
            shadow: reader.truth("JWT_SHADOW"),
            legacy: legacy::read(&mut reader),
            auth_server_secret: keys::auth_server_secret(&mut reader),
            grpc_addr: reader.address("GRPC_ADDR"),
            http_addr: reader.address("HTTP_ADDR"),
            metrics_addr: reader.address("METRICS_ADDR"),
            network: network::read(&mut reader, production),
            device_binding: browser::device_binding(&mut reader),
            browser: browser::read(&mut reader, production),
            pages: pages::read(&mut reader),
            shutdown: shutdown(&mut reader, production),
            telemetry: telemetry::read(&mut reader, production),
            data_dir,
        };
        config.check_secrets(&mut reader);
        if to_serve {
            network::check(&config, &mut reader);
            config.check_kept_secret(&mut reader);
            config.check_issuer(&mut reader);
        }
        let problems = reader.problems();
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }
}

fn tokens(reader: &mut Reader<'_>) -> TokenPolicy {
    const DAY: u64 = 24 * 60 * 60;
    let access = reader.number("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", 1..=1440_u64) * 60;
    let refresh = reader.number("JWT_REFRESH_TOKEN_EXPIRE_DAYS", 1..=365_u64) * DAY;
    let session = reader.number("SESSION_MAX_LIFETIME_DAYS", 1..=3650_u64) * DAY;
    if session < refresh {
        reader.problem(
            "SESSION_MAX_LIFETIME_DAYS",
            "SESSION_MAX_LIFETIME_DAYS must not be less than JWT_REFRESH_TOKEN_EXPIRE_DAYS",
        );
    }
    TokenPolicy {
        rotation: Policy {
            rotation: reader.truth("REFRESH_TOKEN_ROTATION"),
            window: Duration::from_secs(
                reader.number("REFRESH_CONCURRENCY_WINDOW_SECONDS", 0..=3600_u64),
            ),
            refresh_lifetime: Duration::from_secs(refresh),
            session_max_lifetime: Duration::from_secs(session),
        },
        access_lifetime: Duration::from_secs(access),
        issuer: reader.text("JWT_ISSUER").map(str::to_owned),
        leeway: Duration::from_secs(reader.number("JWT_LEEWAY_SECONDS", 0..=300_u64)),
    }
}

fn revocations(reader: &mut Reader<'_>) -> RevocationSettings {
    let policies = [("serve", StalePolicy::Serve), ("refuse", StalePolicy::Refuse)];
    RevocationSettings {
        max_entries: reader.number("REVOCATION_MAX_ENTRIES", 1..=100_000_000_usize),
        max_staleness: Duration::from_secs(
            reader.number("REVOCATION_MAX_STALENESS_SECONDS", 2..=86_400_u64),
        ),
        stale_policy: reader
            .choice("REVOCATION_STALE_POLICY", &policies)
            .unwrap_or(StalePolicy::Refuse),
    }
}

fn rollout(reader: &mut Reader<'_>) -> Rollout {
    let percentage = reader.number("JWT_ROLLOUT_PERCENTAGE", 0..=100_i64);
    Rollout {
        percentage: Percentage::new(percentage).unwrap_or(Percentage::NOBODY),
        jwt_enabled: reader.truth("JWT_AUTH_ENABLED"),
    }
}

fn shutdown(reader: &mut Reader<'_>, production: bool) -> ShutdownSettings {
    let delay = match reader.text("SHUTDOWN_DELAY_SECONDS") {
        Some(_) => reader.number("SHUTDOWN_DELAY_SECONDS", 0..=120_u64),
        None if production => 5,
        None => 0,
    };
    let grace = reader.number("SHUTDOWN_GRACE_SECONDS", 1..=600_u64);
    ShutdownSettings { delay: Duration::from_secs(delay), grace: Duration::from_secs(grace) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=";

    fn read(pairs: &[(&'static str, &str)]) -> Result<Config, Vec<Problem>> {
        Config::read(&Given::of(pairs))
    }

    #[test]
    fn an_empty_environment_is_valid() {
        let config = read(&[]).unwrap();
        assert_eq!(config.environment, Environment::Development);
        assert_eq!(config.database, DatabaseUrl::Sqlite("data/token-authority.db".into()));
        assert_eq!(config.tokens.access_lifetime, Duration::from_mins(30));
        assert_eq!(config.tokens.rotation.refresh_lifetime, Duration::from_hours(7 * 24));
        assert!(config.browser.cookie.secure);
        assert_eq!(config.rollout, Rollout::COMPLETE);
    }

    #[test]
    fn only_a_developer_s_own_machine_has_a_start_page() {
        let has_one = |pairs: &[(&'static str, &str)]| read(pairs).unwrap().start_page().is_some();
        let found = [
            has_one(&[]),
            has_one(&[("HTTP_ADDR", "[::1]:8080"), ("GRPC_ADDR", "0.0.0.0:1")]),
            has_one(&[("ENVIRONMENT", "production"), ("JWT_SECRET", GOOD)]),
            has_one(&[("HTTP_ADDR", "0.0.0.0:8080")]),
            has_one(&[("HTTP_ADDR", "192.0.2.1:8080")]),
            has_one(&[("CALLERS_FILE", "callers.json")]),
        ];
        assert_eq!(found, [true, true, false, false, false, false]);
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let problems = read(&[
            ("ENVIRONMENT", "production"),
            ("DATABASE_URL", "mysql://localhost"),
            ("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "soon"),
            ("COOKIE_SECURE", "false"),
            ("ALLOWED_ORIGINS", "*, https://ok.example"),
            ("GRPC_ADDR", "nowhere"),
        ])
        .unwrap_err();
        for name in [
            "DATABASE_URL",
            "JWT_ACCESS_TOKEN_EXPIRE_MINUTES",
            "COOKIE_SECURE",
            "ALLOWED_ORIGINS",
            "GRPC_ADDR",
            "JWT_SECRET is required",
        ] {
            assert!(
                problems.iter().any(|problem| problem.to_string().contains(name)),
                "{name}: {problems:?}"
            );
        }
        assert_eq!(problems.len(), 6, "{problems:?}");
    }

    #[test]
    fn weak_equal_and_copied_secrets_are_refused_and_not_quoted() {
        let copied = "your-super-secret-jwt-key-min-32-characters";
        for (pairs, expected) in [
            (vec![("JWT_SECRET", "short")], "at least 32 bytes"),
            (vec![("ENVIRONMENT", "production"), ("JWT_SECRET", copied)], "placeholder"),
            (vec![("JWT_SECRET", GOOD), ("AUTHORITY_SECRET", GOOD)], "must not equal"),
            (vec![("JWT_SECRET", GOOD), ("JWT_SECRET_PREVIOUS", GOOD)], "must not equal"),
        ] {
            let problems = read(&pairs).unwrap_err();
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            let problems = problems.join("\n");
            assert!(problems.contains(expected), "{problems}");
            assert!(!problems.contains(copied) && !problems.contains(GOOD));
        }
    }
}
