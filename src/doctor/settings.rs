//! Checks of the settings themselves.

use super::{Finding, Installation};
use crate::config::Environment;
use crate::config::settings::SETTINGS;

/// What the names of settings begin with that are nobody else's.
const OURS: [&str; 11] = [
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

/// Lists what is set, and says nothing secret.
pub(super) fn listed(installation: &Installation<'_>) -> Vec<Finding> {
    let one = |(name, value): &(&'static str, Option<String>)| match value {
        Some(value) => format!("{name}={value}"),
        None => format!("{name} (a secret)"),
    };
    let given: Vec<_> = installation.given.iter().map(one).collect();
    let message = if given.is_empty() {
        "all are the default".to_owned()
    } else {
        format!("not the default: {}", given.join(", "))
    };
    vec![Finding::info("settings", message)]
}

/// Names in the environment that are almost a setting's.
pub(super) fn misspelt(installation: &Installation<'_>) -> Vec<Finding> {
    let known = |name: &str| {
        let plain = name.strip_suffix("_FILE").unwrap_or(name);
        SETTINGS
            .iter()
            .any(|setting| setting.name == name || (setting.secret && setting.name == plain))
    };
    let stranger = |name: &&String| OURS.iter().any(|ours| name.starts_with(ours)) && !known(name);
    let strangers = installation.environment.iter().filter(stranger);
    let found = strangers.map(|name| {
        let nearest = SETTINGS.iter().min_by_key(|setting| distance(name, setting.name));
        let hint = nearest.map(|setting| setting.name).unwrap_or_default();
        let message = format!("{name} is no setting and does nothing; is {hint} meant?");
        Finding::warn("settings.misspelt", message)
    });
    found.collect()
}

/// Levenshtein's distance.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// Development's leniency on an interface that others reach.
pub(super) fn exposed_in_development(installation: &Installation<'_>) -> Vec<Finding> {
    let config = installation.config;
    if config.environment == Environment::Production {
        return Vec::new();
    }
    let listeners = [("GRPC_ADDR", config.grpc_addr), ("HTTP_ADDR", config.http_addr)];
    let open = listeners.iter().filter(|(_, address)| !address.ip().is_loopback());
    open.map(|(name, address)| {
        let message = format!(
            "{name}={address} lets other machines in, and ENVIRONMENT=development is lenient: \
             set ENVIRONMENT=production, or listen on 127.0.0.1"
        );
        Finding::warn("settings.exposed", message)
    })
    .collect()
}

/// An end that balancers do not see coming.
pub(super) fn unannounced_end(installation: &Installation<'_>) -> Vec<Finding> {
    let config = installation.config;
    if config.environment == Environment::Production && config.shutdown.delay.is_zero() {
        let message = "SHUTDOWN_DELAY_SECONDS=0 closes the ports before any balancer has noticed: \
                       each restart costs requests; set it to at least two health checks";
        return vec![Finding::warn("settings.shutdown", message)];
    }
    Vec::new()
}

/// What keeps the service from starting: whom to let in, and with which certificate.
pub(super) fn unservable(installation: &Installation<'_>) -> Vec<Finding> {
    let of = |problem: &String| {
        let name = if problem.starts_with("CALLERS_FILE") {
            "callers.file"
        } else if problem.starts_with("TLS") {
            "tls.files"
        } else {
            "settings"
        };
        Finding::error(name, problem)
    };
    installation.unservable.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distances_are_levenshteins() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("JWT_ISUER", "JWT_ISSUER"), 1);
        assert_eq!(distance("same", "same"), 0);
    }
}
