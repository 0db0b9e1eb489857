//! Checks of the service that runs beside the doctor, by its own metrics.

use std::time::Duration;

use super::{Finding, Installation};

/// Below a second is usual; beyond this something is wrong.
const STALE: Duration = Duration::from_secs(10);

/// The value of a series without labels on a page of metrics.
fn value(page: &str, name: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// Which version runs.
pub(super) fn version(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "replica.version";
    let Some(page) = &installation.replica else {
        let message = "no service answers at METRICS_ADDR, so nothing is known of one that runs";
        return vec![Finding::info(name, message)];
    };
    let own = env!("CARGO_PKG_VERSION");
    let line = page.lines().find_map(|line| line.strip_prefix("token_authority_build_info{"));
    match line.and_then(|labels| labels.split('"').nth(1)) {
        Some(version) if version == own => vec![Finding::ok(name, format!("{version} runs"))],
        Some(version) => {
            vec![Finding::info(name, format!("{version} runs, and this is {own}"))]
        }
        None => vec![Finding::info(name, "what answers at METRICS_ADDR is no token-authority")],
    }
}

/// Whether it knows that it knows every revocation.
pub(super) fn revocations(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "revocations.fresh";
    let page = installation.replica.as_deref();
    let Some(seconds) = page.and_then(|page| value(page, "revocation_staleness_seconds")) else {
        return Vec::new();
    };
    let age = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let message = format!("every revocation was known to be known {seconds:.1} s ago");
    let most = installation.config.revocations.max_staleness;
    vec![if age > most {
        let policy = "tokens of sessions that ended since may be good here; the service says that \
                      it is not ready: does it reach its database?";
        Finding::error(name, format!("{message}: {policy}"))
    } else if age > STALE {
        Finding::warn(name, format!("{message}: does the service reach its database?"))
    } else {
        Finding::ok(name, message)
    }]
}

/// Whether it can hold them all.
pub(super) fn held(installation: &Installation<'_>) -> Vec<Finding> {
    let page = installation.replica.as_deref();
    let read = |name| page.and_then(|page| value(page, name));
    let (Some(held), Some(limit)) = (read("revocations_held"), read("revocations_held_limit"))
    else {
        return Vec::new();
    };
    if held <= 0.8 * limit {
        return Vec::new();
    }
    let message = format!(
        "{held} revocations matter, and REVOCATION_MAX_ENTRIES allows {limit}: beyond it each \
         validation asks the database; raise it"
    );
    vec![Finding::warn("revocations.held", message)]
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn a_series_is_found_by_its_whole_name() {
        let page = "# HELP held_limit most\nheld_limit 7\nheld 3\nother{a=\"b\"} 1\n";
        assert_eq!(value(page, "held"), Some(3.0));
        assert_eq!(value(page, "held_limit"), Some(7.0));
        assert_eq!(value(page, "other"), None);
    }
}
