//! What the operator decides: read once, checked whole, and never printed with a secret in it.

mod kept;
mod keys;
mod legacy;
mod network;
mod reader;
pub mod settings;
pub mod source;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;

use crate::authority::{RevocationSettings, StalePolicy, TokenPolicy};
use crate::keys::Secret;
use crate::keys::life::Schedule;
use crate::store::redis::RedisUrl;
use crate::store::url::DatabaseUrl;
use crate::token::rollout::{Percentage, Rollout};
use crate::token::rotation::Policy;
use crate::transport::http::{AllowedOrigins, BrowserSettings, CookieSettings};
use crate::transport::observe::span::Sampling;
pub use legacy::LegacySettings;
pub use network::NetworkSettings;
use reader::Reader;
use source::Given;

/// The whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where this runs.
    pub environment: Environment,
    /// Where sessions are kept.
    pub database: DatabaseUrl,
    /// Where the embedded database and generated secrets are kept.
    pub data_dir: PathBuf,
    /// The secret that signs; `None` in development: to be made.
    pub jwt_secret: Option<Secret>,
    /// The secret before it, which still verifies.
    pub jwt_secret_previous: Option<Secret>,
    /// A secret that only this service knows.
    pub authority_secret: Option<Secret>,
    /// Which keys sign, and for how long.
    pub keys: Schedule,
    /// What tokens are like.
    pub tokens: TokenPolicy,
    /// How much memory verified tokens may take, in bytes.
    pub validation_cache: u64,
    /// How revocations are kept and followed.
    pub revocations: RevocationSettings,
    /// Through which Redis replicas signal each other, if any.
    pub redis: Option<RedisUrl>,
    /// Who is given JWTs until somebody says otherwise.
    pub rollout: Rollout,
    /// Whether both kinds of token are judged where a request carries both.
    pub shadow: bool,
    /// Which sessions that were there before are accepted, if any.
    pub legacy: Option<LegacySettings>,
    /// With what the auth-server signs its cookies.
    pub auth_server_secret: Option<Secret>,
    /// Where gRPC listens.
    pub grpc_addr: SocketAddr,
    /// Where HTTP listens.
    pub http_addr: SocketAddr,
    /// Who may call, how connections are secured, and what they may take.
    pub network: NetworkSettings,
    /// Where metrics are read.
    pub metrics_addr: SocketAddr,
    /// How browsers are treated.
    pub browser: BrowserSettings,
    /// How the process ends.
    pub shutdown: ShutdownSettings,
    /// What is logged and traced.
    pub telemetry: TelemetrySettings,
}

/// Where the service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// On somebody's own machine.
    Development,
    /// Where it counts.
    Production,
}

/// How the process ends.
#[derive(Debug, Clone, Copy)]
pub struct ShutdownSettings {
    /// How long to go on serving while saying that it will not.
    pub delay: Duration,
    /// How long requests in flight then have.
    pub grace: Duration,
}

/// What is logged and traced.
#[derive(Debug, Clone)]
pub struct TelemetrySettings {
    /// Directives of what is logged.
    pub level: String,
    /// Whether log lines are JSON.
    pub json: bool,
    /// Where traces go.
    pub otlp_endpoint: Option<String>,
    /// Which requests are traced.
    pub sampling: Sampling,
}

impl Config {
    /// Reads and checks every setting, for whatever does not serve.
    ///
    /// # Errors
    /// Every problem, a line each.
    pub fn read(given: &Given) -> Result<Self, Vec<String>> {
        Self::read_for(given, false)
    }

    /// Reads and checks every setting, and that it is safe to open ports with them.
    ///
    /// # Errors
    /// Every problem, a line each.
    pub fn read_to_serve(given: &Given) -> Result<Self, Vec<String>> {
        Self::read_for(given, true)
    }

    fn read_for(given: &Given, to_serve: bool) -> Result<Self, Vec<String>> {
        let mut reader = Reader::new(given);
        let environments =
            [("development", Environment::Development), ("production", Environment::Production)];
        let environment =
            reader.choice("ENVIRONMENT", &environments).unwrap_or(Environment::Production);
        let production = environment == Environment::Production;
        let data_dir = PathBuf::from(reader.text("DATA_DIR").unwrap_or("data"));
        let config = Self {
            environment,
            database: database(&mut reader, &data_dir),
            jwt_secret: reader.secret("JWT_SECRET", production),
            jwt_secret_previous: reader.secret("JWT_SECRET_PREVIOUS", production),
            authority_secret: reader.secret("AUTHORITY_SECRET", production),
            keys: keys::read(&mut reader),
            tokens: tokens(&mut reader),
            validation_cache: reader.number("VALIDATION_CACHE_MIB", 0..=65_536_u64) << 20,
            revocations: revocations(&mut reader),
            redis: redis(&mut reader),
            rollout: rollout(&mut reader),
            shadow: reader.truth("JWT_SHADOW"),
            legacy: legacy::read(&mut reader),
            // Another's secret: whether it is a good one is not for us to say.
            auth_server_secret: reader.text("BETTER_AUTH_SECRET").map(Secret::new),
            grpc_addr: reader.address("GRPC_ADDR"),
            http_addr: reader.address("HTTP_ADDR"),
            metrics_addr: reader.address("METRICS_ADDR"),
            network: network::read(&mut reader, production),
            browser: browser(&mut reader, production),
            shutdown: shutdown(&mut reader, production),
            telemetry: telemetry(&mut reader, production),
            data_dir,
        };
        config.check_secrets(&mut reader);
        if to_serve {
            network::check(&config, &mut reader);
            config.check_kept_secret(&mut reader);
        }
        let problems = reader.problems();
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }
}

fn database(reader: &mut Reader<'_>, data_dir: &Path) -> DatabaseUrl {
    let embedded = DatabaseUrl::Sqlite(data_dir.join("token-authority.db"));
    let Some(url) = reader.text("DATABASE_URL") else { return embedded };
    DatabaseUrl::parse(url).unwrap_or_else(|invalid| {
        reader.problem(format!("DATABASE_URL {invalid}"));
        embedded
    })
}

fn tokens(reader: &mut Reader<'_>) -> TokenPolicy {
    const DAY: u64 = 24 * 60 * 60;
    let access = reader.number("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", 1..=1440_u64) * 60;
    let refresh = reader.number("JWT_REFRESH_TOKEN_EXPIRE_DAYS", 1..=365_u64) * DAY;
    let session = reader.number("SESSION_MAX_LIFETIME_DAYS", 1..=3650_u64) * DAY;
    if session < refresh {
        reader.problem(
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

fn redis(reader: &mut Reader<'_>) -> Option<RedisUrl> {
    let url = RedisUrl::parse(reader.text("REDIS_URL")?);
    if url.is_none() {
        reader.problem("REDIS_URL must be a URL such as redis://127.0.0.1:6379");
    }
    url
}

fn rollout(reader: &mut Reader<'_>) -> Rollout {
    let percentage = reader.number("JWT_ROLLOUT_PERCENTAGE", 0..=100_i64);
    Rollout {
        percentage: Percentage::new(percentage).unwrap_or(Percentage::NOBODY),
        jwt_enabled: reader.truth("JWT_AUTH_ENABLED"),
    }
}

fn browser(reader: &mut Reader<'_>, production: bool) -> BrowserSettings {
    let name = reader.text("REFRESH_COOKIE_NAME").unwrap_or_default().to_owned();
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) {
        reader.problem("REFRESH_COOKIE_NAME must be a token of RFC 6265");
    }
    let secure = reader.truth("COOKIE_SECURE");
    if production && !secure {
        reader.problem("COOKIE_SECURE may be false only in development");
    }
    check_prefix(reader, &name, secure);
    let origins: Vec<_> = reader.list("ALLOWED_ORIGINS").into_iter().map(str::to_owned).collect();
    for origin in origins.iter().filter(|origin| !is_origin(origin)) {
        reader.problem(format!(
            "ALLOWED_ORIGINS: `{origin}` is no origin, such as https://app.example.com"
        ));
    }
    BrowserSettings {
        cookie: CookieSettings { name, secure },
        origins: AllowedOrigins::new(origins),
    }
}

/// What a name's prefix promises to browsers, which drop a cookie that does not keep it
/// (RFC 6265bis section 4.1.3).
fn check_prefix(reader: &mut Reader<'_>, name: &str, secure: bool) {
    let name = name.to_ascii_lowercase();
    if name.starts_with("__host-") {
        reader.problem(
            "REFRESH_COOKIE_NAME begins with `__Host-`, which browsers take only with Path=/, \
             but this cookie's path is /api/auth; use `__Secure-`",
        );
    }
    if name.starts_with("__secure-") && !secure {
        reader.problem(
            "REFRESH_COOKIE_NAME begins with `__Secure-`, but COOKIE_SECURE=false: browsers drop \
             the cookie",
        );
    }
}

/// A serialised origin (RFC 6454 section 6.1) as browsers send it: lower case, no path.
fn is_origin(text: &str) -> bool {
    let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    authority.is_some_and(|authority| {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-:[]".contains(&b);
        !authority.is_empty() && authority.bytes().all(legal)
    })
}

fn is_http(text: &str) -> bool {
    let Ok(url) = text.parse::<Uri>() else { return false };
    matches!(url.scheme_str(), Some("http" | "https"))
        && url.host().is_some_and(|host| !host.is_empty())
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

fn telemetry(reader: &mut Reader<'_>, production: bool) -> TelemetrySettings {
    let level = reader.text("LOG_LEVEL").unwrap_or("info").to_owned();
    if tracing_subscriber::EnvFilter::try_new(&level).is_err() {
        reader.problem("LOG_LEVEL must be a level or directives as in RUST_LOG");
    }
    let json = reader.choice("LOG_FORMAT", &[("json", true), ("text", false)]);
    let otlp_endpoint = reader.text("OTEL_EXPORTER_OTLP_ENDPOINT").map(str::to_owned);
    if otlp_endpoint.as_ref().is_some_and(|url| !is_http(url)) {
        reader.problem("OTEL_EXPORTER_OTLP_ENDPOINT must be a URL, such as http://127.0.0.1:4317");
    }
    TelemetrySettings {
        level,
        json: json.unwrap_or(production),
        otlp_endpoint,
        sampling: sampling(reader),
    }
}

/// The samplers of the OpenTelemetry specification, but for those that ask a service of a vendor.
fn sampling(reader: &mut Reader<'_>) -> Sampling {
    let share = reader.text("OTEL_TRACES_SAMPLER_ARG").and_then(|text| text.parse::<f64>().ok());
    let share = share.filter(|share| (0.0..=1.0).contains(share));
    if share.is_none() {
        reader.problem("OTEL_TRACES_SAMPLER_ARG must be a share from 0 to 1, such as 0.01");
    }
    let share = share.unwrap_or(0.0);
    let of = |follows_parent, share| Sampling { follows_parent, share };
    let choices = [
        ("always_on", of(false, 1.0)),
        ("always_off", of(false, 0.0)),
        ("traceidratio", of(false, share)),
        ("parentbased_always_on", of(true, 1.0)),
        ("parentbased_always_off", of(true, 0.0)),
        ("parentbased_traceidratio", of(true, share)),
    ];
    reader.choice("OTEL_TRACES_SAMPLER", &choices).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=";

    fn read(pairs: &[(&'static str, &str)]) -> Result<Config, Vec<String>> {
        Config::read(&Given::of(pairs))
    }

    #[test]
    fn an_empty_environment_is_a_good_one() {
        let config = read(&[]).unwrap();
        assert_eq!(config.environment, Environment::Development);
        assert_eq!(config.database, DatabaseUrl::Sqlite("data/token-authority.db".into()));
        assert_eq!(config.tokens.access_lifetime, Duration::from_mins(30));
        assert_eq!(config.tokens.rotation.refresh_lifetime, Duration::from_hours(7 * 24));
        assert!(config.browser.cookie.secure);
        assert_eq!(config.rollout, Rollout::COMPLETE);
    }

    #[test]
    fn all_problems_are_told_at_once() {
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
            assert!(problems.iter().any(|problem| problem.contains(name)), "{name}: {problems:?}");
        }
        assert_eq!(problems.len(), 6, "{problems:?}");
    }

    #[test]
    fn weak_shared_and_copied_secrets_are_refused_without_being_quoted() {
        let copied = "your-super-secret-jwt-key-min-32-characters";
        for (pairs, expected) in [
            (vec![("JWT_SECRET", "short")], "at least 32 bytes"),
            (vec![("ENVIRONMENT", "production"), ("JWT_SECRET", copied)], "placeholder"),
            (vec![("JWT_SECRET", GOOD), ("AUTHORITY_SECRET", GOOD)], "must not equal"),
            (vec![("JWT_SECRET", GOOD), ("JWT_SECRET_PREVIOUS", GOOD)], "must not equal"),
        ] {
            let problems = read(&pairs).unwrap_err().join("\n");
            assert!(problems.contains(expected), "{problems}");
            assert!(!problems.contains(copied) && !problems.contains(GOOD));
        }
    }
}
