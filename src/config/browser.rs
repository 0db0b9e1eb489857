//! Settings for browsers: the refresh token's cookie, and the origins whose pages may use it.

use std::time::Duration;

use super::reader::Reader;
use crate::transport::http::{
    AllowedOrigins, BrowserSettings, CookieSettings, OriginPattern, SameSite,
};

pub(super) fn read(reader: &mut Reader<'_>, production: bool) -> BrowserSettings {
    let cookie = cookie(reader, production);
    check_prefix(reader, &cookie);
    check_combinations(reader, &cookie);
    let bound_cookie = is_binding(reader).then(|| bound_cookie(reader, &cookie));
    BrowserSettings { cookie, bound_cookie, origins: origins(reader) }
}

/// Reads how long the binding of a session to a device lives. `None`: device-bound sessions are off.
pub(super) fn device_binding(reader: &mut Reader<'_>) -> Option<Duration> {
    let seconds = reader.number("DEVICE_BOUND_COOKIE_SECONDS", 30..=3600_u64);
    let modes = [("off", false), ("offer", true)];
    let is_on = reader.choice("DEVICE_BOUND_SESSIONS", &modes).unwrap_or(false);
    is_on.then(|| Duration::from_secs(seconds))
}

fn is_binding(reader: &Reader<'_>) -> bool {
    reader.text("DEVICE_BOUND_SESSIONS").is_some_and(|mode| mode.eq_ignore_ascii_case("offer"))
}

/// Returns the settings of a bound session's second cookie: those of the refresh token's, with a name of
/// its own.
fn bound_cookie(reader: &mut Reader<'_>, cookie: &CookieSettings) -> CookieSettings {
    if !cookie.secure {
        reader.problem(
            "DEVICE_BOUND_SESSIONS",
            "DEVICE_BOUND_SESSIONS=offer needs COOKIE_SECURE=true: browsers bind sessions over HTTPS only",
        );
    }
    CookieSettings { name: format!("{}Bound", cookie.name), ..cookie.clone() }
}

fn cookie(reader: &mut Reader<'_>, production: bool) -> CookieSettings {
    let name = reader.text("REFRESH_COOKIE_NAME").unwrap_or_default().to_owned();
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) {
        reader.problem(
            "REFRESH_COOKIE_NAME",
            "REFRESH_COOKIE_NAME must be a cookie name (a token of RFC 6265)",
        );
    }
    let secure = reader.truth("COOKIE_SECURE");
    if production && !secure {
        reader.problem("COOKIE_SECURE", "COOKIE_SECURE may be false only in development");
    }
    let sites = [("lax", SameSite::Lax), ("strict", SameSite::Strict), ("none", SameSite::None)];
    CookieSettings {
        name,
        secure,
        domain: domain(reader),
        same_site: reader.choice("COOKIE_SAME_SITE", &sites).unwrap_or(SameSite::Lax),
        partitioned: reader.truth("COOKIE_PARTITIONED"),
    }
}

/// Reads the cookie's domain: a host name of at least two labels. Browsers reject a cookie with any
/// other domain. They ignore a leading dot.
fn domain(reader: &mut Reader<'_>) -> Option<String> {
    let text = reader.text("COOKIE_DOMAIN")?;
    let domain = text.strip_prefix('.').unwrap_or(text).to_ascii_lowercase();
    let is_label = |label: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(plain)
    };
    let is_name = domain.contains('.') && domain.len() <= 253 && domain.split('.').all(is_label);
    if is_name && domain.parse::<std::net::IpAddr>().is_err() {
        return Some(domain);
    }
    reader.problem(
        "COOKIE_DOMAIN",
        format!(
            "COOKIE_DOMAIN: `{text}` is not a domain such as example.com; leave it unset to use the cookie on one host only"
        ),
    );
    None
}

/// Checks the rules of the `__Host-` and `__Secure-` prefixes. Browsers reject a cookie that breaks
/// them (RFC 6265bis section 4.1.3).
fn check_prefix(reader: &mut Reader<'_>, cookie: &CookieSettings) {
    let name = cookie.name.to_ascii_lowercase();
    let prefix = ["__host-", "__secure-"].into_iter().find(|prefix| name.starts_with(prefix));
    let Some(prefix) = prefix else { return };
    let shown = &cookie.name[..prefix.len()];
    if !cookie.secure {
        reader.problem(
"REFRESH_COOKIE_NAME",
format!(
            "REFRESH_COOKIE_NAME begins with `{shown}`, but COOKIE_SECURE=false: browsers drop the \
             cookie"
        ),
);
    }
    if prefix == "__host-" && cookie.domain.is_some() {
        reader.problem(
"REFRESH_COOKIE_NAME",
format!(
            "REFRESH_COOKIE_NAME begins with `{shown}`, but COOKIE_DOMAIN is set: browsers drop the \
             cookie; leave COOKIE_DOMAIN unset, or use `__Secure-`"
        ),
);
    }
}

/// Checks the attributes that browsers accept only together with `Secure`.
fn check_combinations(reader: &mut Reader<'_>, cookie: &CookieSettings) {
    if cookie.secure {
        return;
    }
    if cookie.same_site == SameSite::None {
        reader.problem(
            "COOKIE_SAME_SITE",
            "COOKIE_SAME_SITE=none needs COOKIE_SECURE=true: browsers drop the cookie",
        );
    }
    if cookie.partitioned {
        reader.problem(
            "COOKIE_PARTITIONED",
            "COOKIE_PARTITIONED=true needs COOKIE_SECURE=true: browsers drop the cookie",
        );
    }
}

fn origins(reader: &mut Reader<'_>) -> AllowedOrigins {
    let mut origins = Vec::new();
    for text in reader.list("ALLOWED_ORIGINS") {
        match text.parse::<OriginPattern>() {
            Ok(origin) => origins.push(origin),
            Err(wrong) => {
                let problem = format!("ALLOWED_ORIGINS: `{text}` {wrong}");
                reader.problem("ALLOWED_ORIGINS", problem);
            }
        }
    }
    origins.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::source::Given;

    fn read(pairs: &[(&'static str, &str)]) -> Result<CookieSettings, Vec<String>> {
        let config = Config::read(&Given::of(pairs));
        config
            .map(|config| config.browser.cookie)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_attribute_has_its_setting() {
        let cookie = read(&[]).unwrap();
        assert!(cookie.secure && !cookie.partitioned);
        assert_eq!((cookie.domain, cookie.same_site), (None, SameSite::Lax));
        let cookie = read(&[
            ("COOKIE_DOMAIN", ".Example.com"),
            ("COOKIE_SAME_SITE", "none"),
            ("COOKIE_PARTITIONED", "true"),
        ]);
        let cookie = cookie.unwrap();
        assert!(cookie.partitioned);
        assert_eq!(
            (cookie.domain.as_deref(), cookie.same_site),
            (Some("example.com"), SameSite::None)
        );
        assert!(read(&[("REFRESH_COOKIE_NAME", "__Host-r")]).is_ok());
        let wide = [("REFRESH_COOKIE_NAME", "__Secure-r"), ("COOKIE_DOMAIN", "example.com")];
        assert!(read(&wide).is_ok());
    }

    #[test]
    fn a_cookie_that_browsers_would_drop_is_refused() {
        let plain = ("COOKIE_SECURE", "false");
        for (pairs, expected) in [
            (vec![("REFRESH_COOKIE_NAME", "__Host-r"), plain], "COOKIE_SECURE=false"),
            (vec![("REFRESH_COOKIE_NAME", "__secure-r"), plain], "COOKIE_SECURE=false"),
            (
                vec![("REFRESH_COOKIE_NAME", "__host-r"), ("COOKIE_DOMAIN", "example.com")],
                "COOKIE_DOMAIN is set",
            ),
            (vec![("COOKIE_SAME_SITE", "none"), plain], "COOKIE_SAME_SITE=none needs"),
            (vec![("COOKIE_PARTITIONED", "true"), plain], "COOKIE_PARTITIONED=true needs"),
            (vec![("COOKIE_SAME_SITE", "any")], "COOKIE_SAME_SITE must be one of"),
            (vec![("COOKIE_DOMAIN", "localhost")], "`localhost` is not a domain"),
            (vec![("COOKIE_DOMAIN", "10.0.0.7")], "`10.0.0.7` is not a domain"),
            (vec![("COOKIE_DOMAIN", "https://example.com")], "is not a domain"),
            (vec![("COOKIE_DOMAIN", "a..b")], "is not a domain"),
        ] {
            let problems = read(&pairs).unwrap_err();
            assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:?}");
        }
    }
}
