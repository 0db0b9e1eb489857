//! Parses connection URLs strictly: a password that is not percent-encoded is refused.
//!
//! A lenient parser takes the part of such a password after a `/`, `?`, `#` or `@` for a host, a
//! path or a parameter. The part then appears in log lines, errors and name look-ups. So every URL
//! that can be read in two ways is refused, and no error holds a piece of a URL.

use std::path::Path;
use std::{fmt, io};

use percent_encoding::percent_decode_str;
use url::Url;

/// Why a URL was refused. Never holds a piece of the URL, which may be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The scheme is not one of the expected ones.
    #[error("has another scheme than expected")]
    Scheme,
    /// A character outside its place, most likely in a password.
    #[error(
        "is ambiguous: percent-encode special characters in the user name and password, such as \
         `@` as %40, `:` as %3A, `/` as %2F, `?` as %3F, `#` as %23 and `%` as %25"
    )]
    PercentEncode,
    /// The text cannot be parsed.
    #[error("is not a well-formed URL")]
    Malformed,
}

/// A host of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The name, address (IPv6 without brackets), or folder of a socket.
    pub name: String,
    /// The port, if the URL names one.
    pub port: Option<u16>,
}

/// A parsed URL, percent-decoded. It may hold a password, so it does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct StrictUrl {
    /// The scheme, in lower case.
    pub scheme: String,
    /// The user name, if the URL names one.
    pub username: Option<String>,
    /// The password, if the URL names one.
    pub password: Option<String>,
    /// The hosts, in order. Several are separated by commas.
    pub hosts: Vec<Host>,
    /// The path without its first slash.
    pub path: String,
    /// The parameters, in order.
    pub query: Vec<(String, String)>,
}

impl StrictUrl {
    /// Parses a URL with one of these schemes.
    ///
    /// # Errors
    /// Returns an error if the scheme is another one, if the URL is malformed, or if a character
    /// must be percent-encoded to give it one meaning only.
    pub fn parse(text: &str, schemes: &[&str]) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let scheme = scheme.to_ascii_lowercase();
        if !schemes.contains(&scheme.as_str()) {
            return Err(UrlError::Scheme);
        }
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        refuse_ambiguity(rest, tail)?;
        let (userinfo, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let mut parsed = Vec::new();
        for host in hosts.split(',') {
            parsed.push((host, parse_one(&scheme, userinfo, host, tail)?));
        }
        let (_, url) = parsed.first().ok_or(UrlError::Malformed)?;
        let (username, password) = (url.username(), url.password());
        let query = url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned()));
        Ok(Self {
            username: (!username.is_empty()).then(|| decode(username)).transpose()?,
            password: password.map(decode).transpose()?,
            path: decode(url.path().trim_start_matches('/'))?,
            query: query.collect(),
            hosts: parsed
                .iter()
                .filter(|(text, _)| !text.is_empty())
                .map(|(_, url)| host(url))
                .collect::<Result<_, _>>()?,
            scheme,
        })
    }
}

/// Refuses a URL that has more than one reading.
fn refuse_ambiguity(rest: &str, tail: &str) -> Result<(), UrlError> {
    let out_of_place = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
    let lone_percent = rest.split('%').skip(1).any(|after| {
        let digits = after.as_bytes().get(..2);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    let one_at = rest.matches('@').count() <= 1 && !tail.contains('@');
    if rest.contains(out_of_place) || lone_percent || !one_at || tail.contains('#') {
        return Err(UrlError::PercentEncode);
    }
    let (_, query) = tail.split_once('?').unwrap_or((tail, ""));
    // The second half of a value that holds a raw `&`.
    let no_pair = |pair: &str| !pair.is_empty() && !pair.contains('=');
    if query.split('&').any(no_pair) || query.contains('?') {
        return Err(UrlError::PercentEncode);
    }
    Ok(())
}

/// Parses the URL with one of its hosts. The library knows neither lists of hosts nor a user
/// without a host.
fn parse_one(scheme: &str, userinfo: &str, host: &str, tail: &str) -> Result<Url, UrlError> {
    let host = if host.is_empty() { "localhost" } else { host };
    let at = if userinfo.is_empty() { "" } else { "@" };
    let url = Url::parse(&format!("{scheme}://{userinfo}{at}{host}{tail}"));
    url.map_err(|_| UrlError::Malformed)
}

fn host(url: &Url) -> Result<Host, UrlError> {
    let name = url.host_str().ok_or(UrlError::Malformed)?;
    let name = decode(name.trim_start_matches('[').trim_end_matches(']'))?;
    Ok(Host { name, port: url.port() })
}

fn decode(text: &str) -> Result<String, UrlError> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| UrlError::Malformed)?;
    if decoded.contains('\0') { Err(UrlError::Malformed) } else { Ok(decoded.into_owned()) }
}

/// Reads a file that holds a URL. A line break at its end does not count, as in the settings.
pub(super) fn read_url_file(path: &Path) -> io::Result<String> {
    Ok(std::fs::read_to_string(path)?.trim_end_matches(['\r', '\n']).to_owned())
}

impl fmt::Debug for StrictUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StrictUrl").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<StrictUrl, UrlError> {
        StrictUrl::parse(text, &["postgres", "http"])
    }

    #[test]
    fn a_password_that_is_not_percent_encoded_is_refused() {
        for raw in [
            "p@ss", "p/ss", "p?ss", "p#ss", "p%ss", "p%2", "p ss", "p\\ss", "a@b/c", "a/b@c",
            "a?b@c", "a#b@c", "p\tss", "12/34", "a@b?c",
        ] {
            for scheme in ["postgres", "http"] {
                let url = format!("{scheme}://app:{raw}@db.example.com/app");
                assert_eq!(parse(&url).unwrap_err(), UrlError::PercentEncode, "{url}");
            }
        }
        for url in [
            "postgres://h/d?user=u&password=a&b",
            "postgres://h/d?password=a#b",
            "postgres://h/d?password=a?b",
            "postgres://app@x:secret@h/d",
        ] {
            assert_eq!(parse(url).unwrap_err(), UrlError::PercentEncode, "{url}");
        }
    }

    #[test]
    fn an_encoded_password_is_decoded() {
        let url = parse("postgres://app%40x:p%40%2F%3F%23%25%20%C3%A9:s@h:6543/d%2Fe?a=b%26c");
        let url = url.unwrap();
        assert_eq!(url.username.as_deref(), Some("app@x"));
        assert_eq!(url.password.as_deref(), Some("p@/?#% é:s"));
        assert_eq!(url.hosts, [Host { name: "h".into(), port: Some(6543) }]);
        assert_eq!(url.path, "d/e");
        assert_eq!(url.query, [("a".to_owned(), "b&c".to_owned())]);
        assert!(!format!("{url:?}").contains("p@"), "{url:?}");
    }

    #[test]
    fn hosts_may_be_none_several_or_addresses() {
        let hosts = |text| {
            let hosts = parse(text).unwrap().hosts.into_iter();
            hosts.map(|host| (host.name, host.port)).collect::<Vec<_>>()
        };
        assert_eq!(hosts("postgres://u:p@/d"), []);
        assert_eq!(hosts("postgres:///d"), []);
        assert_eq!(hosts("postgres://[::1]:5432/d"), [("::1".to_owned(), Some(5432))]);
        assert_eq!(hosts("postgres://u@[fe80::1]"), [("fe80::1".to_owned(), None)]);
        assert_eq!(hosts("postgres://%2Fvar%2Frun/d"), [("/var/run".to_owned(), None)]);
        let several = hosts("postgres://u:p@a:1,b,[::2]:3/d");
        let expected = [("a".into(), Some(1)), ("b".into(), None), ("::2".into(), Some(3))];
        assert_eq!(several, expected);
    }

    #[test]
    fn malformed_texts_are_refused() {
        for text in ["postgres://u:p@h:port/d", "postgres://[::1/d", "postgres://::1/d"] {
            assert_eq!(parse(text).unwrap_err(), UrlError::Malformed, "{text}");
        }
        assert_eq!(parse("mysql://h/d").unwrap_err(), UrlError::Scheme);
        assert_eq!(parse("host=h password=x").unwrap_err(), UrlError::Scheme);
    }
}
