//! Decides which pages may make a browser send the refresh cookie: those of the service's own
//! origin, and those that the operator allows. Together with `SameSite`, this prevents cross-site
//! request forgery.
//!
//! 1. `Sec-Fetch-Site: same-origin` comes from the browser itself, and no page can forge it. It is
//!    sufficient, even if a proxy has changed the `Host` header, and even for a page that hides its
//!    origin (`Origin: null`).
//! 2. An `Origin` that the operator allows may call.
//! 3. A browser that sends no `Sec-Fetch-Site` is judged by its `Origin` and the `Host` that it
//!    called.
//! 4. A request without an `Origin` is not a browser's `POST`, unless it is marked as cross-site.

use http::{HeaderMap, header};

use super::allowed_origins::{AllowedOrigins, without_default_port};
use crate::transport::page::SITE;

/// The header in which a proxy states which host the browser called. A page cannot add it to a
/// request without a preflight (CORS), so it is as trustworthy as `Host`.
const FORWARDED_HOST: &str = "x-forwarded-host";
/// Replaces a header with unexpected content, which may be anything, even a secret.
const UNREADABLE: &str = "(unreadable)";
/// Replaces an absent header.
const ABSENT: &str = "(none)";

/// A page's request that was refused because of the page's origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// The page's origin, as the browser sent it.
    pub(super) origin: String,
    /// The host that the request names.
    pub(super) host: String,
}

impl Refused {
    fn new(headers: &HeaderMap) -> Self {
        let shown = |name: &str, is_plain: fn(&str) -> bool| {
            let Some(value) = headers.get(name) else { return ABSENT.to_owned() };
            let text = value.to_str().ok().filter(|text| is_plain(text));
            text.unwrap_or(UNREADABLE).to_owned()
        };
        let host = shown(header::HOST.as_str(), is_plain_host);
        Self { origin: shown(header::ORIGIN.as_str(), is_plain_origin), host }
    }

    /// Returns the cause, and the setting that corrects it.
    pub(super) fn explain(&self) -> String {
        let Self { origin, host } = self;
        format!(
            "pages of the origin {origin} may not use the refresh cookie of the host {host}: add \
             the origin to ALLOWED_ORIGINS, or have the proxy in between pass `Host` on unchanged"
        )
    }
}

/// Judges a request by its headers.
///
/// # Errors
/// Returns [`Refused`] if the page that made the request may not use the cookie.
pub(super) fn check(allowed: &AllowedOrigins, headers: &HeaderMap) -> Result<(), Refused> {
    if may_call(allowed, headers) { Ok(()) } else { Err(Refused::new(headers)) }
}

fn may_call(allowed: &AllowedOrigins, headers: &HeaderMap) -> bool {
    // A browser sends each of these headers once. A request with two of them is refused.
    let twice = |name: &str| headers.get_all(name).iter().nth(1).is_some();
    if twice(header::ORIGIN.as_str()) || twice(SITE) {
        return false;
    }
    let site = headers.get(SITE).map(|site| site.as_bytes().to_ascii_lowercase());
    match (site.as_deref(), headers.get(header::ORIGIN)) {
        (Some(b"same-origin"), _) => true,
        (site, None) => site != Some(b"cross-site"),
        (site, Some(origin)) => origin.to_str().is_ok_and(|origin| {
            allowed.allows(origin) || (site.is_none() && is_own(origin, headers))
        }),
    }
}

/// Returns the host that the browser called, without its port.
pub(super) fn host_of(headers: &HeaderMap) -> Option<String> {
    let host = hosts(headers).next()?;
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => host,
    };
    Some(host.to_ascii_lowercase())
}

/// Returns the host that a proxy reports, and the host of the request itself.
fn hosts(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let forwarded = text(FORWARDED_HOST).and_then(|hosts| hosts.split(',').next()).map(str::trim);
    forwarded.into_iter().chain(text(header::HOST.as_str()))
}

/// Returns whether the page's origin is the host that it calls.
fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let same = |host: &str| {
        without_default_port(scheme, &host.to_ascii_lowercase())
            == without_default_port(scheme, authority)
    };
    !authority.is_empty() && hosts(headers).any(same)
}

fn is_plain_origin(text: &str) -> bool {
    let app = |b: u8| b.is_ascii_lowercase() || b"+-.".contains(&b);
    text == "null"
        || text.split_once("://").is_some_and(|(scheme, host)| {
            scheme.len() <= 32 && scheme.bytes().all(app) && is_plain_host(host)
        })
}

/// Returns whether a text can only be a host. Tokens and keys contain capitals or are longer than a
/// label.
fn is_plain_host(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b);
    text.len() <= 255
        && !text.is_empty()
        && text.bytes().all(plain)
        && text.split('.').all(|label| label.len() < 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const HOST: (&str, &str) = ("host", "auth.example");

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn admits(pairs: &[(&'static str, &'static str)]) -> bool {
        let allowed = AllowedOrigins::from_iter(["https://app.example".parse().unwrap()]);
        check(&allowed, &headers(pairs)).is_ok()
    }

    #[test]
    fn foreign_pages_are_kept_out() {
        for foreign in
            ["https://evil.example", "null", "", "https://app.example.evil", "auth.example"]
        {
            assert!(!admits(&[HOST, ("origin", foreign)]), "{foreign}");
            for site in ["cross-site", "same-site", "none"] {
                assert!(
                    !admits(&[HOST, ("origin", foreign), ("sec-fetch-site", site)]),
                    "{foreign}"
                );
            }
        }
        for site in ["cross-site", "Cross-Site"] {
            assert!(!admits(&[HOST, ("sec-fetch-site", site)]), "{site}");
            let own = ("origin", "https://auth.example");
            assert!(!admits(&[HOST, own, ("sec-fetch-site", site)]), "{site}");
        }
    }

    #[test]
    fn the_own_and_the_allowed_pages_may_call() {
        assert!(admits(&[HOST]), "no browser");
        let allowed = ("origin", "https://app.example");
        assert!(admits(&[HOST, allowed]));
        assert!(admits(&[HOST, allowed, ("sec-fetch-site", "cross-site")]));
        assert!(admits(&[HOST, ("origin", "https://auth.example")]));
        assert!(admits(&[HOST, ("sec-fetch-site", "same-origin")]));
    }

    #[test]
    fn the_browser_s_own_word_holds_whatever_a_proxy_did() {
        let same = ("sec-fetch-site", "same-origin");
        for origin in ["https://www.example", "null", "https://auth.example:444"] {
            assert!(admits(&[("host", "127.0.0.1:8080"), ("origin", origin), same]), "{origin}");
            assert!(!admits(&[("host", "127.0.0.1:8080"), ("origin", origin)]), "{origin}");
        }
        assert!(admits(&[same]));
    }

    #[test]
    fn an_older_browser_is_known_by_the_host_that_it_called() {
        let own = ("origin", "https://auth.example");
        assert!(admits(&[("host", "auth.example:443"), own]), "$host:$server_port");
        assert!(admits(&[("host", "AUTH.example"), own]));
        assert!(!admits(&[("host", "auth.example:8443"), own]));
        assert!(!admits(&[("host", "auth.example:80"), own]));
        assert!(admits(&[("host", "auth.example:80"), ("origin", "http://auth.example")]));
        let rewritten = ("host", "upstream:8080");
        assert!(admits(&[rewritten, ("x-forwarded-host", "auth.example"), own]));
        assert!(admits(&[rewritten, ("x-forwarded-host", "auth.example:443, b"), own]));
        assert!(!admits(&[rewritten, ("x-forwarded-host", "evil.example"), own]));
        assert!(!admits(&[HOST, ("origin", "https://")]));
    }

    #[test]
    fn a_header_that_appears_twice_is_not_believed() {
        let own = ("origin", "https://app.example");
        assert!(!admits(&[HOST, own, ("origin", "https://evil.example")]));
        assert!(!admits(&[HOST, own, own]));
        let same = ("sec-fetch-site", "same-origin");
        assert!(!admits(&[HOST, same, ("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn a_refusal_names_origin_and_host_and_nothing_that_may_be_secret() {
        let refused = |pairs: &[(&'static str, &'static str)]| Refused::new(&headers(pairs));
        let refusal = refused(&[HOST, ("origin", "https://evil.example")]);
        for part in ["https://evil.example", "auth.example", "ALLOWED_ORIGINS"] {
            assert!(refusal.explain().contains(part), "{}", refusal.explain());
        }
        for secret in ["tar_AAAA", "https://eyJhbGciOiJ9.e30.c2ln", "https://h/tar_x", "é", "a b"]
        {
            let refusal = refused(&[("host", secret), ("origin", secret)]);
            assert_eq!((refusal.origin.as_str(), refusal.host.as_str()), (UNREADABLE, UNREADABLE));
        }
        assert_eq!(refused(&[("origin", "null")]).origin, "null");
        assert_eq!(refused(&[]).host, ABSENT);
    }

    #[test]
    fn the_host_that_was_called_is_known() {
        assert_eq!(host_of(&headers(&[("host", "App.Example:443")])).unwrap(), "app.example");
        let behind = [("host", "upstream"), ("x-forwarded-host", "app.example")];
        assert_eq!(host_of(&headers(&behind)).unwrap(), "app.example");
        assert_eq!(host_of(&headers(&[])), None);
    }
}
