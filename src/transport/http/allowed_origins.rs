//! The other origins whose pages may use the refresh cookie (`ALLOWED_ORIGINS`).

use std::fmt;
use std::str::FromStr;

/// Other origins that may call with credentials, such as `https://app.example.com`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedOrigins(Vec<OriginPattern>);

impl AllowedOrigins {
    /// Returns each origin as text.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|pattern| pattern.text.as_str())
    }

    /// Returns whether an origin, in the form that browsers send, is one of them.
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(origin))
    }
}

impl FromIterator<OriginPattern> for AllowedOrigins {
    fn from_iter<I: IntoIterator<Item = OriginPattern>>(patterns: I) -> Self {
        Self(patterns.into_iter().collect())
    }
}

/// One origin, or all subdomains of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPattern {
    /// The origin in the form that browsers send: lower case, without the scheme's default port.
    text: String,
    /// For `https://*.example.com`: the text before the star and the text after it.
    around_star: Option<(String, String)>,
}

impl OriginPattern {
    fn matches(&self, origin: &str) -> bool {
        let Some((before, after)) = &self.around_star else { return self.text == origin };
        let within =
            origin.strip_prefix(before.as_str()).and_then(|o| o.strip_suffix(after.as_str()));
        within.is_some_and(|subdomain| subdomain.split('.').all(is_label))
    }
}

/// The text is not an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoOrigin;

impl fmt::Display for NoOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "is not an origin such as https://app.example.com, https://*.preview.example.com or \
             capacitor://localhost",
        )
    }
}

impl FromStr for OriginPattern {
    type Err = NoOrigin;

    /// Reads a serialised origin (RFC 6454 section 6.1): scheme, host, and a port if it is not the
    /// scheme's default. An app's scheme (`capacitor://localhost`) is accepted too. A star stands
    /// for one or several labels before a domain of at least two labels.
    fn from_str(text: &str) -> Result<Self, NoOrigin> {
        let text = text.to_ascii_lowercase();
        let (scheme, authority) = text.split_once("://").ok_or(NoOrigin)?;
        let is_web = matches!(scheme, "http" | "https");
        if !is_scheme(scheme) || (is_web && !is_web_authority(authority)) {
            return Err(NoOrigin);
        }
        if !is_web && !authority.split('.').all(is_label) {
            return Err(NoOrigin);
        }
        let authority = without_default_port(scheme, authority);
        let star = authority.strip_prefix('*');
        let around_star = star.map(|domain| (format!("{scheme}://"), domain.to_owned()));
        Ok(Self { text: format!("{scheme}://{authority}"), around_star })
    }
}

/// Returns the host and port without the scheme's default port, which browsers leave out.
pub(super) fn without_default_port<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return authority,
    };
    authority.strip_suffix(port).unwrap_or(authority)
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

fn is_web_authority(authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err() || port == "0") {
        return false;
    }
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    match host.strip_prefix("*.") {
        Some(domain) => domain.contains('.') && domain.split('.').all(is_label),
        None => host.split('.').all(is_label),
    }
}

/// Returns whether a text is one label of a host name.
fn is_label(label: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
    !label.is_empty() && label.len() <= 63 && label.bytes().all(plain) && !label.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &str, origin: &str) -> bool {
        AllowedOrigins::from_iter([pattern.parse().unwrap()]).allows(origin)
    }

    #[test]
    fn an_origin_is_read_as_browsers_write_it() {
        for (given, text) in [
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://App.Example.com:443", "https://app.example.com"),
            ("http://app.example.com:80", "http://app.example.com"),
            ("https://app.example.com:80", "https://app.example.com:80"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("https://[::1]", "https://[::1]"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("tauri://localhost", "tauri://localhost"),
            ("ionic://localhost", "ionic://localhost"),
            ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
        ] {
            assert!(allows(given, text), "{given}");
        }
        for bad in [
            "",
            "*",
            "null",
            "app.example.com",
            "https://",
            "https://*",
            "https://*.com",
            "https://a.example/",
            "https://a.example/x",
            "https://a.example?",
            "https://u@a.example",
            "https://a..b",
            "https://*.*.example.com",
            "https://a.*.example.com",
            "https://*example.com",
            "https://a.example:port",
            "https://a.example:70000",
            "https://a b",
            "://a",
            "1a://b",
            "https://é.example",
            "file://",
            "capacitor://*.localhost.app",
            "http://[::g]",
        ] {
            assert_eq!(bad.parse::<OriginPattern>(), Err(NoOrigin), "{bad}");
        }
    }

    #[test]
    fn a_star_stands_for_labels_and_nothing_else() {
        let pattern = "https://*.preview.example.com";
        for origin in ["https://a.preview.example.com", "https://pr-7.web.preview.example.com"] {
            assert!(allows(pattern, origin), "{origin}");
        }
        for origin in [
            "https://preview.example.com",
            "https://.preview.example.com",
            "http://a.preview.example.com",
            "https://a.preview.example.com:8443",
            "https://a.preview.example.com.evil.example",
            "https://evil.example/.preview.example.com",
            "https://evil.example?.preview.example.com",
            "https://evil.example#.preview.example.com",
            "https://u@a.preview.example.com",
            "https://apreview.example.com",
        ] {
            assert!(!allows(pattern, origin), "{origin}");
        }
        assert!(allows("https://*.preview.example.com:8443", "https://a.preview.example.com:8443"));
        assert!(allows("https://*.preview.example.com:443", "https://a.preview.example.com"));
    }
}
