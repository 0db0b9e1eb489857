//! Checks of the running service on this machine, through its metrics.

use std::time::Duration;

use super::{Finding, Installation};

/// The age is usually below a second. Above this limit, the service has a problem.
const STALE: Duration = Duration::from_secs(10);

/// The series whose label identifies an installation.
const INSTALLATION_INFO: &str = "token_authority_installation_info";

/// Returns the value of a series without labels.
fn value(page: &str, name: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// Returns the value of a label of the series of that name.
fn label<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    let labels = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
    labels?.split('"').nth(1)
}

/// Returns the metrics of the running service, if it is a replica of this installation.
fn own_page<'a>(installation: &'a Installation<'_>) -> Option<&'a str> {
    let page = installation.replica.as_deref()?;
    let own = installation.config.installation_id(installation.jwt_secret.as_ref());
    (label(page, INSTALLATION_INFO).map(str::to_owned) == own).then_some(page)
}

/// Compares the version of the running service with this binary's.
pub(super) fn version(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "replica.version";
    let Some(page) = &installation.replica else {
        let message = "no service answers at METRICS_ADDR, so a running service was not checked";
        return vec![Finding::info(name, message)];
    };
    let own = env!("CARGO_PKG_VERSION");
    match label(page, "token_authority_build_info") {
        Some(_) if own_page(installation).is_none() => {
            let message = "the service at METRICS_ADDR has other secrets: it is another \
                           installation, or it was started before the secrets changed. It was not \
                           checked further";
            vec![Finding::info(name, message)]
        }
        Some(version) if version == own => vec![Finding::ok(name, format!("{version} runs"))],
        Some(version) => {
            vec![Finding::info(name, format!("{version} runs, this binary is {own}"))]
        }
        None => vec![Finding::info(
            name,
            "another program answers at METRICS_ADDR, so a running service was not checked",
        )],
    }
}

/// Checks that the service confirms its knowledge of revocations.
pub(super) fn revocations(installation: &Installation<'_>) -> Vec<Finding> {
    let name = "revocations.fresh";
    let page = own_page(installation);
    let Some(seconds) = page.and_then(|page| value(page, "revocation_staleness_seconds")) else {
        return Vec::new();
    };
    let age = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let confirmed = format!("confirmed {seconds:.1} s ago");
    vec![if age > installation.config.revocations.max_staleness {
        let message = format!(
            "revocations may be missing ({confirmed}): the service accepts tokens of sessions that \
             were revoked since, and reports that it is not ready; does it reach its database?"
        );
        Finding::error(name, message)
    } else if age > STALE {
        let message = format!(
            "revocations may be missing ({confirmed}): does the service reach its database?"
        );
        Finding::warn(name, message)
    } else {
        Finding::ok(name, format!("revocations are up to date ({confirmed})"))
    }]
}

/// Checks that the revocations fit into memory.
pub(super) fn held(installation: &Installation<'_>) -> Vec<Finding> {
    let page = own_page(installation);
    let read = |name| page.and_then(|page| value(page, name));
    let (Some(held), Some(limit)) = (read("revocations_held"), read("revocations_held_limit"))
    else {
        return Vec::new();
    };
    if held <= 0.8 * limit {
        return Vec::new();
    }
    let message = format!(
        "the service holds {held} revocations, and REVOCATION_MAX_ENTRIES allows {limit}; above \
         the limit each validation asks the database: raise it"
    );
    vec![Finding::warn("revocations.held", message)]
}

/// Reports origins whose pages were refused, and the remedy.
pub(super) fn origins(installation: &Installation<'_>) -> Vec<Finding> {
    let page = installation.replica.as_deref().unwrap_or_default();
    let refused = page.lines().filter_map(refused_origin).filter(|(.., count)| *count > 0.0);
    refused
        .map(|(origin, host, count)| {
            let message = format!(
                "pages of the origin {origin} were refused {count} times by the host {host}: add \
                 the origin to ALLOWED_ORIGINS if the pages are yours, or have the proxy in between \
                 pass `Host` on unchanged"
            );
            Finding::warn("cookie.refused", message)
        })
        .collect()
}

/// Returns the origin, the host and the count of a line that counts refused pages.
fn refused_origin(line: &str) -> Option<(&str, &str, f64)> {
    let (labels, count) = line.strip_prefix("refresh_origin_refused_total{")?.split_once("} ")?;
    let label = |name: &str| {
        let of = |label: &&str| label.strip_prefix(name).is_some_and(|l| l.starts_with("=\""));
        labels.split(',').find(of)?.split('"').nth(1)
    };
    Some((label("origin")?, label("host")?, count.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{refused_origin, value};

    #[test]
    fn a_refused_page_is_read() {
        let line =
            r#"refresh_origin_refused_total{host="auth.example",origin="https://a.example"} 3"#;
        assert_eq!(refused_origin(line), Some(("https://a.example", "auth.example", 3.0)));
        assert_eq!(refused_origin("refresh_origin_refused_total 3"), None);
    }

    #[test]
    fn a_series_is_found_by_its_whole_name() {
        let page = "# HELP held_limit most\nheld_limit 7\nheld 3\nother{a=\"b\"} 1\n";
        assert_eq!(value(page, "held"), Some(3.0));
        assert_eq!(value(page, "held_limit"), Some(7.0));
        assert_eq!(value(page, "other"), None);
    }
}
