//! Checks of the settings.

use super::{Finding, Installation};
use crate::config::settings::SETTINGS;
use crate::config::{Environment, Problem};

/// Prefixes that only this service's settings use.
const OUR_PREFIXES: [&str; 11] = [
    "JWT_",
    "REFRESH_",
    "SESSION_MAX",
    "SHUTDOWN_",
    "COOKIE_",
    "AUTHORITY_",
    "ALLOWED_O",
    "GRPC_ADD",
    "HTTP_ADD",
    "REVOCATION_",
    "LEGACY_",
];

/// Lists the settings that differ from their defaults, without secrets.
pub(super) fn listed(installation: &Installation<'_>) -> Vec<Finding> {
    let describe = |(name, value): &(&'static str, Option<String>)| match value {
        Some(value) => format!("{name}={value}"),
        None => format!("{name} (a secret)"),
    };
    let given: Vec<_> = installation.given.iter().map(describe).collect();
    let message = if given.is_empty() {
        "all settings have their defaults".to_owned()
    } else {
        format!("not the default: {}", given.join(", "))
    };
    vec![Finding::info("settings", message)]
}

/// Finds environment variables whose names are almost those of settings.
pub(super) fn misspelt(installation: &Installation<'_>) -> Vec<Finding> {
    let known = |name: &str| {
        let plain = name.strip_suffix("_FILE").unwrap_or(name);
        SETTINGS
            .iter()
            .any(|setting| setting.name == name || (setting.secret && setting.name == plain))
    };
    let stranger = |name: &&String| {
        let is_ours = OUR_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        is_ours && !known(name) && !is_service_link(name, &installation.environment)
    };
    let strangers = installation.environment.iter().filter(stranger);
    let found = strangers.map(|name| {
        let hint = near_miss(name).map_or_else(
            || "`token-authority --help-settings` lists all settings".to_owned(),
            |setting| format!("is {setting} meant?"),
        );
        Finding::warn(
            "settings.misspelt",
            format!("{name} is not a setting and has no effect; {hint}"),
        )
    });
    found.collect()
}

/// Finds a development installation that other machines can reach.
pub(super) fn exposed_in_development(installation: &Installation<'_>) -> Vec<Finding> {
    let config = installation.config;
    if config.environment == Environment::Production {
        return Vec::new();
    }
    let listeners = [("GRPC_ADDR", config.grpc_addr), ("HTTP_ADDR", config.http_addr)];
    let open = listeners.iter().filter(|(_, address)| !address.ip().is_loopback());
    open.map(|(name, address)| {
        let message = format!(
            "other machines can reach {name}={address}, and ENVIRONMENT=development skips safety \
             checks: set ENVIRONMENT=production, or listen on 127.0.0.1"
        );
        Finding::warn("settings.exposed", message)
    })
    .collect()
}

/// Finds a shutdown that load balancers cannot notice in time.
pub(super) fn unannounced_shutdown(installation: &Installation<'_>) -> Vec<Finding> {
    let config = installation.config;
    if config.environment == Environment::Production && config.shutdown.delay.is_zero() {
        let message = "SHUTDOWN_DELAY_SECONDS=0 closes the ports before a load balancer notices: requests \
                       fail at each restart; set it to at least two health checks";
        return vec![Finding::warn("settings.shutdown", message)];
    }
    Vec::new()
}

/// Reports the problems that prevent `serve` from starting: callers and TLS.
pub(super) fn unservable(installation: &Installation<'_>) -> Vec<Finding> {
    let of = |problem: &Problem| {
        let name = match problem.setting() {
            "CALLERS_FILE" => "callers.file",
            "TLS_CERT" => "tls.files",
            _ => "settings",
        };
        Finding::error(name, problem.to_string())
    };
    installation.unservable.iter().map(of).collect()
}

/// Returns whether a variable is a service link: Kubernetes sets such variables in every pod for each
/// Service of the namespace, for example for one named `authority`.
fn is_service_link(name: &str, environment: &[String]) -> bool {
    // Every Service has this pair of variables, whatever other variables it has.
    let services = environment.iter().filter_map(|known| known.strip_suffix("_SERVICE_HOST"));
    let mut services = services.filter(|service| {
        let port = format!("{service}_SERVICE_PORT");
        environment.contains(&port)
    });
    services.any(|service| {
        let rest = name.strip_prefix(service).unwrap_or_default();
        ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"].contains(&rest)
            || ["_SERVICE_PORT_", "_PORT_"].iter().any(|start| rest.starts_with(start))
    })
}

/// Finds a proxy in front of HTTP whose header with the client's address is not trusted.
pub(super) fn untrusted_proxy(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "settings.proxy";
    let network = &installation.config.network;
    let production = installation.config.environment == Environment::Production;
    let is_proxied = production && network.plain_text;
    if !is_proxied || !network.limits.trusted_proxies.is_empty() {
        return Vec::new();
    }
    if network.limits.per_client.is_none() {
        let message = "TLS=off means that a proxy or a mesh is in front; TRUSTED_PROXIES is not \
                       set, so sessions show the proxy's address instead of the client's";
        return vec![Finding::info(name, message)];
    }
    let message = "TLS=off means that a proxy or a mesh is in front, but TRUSTED_PROXIES is not \
                   set: all browsers share the proxy's address and RATE_LIMIT_PER_CLIENT limits \
                   them together; set TRUSTED_PROXIES to the proxy's addresses";
    vec![Finding::warn(name, message)]
}

/// Reports standard OpenTelemetry variables without effect.
pub(super) fn unsupported_telemetry(installation: &Installation<'_>) -> Vec<Finding> {
    let messages = installation.unsupported.iter();
    messages.map(|message| Finding::warn("settings.telemetry", message)).collect()
}

/// Returns the setting whose name is nearest, if it is so near that a typing error is likely.
fn near_miss(name: &str) -> Option<&'static str> {
    let near = |setting: &'static str| (strsim::damerau_levenshtein(name, setting), setting);
    let (distance, setting) = SETTINGS.iter().map(|setting| near(setting.name)).min()?;
    (distance <= name.len().div_ceil(4)).then_some(setting)
}

#[cfg(test)]
mod tests {
    use super::{is_service_link, near_miss};

    #[test]
    fn service_links_of_kubernetes_are_no_settings() {
        let links = [
            "AUTHORITY_SERVICE_HOST",
            "AUTHORITY_SERVICE_PORT",
            "AUTHORITY_SERVICE_PORT_HTTP",
            "AUTHORITY_PORT",
            "AUTHORITY_PORT_8080_TCP",
            "AUTHORITY_PORT_8080_TCP_ADDR",
            "AUTHORITY_PORT_8080_TCP_PORT",
            "AUTHORITY_PORT_8080_TCP_PROTO",
            "AUTHORITY_GRPC_SERVICE_HOST",
            "AUTHORITY_GRPC_SERVICE_PORT",
        ];
        let environment: Vec<_> = links.iter().map(ToString::to_string).collect();
        for link in links {
            assert!(is_service_link(link, &environment), "{link}");
        }
        for name in ["AUTHORITY_SECRETS", "AUTHORITY_PORTS", "JWT_PORT", "JWT_SERVICE_HOST"] {
            assert!(!is_service_link(name, &environment), "{name}");
        }
    }

    #[test]
    fn only_a_likely_typing_error_gets_a_suggestion() {
        assert_eq!(near_miss("JWT_ISUER"), Some("JWT_ISSUER"));
        assert_eq!(
            near_miss("JWT_ACCESS_TOKEN_EXPIRY_MINUTES"),
            Some("JWT_ACCESS_TOKEN_EXPIRE_MINUTES")
        );
        assert_eq!(near_miss("JWT_PUBLIC_KEY_URL"), None);
        assert_eq!(near_miss("LEGACY_X"), None);
    }
}
