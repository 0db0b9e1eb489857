//! The refresh token's cookie (RFC 6265bis): how it is read, set and cleared.
//!
//! A browser distinguishes cookies of one name by domain, path and partition. It sends all that
//! match, and does not say which is which. A request may therefore contain several, and clearing
//! one means naming every combination under which it may be stored.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

/// The path of the routes that need the cookie. It covers no other route.
const PATH: &str = "/api/auth";
/// The path that browsers require for a cookie whose name begins with [`HOST_PREFIX`].
const ROOT: &str = "/";
/// With this prefix, other hosts of the domain cannot set the cookie.
const HOST_PREFIX: &str = "__host-";
/// How many parent domains of the host are named when cookies are cleared. A deeper host is rare,
/// and each parent costs four headers.
const MAX_DOMAINS: usize = 4;

/// How the cookie is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieSettings {
    /// Its name.
    pub name: String,
    /// Whether browsers send it only over HTTPS. `false` only in development.
    pub secure: bool,
    /// The domain whose hosts all receive it. `None`: only the host that set it.
    pub domain: Option<String>,
    /// Which sites' pages make a browser send it.
    pub same_site: SameSite,
    /// Whether each top-level site that embeds the page has a separate cookie (CHIPS).
    pub partitioned: bool,
}

/// Which sites' pages make a browser send the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Pages of the same site, and links from anywhere.
    Lax,
    /// Pages of the same site only.
    Strict,
    /// Pages of any site. `ALLOWED_ORIGINS` decides which of them may call.
    None,
}

impl SameSite {
    /// The attribute's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lax => "Lax",
            Self::Strict => "Strict",
            Self::None => "None",
        }
    }
}

/// The refresh cookies of one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Cookies {
    /// The different values that are plain text, in the browser's order.
    pub(crate) values: Vec<String>,
    /// The number of cookies of the name.
    pub(super) count: usize,
    /// How many of them contain bytes that no token contains.
    pub(super) unreadable: usize,
}

/// Where a browser stores a cookie, in addition to its name. Setting or clearing a cookie at
/// another place does not affect it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place<'a> {
    domain: Option<&'a str>,
    path: &'a str,
    partitioned: bool,
}

impl CookieSettings {
    /// Reads each cookie of the name. Each cookie is read separately and as bytes: another
    /// application's cookie may contain any bytes, and must not hide ours.
    pub(crate) fn read(&self, headers: &HeaderMap) -> Cookies {
        let mut cookies = Cookies::default();
        let lines = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
        let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';'));
        for value in pairs.filter_map(|pair| self.value_of(pair)) {
            cookies.count += 1;
            match std::str::from_utf8(value) {
                Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                    if !cookies.values.iter().any(|known| known == text) {
                        cookies.values.push(text.to_owned());
                    }
                }
                _ => cookies.unreadable += 1,
            }
        }
        let mut lines = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
        if cookies.count == 0 && lines.any(|line| self.is_mentioned(line)) {
            cookies.count = 1;
            cookies.unreadable = 1;
        }
        cookies
    }

    /// Whether the cookie is inside another one. Some proxies join several `Cookie` headers with
    /// commas, and a logout must not be reported as done then.
    fn is_mentioned(&self, line: &[u8]) -> bool {
        let mention = [self.name.as_bytes(), b"="].concat();
        let mut starts = line.windows(mention.len()).enumerate();
        starts.any(|(at, text)| text == mention && at > 0 && b", \t\"".contains(&line[at - 1]))
    }

    fn value_of<'a>(&self, pair: &'a [u8]) -> Option<&'a [u8]> {
        let pair = pair.trim_ascii();
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&pair[..at], &pair[at + 1..]);
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        let value = value.strip_suffix(b"\"").unwrap_or(value);
        (name == self.name.as_bytes() && !value.is_empty()).then_some(value)
    }

    /// Returns the header that sets the cookie. Without a lifetime, the browser drops it when it is
    /// closed.
    pub(super) fn set(&self, token: &str, lifetime: Option<Duration>) -> Option<HeaderValue> {
        self.header(self.own_place(), token, lifetime.map(|lifetime| lifetime.as_secs()))
    }

    /// Returns the header that deletes the cookie.
    pub(super) fn clear(&self) -> Option<HeaderValue> {
        self.header(self.own_place(), "", Some(0))
    }

    /// Returns the headers that delete cookies of the name at all other places where a browser may
    /// store one for `host`: set by the auth-server, or by this service under other settings.
    pub(super) fn clear_elsewhere(&self, host: Option<&str>) -> Vec<HeaderValue> {
        let own = self.own_place();
        let mut domains = vec![None];
        let paths = if self.is_host_bound() {
            &[ROOT][..]
        } else {
            domains.extend(self.domain.as_deref().map(Some));
            domains.extend(host.map(parents).unwrap_or_default().into_iter().map(Some));
            &[PATH, ROOT][..]
        };
        domains.dedup();
        let partitions = if self.secure { &[false, true][..] } else { &[false][..] };
        let mut headers = Vec::new();
        for domain in domains {
            for path in paths {
                for &partitioned in partitions {
                    let place = Place { domain, path, partitioned };
                    if place != own {
                        headers.extend(self.header(place, "", Some(0)));
                    }
                }
            }
        }
        headers
    }

    /// Returns whether the name's prefix forbids a domain and another path.
    fn is_host_bound(&self) -> bool {
        let prefix = self.name.get(..HOST_PREFIX.len());
        prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(HOST_PREFIX))
    }

    fn own_place(&self) -> Place<'_> {
        if self.is_host_bound() {
            return Place { domain: None, path: ROOT, partitioned: self.partitioned };
        }
        Place { domain: self.domain.as_deref(), path: PATH, partitioned: self.partitioned }
    }

    /// Returns the attributes of the cookie without its lifetime.
    pub(super) fn attributes(&self) -> String {
        self.attributes_at(self.own_place(), None)
    }

    fn header(&self, place: Place<'_>, value: &str, max_age: Option<u64>) -> Option<HeaderValue> {
        let text = format!("{}={value}; {}", self.name, self.attributes_at(place, max_age));
        let mut header = HeaderValue::from_str(&text).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    fn attributes_at(&self, place: Place<'_>, max_age: Option<u64>) -> String {
        let Place { domain, path, partitioned } = place;
        let same_site = self.same_site.as_str();
        let secure = if self.secure { "; Secure" } else { "" };
        let max_age = Optional("; Max-Age=", max_age);
        let domain = Optional("; Domain=", domain);
        let partitioned = if partitioned { "; Partitioned" } else { "" };
        format!("HttpOnly{secure}; SameSite={same_site}; Path={path}{max_age}{domain}{partitioned}")
    }
}

/// An attribute and its value, if there is one.
struct Optional<T>(&'static str, Option<T>);

impl<T: fmt::Display> fmt::Display for Optional<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.1.as_ref().map_or(Ok(()), |value| write!(f, "{}{value}", self.0))
    }
}

/// Returns the domains for which a page of `host` can set cookies: the host and its parents, down
/// to two labels. An address or a name of one label has none.
fn parents(host: &str) -> Vec<&str> {
    let is_plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    if !is_plain || host.parse::<IpAddr>().is_ok() {
        return Vec::new();
    }
    let hosts = std::iter::successors(Some(host), |host| Some(host.split_once('.')?.1));
    hosts.take_while(|host| host.contains('.')).take(MAX_DOMAINS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> CookieSettings {
        CookieSettings {
            name: "refreshToken".into(),
            secure: true,
            domain: None,
            same_site: SameSite::Lax,
            partitioned: false,
        }
    }

    fn read(cookies: &[&[u8]]) -> Cookies {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(header::COOKIE, HeaderValue::from_bytes(cookie).unwrap());
        }
        settings().read(&headers)
    }

    fn places(settings: &CookieSettings, host: Option<&str>) -> Vec<String> {
        let place = |header: HeaderValue| {
            let text = header.to_str().unwrap();
            assert!(text.contains("; Max-Age=0"), "{text}");
            let attributes = text.split("; ").filter(|attribute| {
                ["Path=", "Domain=", "Partitioned"].iter().any(|of| attribute.starts_with(of))
            });
            attributes.collect::<Vec<_>>().join(" ")
        };
        settings.clear_elsewhere(host).into_iter().map(place).collect()
    }

    #[test]
    fn its_own_cookie_is_found_among_others() {
        for (header, value) in [
            (&b"a=1; refreshToken=t; b=2"[..], "t"),
            (b"refreshToken=\"t\"", "t"),
            (b" refreshToken=t ;b", "t"),
            (b"refreshToken=a=b", "a=b"),
        ] {
            assert_eq!(read(&[header]).values, [value]);
        }
        let two = read(&[b"refreshToken=t; refreshToken=u", b"x=1; refreshToken=t"]);
        assert_eq!((two.values.as_slice(), two.count), (&["t".to_owned(), "u".into()][..], 3));
        for none in
            ["", "refreshToken", "refreshToken=", "refreshtoken=t", "xrefreshToken=t", ";;="]
        {
            assert_eq!(read(&[none.as_bytes()]), Cookies::default(), "{none}");
        }
    }

    #[test]
    fn a_neighbour_s_bytes_hide_nothing() {
        for neighbour in [
            &b"city=\xc3\x85rhus"[..],
            b"city=\xc5rhus",
            b"a=\x80",
            b"m=\xf0\x9f\x8d\xaa",
            b"q=\"\xff",
        ] {
            let (before, after) =
                ([neighbour, b"; refreshToken=t"], [b"refreshToken=t; ", neighbour]);
            for header in [before.concat(), after.concat()] {
                let cookies = read(&[&header]);
                assert_eq!((cookies.values, cookies.unreadable), (vec!["t".to_owned()], 0));
            }
        }
        for joined in
            [&b"city=paris,refreshToken=t"[..], b"a=\xc5, refreshToken=t", b"a=\"refreshToken=t"]
        {
            let cookies = read(&[joined]);
            assert_eq!((cookies.values.len(), cookies.count, cookies.unreadable), (0, 1, 1));
        }
        assert_eq!(read(&[b"next=/page?refreshToken=t"]), Cookies::default());
        let own = read(&[b"refreshToken=\xff\xfe"]);
        assert_eq!((own.values.len(), own.count, own.unreadable), (0, 1, 1));
    }

    #[test]
    fn its_attributes_are_the_contract_s() {
        let set = |settings: &CookieSettings| {
            let header = settings.set("t", Some(Duration::from_hours(168))).unwrap();
            assert!(header.is_sensitive());
            header.to_str().unwrap().to_owned()
        };
        assert_eq!(
            set(&settings()),
            "refreshToken=t; HttpOnly; Secure; SameSite=Lax; Path=/api/auth; Max-Age=604800"
        );
        let plain = CookieSettings { secure: false, ..settings() };
        assert_eq!(
            plain.clear().unwrap().to_str().unwrap(),
            "refreshToken=; HttpOnly; SameSite=Lax; Path=/api/auth; Max-Age=0"
        );
        let embedded = CookieSettings {
            domain: Some("example.com".into()),
            same_site: SameSite::None,
            partitioned: true,
            ..settings()
        };
        assert_eq!(
            set(&embedded),
            "refreshToken=t; HttpOnly; Secure; SameSite=None; Path=/api/auth; Max-Age=604800; \
             Domain=example.com; Partitioned"
        );
        let bound = CookieSettings { name: "__Host-r".into(), ..settings() };
        assert_eq!(
            set(&CookieSettings { same_site: SameSite::Strict, ..bound }),
            "__Host-r=t; HttpOnly; Secure; SameSite=Strict; Path=/; Max-Age=604800"
        );
    }

    #[test]
    fn every_other_place_is_cleared_and_its_own_is_not() {
        let all = places(&settings(), Some("app.example.com"));
        for place in [
            "Path=/",
            "Path=/ Partitioned",
            "Path=/api/auth Partitioned",
            "Path=/api/auth Domain=app.example.com",
            "Path=/api/auth Domain=example.com",
            "Path=/ Domain=example.com Partitioned",
        ] {
            assert!(all.iter().any(|one| one == place), "{place}: {all:?}");
        }
        assert!(!all.iter().any(|one| one == "Path=/api/auth"), "{all:?}");
        assert_eq!(all.len(), 3 * 2 * 2 - 1);

        let wide = CookieSettings { domain: Some("example.com".into()), ..settings() };
        let all = places(&wide, None);
        assert!(all.contains(&"Path=/api/auth".to_owned()), "{all:?}");
        assert!(!all.contains(&"Path=/api/auth Domain=example.com".to_owned()), "{all:?}");

        let bound = CookieSettings { name: "__Host-r".into(), ..settings() };
        assert_eq!(places(&bound, Some("app.example.com")), ["Path=/ Partitioned"]);
        for host in ["localhost", "127.0.0.1", "::1", "a b", ""] {
            assert_eq!(places(&settings(), Some(host)).len(), 3, "{host}");
        }
    }
}
