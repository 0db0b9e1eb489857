//! Who may make a browser send its cookie here: the page's own origin, and those that the
//! operator allows. Guards against cross-site request forgery beside `SameSite=Lax`.

use http::{HeaderMap, header};

/// Where a browser says how the page's site stands to this one (Fetch Metadata).
const SITE: &str = "sec-fetch-site";

/// Other origins that may call with credentials, such as `https://app.example.com`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedOrigins(Vec<String>);

impl AllowedOrigins {
    /// Takes serialised origins (RFC 6454 section 6.1): scheme, host, port where it is not the
    /// scheme's own, and nothing else.
    #[must_use]
    pub const fn new(origins: Vec<String>) -> Self {
        Self(origins)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether a request may use the cookie. A browser always tells the origin of a `POST`; a
    /// request that tells none, and is not marked as cross-site, is no browser's.
    /// A request that tells either twice is none either, and not to be trusted.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let twice = |name: &str| headers.get_all(name).iter().nth(1).is_some();
        if twice(header::ORIGIN.as_str()) || twice(SITE) {
            return false;
        }
        match headers.get(header::ORIGIN) {
            Some(origin) => origin.to_str().is_ok_and(|origin| {
                self.0.iter().any(|allowed| allowed == origin) || is_own(origin, headers)
            }),
            None => headers
                .get(SITE)
                .is_none_or(|site| !site.as_bytes().eq_ignore_ascii_case(b"cross-site")),
        }
    }
}

/// Whether the page came from the very host that it now calls.
fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let site = headers.get(SITE);
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    site.is_none_or(|site| site == "same-origin") && authority.is_some() && authority == host
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn admits(pairs: &[(&'static str, &'static str)]) -> bool {
        let headers = pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        AllowedOrigins::new(vec!["https://app.example".into()]).admits(&headers)
    }

    #[test]
    fn foreign_pages_are_kept_out() {
        let host = ("host", "auth.example");
        assert!(admits(&[host]));
        assert!(admits(&[host, ("origin", "https://app.example")]));
        assert!(admits(&[
            host,
            ("origin", "https://app.example"),
            ("sec-fetch-site", "cross-site")
        ]));
        assert!(admits(&[host, ("origin", "https://auth.example")]));
        assert!(admits(&[
            host,
            ("origin", "https://auth.example"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(admits(&[host, ("sec-fetch-site", "same-origin")]));
        for foreign in
            ["https://evil.example", "null", "", "https://app.example.evil", "auth.example"]
        {
            let origin = Box::leak(foreign.to_owned().into_boxed_str());
            assert!(!admits(&[host, ("origin", origin)]), "{foreign}");
        }
        for site in ["cross-site", "Cross-Site"] {
            assert!(!admits(&[host, ("sec-fetch-site", site)]), "{site}");
        }
        assert!(!admits(&[
            host,
            ("origin", "https://auth.example"),
            ("sec-fetch-site", "cross-site")
        ]));
    }

    #[test]
    fn what_is_told_twice_is_not_believed() {
        let (host, own) = (("host", "auth.example"), ("origin", "https://app.example"));
        assert!(!admits(&[host, own, ("origin", "https://evil.example")]));
        assert!(!admits(&[host, own, own]));
        let same = ("sec-fetch-site", "same-origin");
        assert!(!admits(&[host, same, ("sec-fetch-site", "cross-site")]));
    }
}
