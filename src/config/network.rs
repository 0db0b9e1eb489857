//! Settings of the ports: callers, TLS and limits.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;
use super::{Config, Environment};
use crate::transport::callers::file::CallersFile;
use crate::transport::limits::LimitSettings;
use crate::transport::limits::client_address::TrustedProxies;
use crate::transport::limits::memory::Memory;
use crate::transport::limits::rate::Rate;
use crate::transport::serve::tls::{Tls, TlsFiles};

/// Settings of the ports.
#[derive(Debug, Clone)]
pub struct NetworkSettings {
    /// The callers file. `None`: every client may call everything.
    pub callers_file: Option<PathBuf>,
    /// The TLS files. `None`: plain text.
    pub tls: Option<TlsFiles>,
    /// Whether `TLS=off` was set, because a mesh or a proxy encrypts.
    pub plain_text: bool,
    /// Whether the gRPC port offers server reflection.
    pub reflection: bool,
    /// The limits of requests and connections.
    pub limits: LimitSettings,
}

pub(super) fn read(reader: &mut Reader<'_>, production: bool) -> NetworkSettings {
    let plain_text = reader.choice("TLS", &[("on", false), ("off", true)]).unwrap_or(false);
    NetworkSettings {
        callers_file: reader.text("CALLERS_FILE").map(PathBuf::from),
        tls: tls(reader, plain_text),
        plain_text,
        reflection: reader.truth("REFLECTION"),
        limits: limits(reader, production),
    }
}

fn tls(reader: &mut Reader<'_>, plain_text: bool) -> Option<TlsFiles> {
    let path = |name| reader.text(name).map(PathBuf::from);
    let (certificate, key, client_ca) = (path("TLS_CERT"), path("TLS_KEY"), path("TLS_CLIENT_CA"));
    let given = certificate.is_some() || key.is_some() || client_ca.is_some();
    match (certificate, key) {
        _ if plain_text && given => {
            reader.problem("TLS", "TLS=off contradicts TLS_CERT, TLS_KEY and TLS_CLIENT_CA");
            None
        }
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key, client_ca }),
        (None, None) if client_ca.is_none() => None,
        _ => {
            reader.problem(
                "TLS_CERT",
                "TLS_CERT and TLS_KEY go together, and TLS_CLIENT_CA with both",
            );
            None
        }
    }
}

fn limits(reader: &mut Reader<'_>, production: bool) -> LimitSettings {
    let proxies = TrustedProxies::parse(reader.list("TRUSTED_PROXIES"));
    let trusted_proxies = proxies.unwrap_or_else(|wrong| {
        let text = format!(
            "TRUSTED_PROXIES: `{wrong}` is neither an IP address nor a network such as 10.0.0.0/8"
        );
        reader.problem("TRUSTED_PROXIES", text);
        TrustedProxies::default()
    });
    let per_client = match reader.text("RATE_LIMIT_PER_CLIENT") {
        None if production => Rate::new(50, 200),
        _ => reader.rate("RATE_LIMIT_PER_CLIENT"),
    };
    let mut seconds = |name, most| Duration::from_secs(reader.number(name, 1..=most));
    let request_timeout = seconds("REQUEST_TIMEOUT_SECONDS", 600_u64);
    let idle_timeout = seconds("IDLE_TIMEOUT_SECONDS", 3600_u64);
    LimitSettings {
        per_caller: reader.rate("RATE_LIMIT_PER_CALLER"),
        per_client,
        trusted_proxies,
        request_timeout,
        idle_timeout,
        concurrent_requests: reader.number("MAX_CONCURRENT_REQUESTS", 1..=1_000_000_usize),
        concurrent_streams: reader.number("MAX_CONCURRENT_STREAMS", 1..=1_000_000_u32),
        connections: reader.number("MAX_CONNECTIONS", 1..=1_000_000_usize),
        connections_per_client: reader.number("MAX_CONNECTIONS_PER_CLIENT", 1..=1_000_000_usize),
        max_connection_age: max_connection_age(reader),
        memory: Memory::new(memory_limit(reader)),
    }
}

fn max_connection_age(reader: &mut Reader<'_>) -> Option<Duration> {
    let seconds: u64 = reader.number("GRPC_MAX_CONNECTION_AGE_SECONDS", 0..=86_400);
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// Returns the limit in bytes. A limit of less than 64 MiB would not leave the service enough
/// memory to start.
fn memory_limit(reader: &mut Reader<'_>) -> Option<u64> {
    let mib: u64 = reader.number("MEMORY_LIMIT_MIB", 0..=1_048_576);
    if (1..64).contains(&mib) {
        reader.problem("MEMORY_LIMIT_MIB", "MEMORY_LIMIT_MIB must be 0 or 64 to 1048576");
    }
    (mib > 0).then_some(mib * 1024 * 1024)
}

/// Checks that it is safe to open ports with these settings.
pub(super) fn check(config: &Config, reader: &mut Reader<'_>) {
    let network = &config.network;
    if let Some(why) = exposed(config) {
        if network.callers_file.is_none() {
            let text = format!(
                "CALLERS_FILE is required {why}: create one with `token-authority callers add`"
            );
            reader.problem("CALLERS_FILE", text);
        }
        if network.tls.is_none() && !network.plain_text {
            let text = format!(
                "TLS_CERT and TLS_KEY are required {why}; set TLS=off if a mesh or a proxy encrypts"
            );
            reader.problem("TLS_CERT", text);
        }
    }
    if let Some(Err(problem)) = network.callers_file.as_deref().map(CallersFile::read) {
        reader.problem("CALLERS_FILE", format!("CALLERS_FILE: {problem}"));
    }
    if let Some(Err(problem)) = network.tls.clone().map(Tls::load) {
        reader.problem("TLS_CERT", format!("TLS: {problem}"));
    }
}

/// Returns why other machines can reach the ports.
fn exposed(config: &Config) -> Option<String> {
    if config.environment == Environment::Production {
        return Some("in production".into());
    }
    [("GRPC_ADDR", config.grpc_addr), ("HTTP_ADDR", config.http_addr)]
        .into_iter()
        .find(|(_, address)| !address.ip().is_loopback())
        .map(|(name, address)| format!("because {name} ({address}) is not a loopback address"))
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::config::source::Given;

    fn problems(pairs: &[(&'static str, &str)]) -> String {
        let problems = Config::read_to_serve(&Given::of(pairs)).err().unwrap_or_default();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn only_a_development_machine_is_open() {
        assert_eq!(problems(&[]), "");
        assert_eq!(problems(&[("GRPC_ADDR", "[::1]:0")]), "");
        for (pairs, why) in [
            (vec![("GRPC_ADDR", "0.0.0.0:1")], "GRPC_ADDR (0.0.0.0:1)"),
            (vec![("HTTP_ADDR", "[::]:1")], "HTTP_ADDR ([::]:1)"),
            (vec![("ENVIRONMENT", "production")], "in production"),
        ] {
            let both = problems(&pairs);
            assert!(
                both.contains(&format!("CALLERS_FILE is required {why}"))
                    || both.contains(&format!("CALLERS_FILE is required because {why}")),
                "{both}"
            );
            assert!(both.contains("TLS_CERT and TLS_KEY are required"), "{both}");
            let mesh: Vec<_> = pairs.iter().copied().chain([("TLS", "off")]).collect();
            assert!(!problems(&mesh).contains("TLS_CERT"));
        }
        // Subcommands that do not serve need neither.
        let migrate = Config::read(&Given::of(&[("GRPC_ADDR", "0.0.0.0:1")]));
        assert!(migrate.is_ok());
    }

    #[test]
    fn invalid_combinations_and_files_are_reported() {
        for (pairs, expected) in [
            (vec![("TLS", "off"), ("TLS_CERT", "c"), ("TLS_KEY", "k")], "TLS=off contradicts"),
            (vec![("TLS_CERT", "c")], "go together"),
            (vec![("TLS_CLIENT_CA", "c")], "go together"),
            (vec![("TLS_CERT", "/nowhere/c"), ("TLS_KEY", "/nowhere/k")], "/nowhere/c"),
            (vec![("TLS", "maybe")], "TLS must be one of"),
            (vec![("CALLERS_FILE", "/nowhere/callers.json")], "/nowhere/callers.json"),
            (vec![("TRUSTED_PROXIES", "10.0.0.0/8, lb")], "`lb`"),
            (vec![("RATE_LIMIT_PER_CLIENT", "many")], "RATE_LIMIT_PER_CLIENT"),
            (vec![("RATE_LIMIT_PER_CALLER", "5/0")], "RATE_LIMIT_PER_CALLER"),
            (vec![("REQUEST_TIMEOUT_SECONDS", "0")], "REQUEST_TIMEOUT_SECONDS"),
            (vec![("MAX_CONNECTIONS", "0")], "MAX_CONNECTIONS"),
            (vec![("MAX_CONNECTIONS_PER_CLIENT", "0")], "MAX_CONNECTIONS_PER_CLIENT"),
            (vec![("GRPC_MAX_CONNECTION_AGE_SECONDS", "-1")], "GRPC_MAX_CONNECTION_AGE_SECONDS"),
            (vec![("MEMORY_LIMIT_MIB", "63")], "MEMORY_LIMIT_MIB must be 0 or 64"),
        ] {
            let problems_found = problems(&pairs);
            assert!(problems_found.contains(expected), "{problems_found}");
        }
    }
}
