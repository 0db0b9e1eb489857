//! Checks of the cookie's attributes against the allowed origins.
//!
//! Unless the cookie is `SameSite=None`, a browser sends it with a page's `POST` only if the page and the
//! authority belong to one site (same scheme, same registrable domain). These checks compare the last
//! two labels of the host names. If they differ, the sites differ. If they are equal, the sites may
//! still differ (`a.co.uk`, `b.co.uk`); these checks do not notice that.

use super::{Finding, Installation};
use crate::config::{Environment, SameSite};

struct Origin<'a> {
    text: &'a str,
    /// Whether it is a page of the web, not of an app.
    web: bool,
    https: bool,
    host: &'a str,
}

fn origins<'a>(installation: &'a Installation<'_>) -> Vec<Origin<'a>> {
    installation.config.browser.origins.iter().filter_map(parse).collect()
}

fn parse(text: &str) -> Option<Origin<'_>> {
    let (scheme, authority) = text.split_once("://")?;
    let authority = authority.split('/').next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    let web = matches!(scheme, "http" | "https");
    Some(Origin { text, web, https: scheme == "https", host })
}

fn is_local(host: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].contains(&host) || host.ends_with(".localhost")
}

/// Finds pages over plain HTTP with a cookie for HTTPS, and the reverse.
pub(super) fn scheme(installation: &Installation<'_>) -> Vec<Finding> {
    let secure = installation.config.browser.cookie.secure;
    let mut findings = Vec::new();
    for origin in origins(installation) {
        let text = origin.text;
        if secure && origin.web && !origin.https && !is_local(origin.host) {
            let message = format!(
                "browsers never send the cookie from pages of {text}, because it is for HTTPS only \
                 (COOKIE_SECURE=true): serve the pages over HTTPS"
            );
            findings.push(Finding::error("cookie.secure", message));
        }
        if !secure && origin.https {
            let message = format!(
                "COOKIE_SECURE=false allows the cookie over plain HTTP, although pages of {text} use \
                 HTTPS: set it to true"
            );
            findings.push(Finding::error("cookie.secure", message));
        }
    }
    findings
}

/// Finds pages of several sites. The authority belongs to one site only.
pub(super) fn site(installation: &Installation<'_>) -> Vec<Finding> {
    let issuer = installation.config.tokens.issuer.as_deref().and_then(parse);
    if installation.config.browser.cookie.same_site == SameSite::None {
        return Vec::new();
    }
    let origins = origins(installation);
    let issuer = issuer.filter(|origin| origin.text.contains("://") && origin.host.contains('.'));
    let Some(own) = issuer.as_ref().or_else(|| origins.first()) else { return Vec::new() };
    let foreign = origins.iter().filter(|origin| site_of(origin.host) != site_of(own.host));
    foreign
        .map(|origin| {
            let message = format!(
                "{} and {} are two sites, and browsers send a SameSite={} cookie only for pages of the \
                 authority's own site: serve them and the authority under one domain, or set \
                 COOKIE_SAME_SITE=none",
                own.text,
                origin.text,
                installation.config.browser.cookie.same_site.as_str()
            );
            Finding::warn("cookie.site", message)
        })
        .collect()
}

fn site_of(host: &str) -> &str {
    let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
    if is_address {
        return host;
    }
    let mut dots = host.rmatch_indices('.').map(|(at, _)| at);
    dots.nth(1).map_or(host, |at| &host[at + 1..])
}

/// Reports that only pages of the authority's own host can refresh.
pub(super) fn none_allowed(installation: &Installation<'_>) -> Vec<Finding> {
    let production = installation.config.environment == Environment::Production;
    if production && installation.config.browser.origins.iter().next().is_none() {
        let message =
            "ALLOWED_ORIGINS is not set: only pages of the authority's own host can refresh";
        return vec![Finding::info("cookie.origin", message)];
    }
    Vec::new()
}

/// Finds a cookie for embedded pages that browsers do not send from embedded pages.
pub(super) fn embedded(installation: &Installation<'_>) -> Vec<Finding> {
    let cookie = &installation.config.browser.cookie;
    if cookie.partitioned && cookie.same_site != SameSite::None {
        let message = format!(
            "COOKIE_PARTITIONED=true is for pages that other sites embed, but browsers do not send a \
             SameSite={} cookie from such pages: set COOKIE_SAME_SITE=none",
            cookie.same_site.as_str()
        );
        return vec![Finding::warn("cookie.partitioned", message)];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::site_of;

    #[test]
    fn sites_are_the_last_two_labels() {
        assert_eq!(site_of("app.example.com"), "example.com");
        assert_eq!(site_of("example.com"), "example.com");
        assert_eq!(site_of("localhost"), "localhost");
        assert_eq!(site_of("127.0.0.1"), "127.0.0.1");
        assert_eq!(site_of("[::1]"), "[::1]");
    }
}
