//! Fuzz targets of what browsers and OAuth clients send.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::allowed_origins::{AllowedOrigins, OriginPattern, without_default_port};
use super::cookie::{CookieSettings, SameSite};
use super::form::Form;
use super::origin;

const NAME: &[u8] = b"refreshToken=";
const ALLOWED: &str = "https://app.example";

fn headers(name: &HeaderName, lines: &[u8]) -> HeaderMap {
    let values = lines.split(|byte| *byte == b'\n').map(HeaderValue::from_bytes);
    values.flatten().map(|value| (name.clone(), value)).collect()
}

/// The cookies that are read are in the header under their name, and none is missed.
pub(crate) fn cookie(data: &[u8]) {
    let settings = CookieSettings {
        name: "refreshToken".into(),
        secure: true,
        domain: None,
        same_site: SameSite::Lax,
        partitioned: false,
    };
    let headers = headers(&header::COOKIE, data);
    let cookies = settings.read(&headers);
    let lines = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
    let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    let sent: Vec<_> = pairs.filter_map(|pair| pair.strip_prefix(NAME)).collect();
    for value in &cookies.values {
        let (plain, quoted) = (value.as_bytes(), format!("\"{value}\""));
        assert!(!value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic() && b != b';'));
        let is_sent = |one: &&[u8]| {
            **one == *plain
                || **one == *quoted.as_bytes()
                || one.strip_prefix(b"\"") == Some(plain)
                || one.strip_suffix(b"\"") == Some(plain)
        };
        assert!(sent.iter().any(is_sent), "{value} was not sent");
        let renewed = settings.set(value, Some(std::time::Duration::from_secs(1)));
        let text = renewed.as_ref().and_then(|text| text.to_str().ok()).unwrap_or_default();
        assert_eq!(text.split("; ").count(), 6, "a value adds attributes: {text}");
    }
    let is_empty = |one: &&[u8]| [&b""[..], b"\"", b"\"\""].contains(one);
    let own = sent.iter().filter(|one| !is_empty(one)).count();
    // A cookie inside another one counts as one that cannot be read.
    let is_inside = own == 0 && cookies.count == 1 && cookies.unreadable == 1;
    assert!(cookies.count == own || is_inside, "{cookies:?}");
    assert!(cookies.values.len() + cookies.unreadable <= cookies.count);
}

/// A page of another origin may not call, and a refusal repeats nothing that may be secret.
pub(crate) fn origin(data: &[u8]) {
    const NAMES: [&str; 4] = ["origin", "sec-fetch-site", "host", "x-forwarded-host"];
    let lines = data.split(|byte| *byte == b'\n').zip(NAMES);
    let headers: HeaderMap = lines
        .filter(|(line, _)| !line.is_empty())
        .filter_map(|(line, name)| {
            Some((HeaderName::from_static(name), HeaderValue::from_bytes(line).ok()?))
        })
        .collect();
    let allowed: AllowedOrigins = ALLOWED.parse::<OriginPattern>().into_iter().collect();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match origin::check(&allowed, &headers) {
        Ok(()) => {
            let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
            let is_same = site.is_some_and(|site| site.eq_ignore_ascii_case(b"same-origin"));
            let is_allowed = text("origin") == Some(ALLOWED);
            assert!(is_same || is_allowed || may_be_own(&headers), "{headers:?} may call");
        }
        Err(refused) => {
            let plain =
                |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.:/[]()".contains(&b);
            assert!(refused.origin.bytes().chain(refused.host.bytes()).all(plain), "{refused:?}");
        }
    }
    if let Some(pattern) = text("origin").and_then(|text| text.parse::<OriginPattern>().ok()) {
        let patterns = AllowedOrigins::from_iter([pattern]);
        for text in patterns.iter() {
            assert_eq!(
                text.parse().map(|one| AllowedOrigins::from_iter([one])).as_ref(),
                Ok(&patterns)
            );
        }
    }
}

/// Whether a browser that sends no `Sec-Fetch-Site` calls its own origin, or no browser calls.
fn may_be_own(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let Some(origin) = headers.get("origin") else {
        return !site.is_some_and(|site| site.eq_ignore_ascii_case(b"cross-site"));
    };
    let Some((scheme, called)) = origin.to_str().ok().and_then(|text| text.split_once("://"))
    else {
        return false;
    };
    let hosts = ["host", "x-forwarded-host"].map(|name| headers.get(name)?.to_str().ok());
    let mut hosts = hosts.into_iter().flatten().flat_map(|host| host.split(',')).map(str::trim);
    let bare = |host: &str| without_default_port(scheme, &host.to_ascii_lowercase()).to_owned();
    site.is_none() && !called.is_empty() && hosts.any(|host| bare(host) == bare(called))
}

/// A form's parameters are those that were sent, and none counts that was sent twice.
pub(crate) fn form(data: &[u8]) {
    let (content_type, body) = data.split_at(data.iter().position(|b| *b == b'\n').unwrap_or(0));
    let headers = headers(&header::CONTENT_TYPE, content_type);
    let Some(form) = Form::read(&headers, body) else { return };
    let parsed: Vec<_> = form_urlencoded::parse(body).into_owned().collect();
    let mut again = form_urlencoded::Serializer::new(String::new());
    again.extend_pairs(&parsed);
    let again = Form::read(&headers, again.finish().as_bytes());
    for (name, _) in &parsed {
        let values: Vec<_> = parsed.iter().filter(|(known, _)| known == name).collect();
        let expected = match values[..] {
            [(_, value)] if !value.is_empty() => Some(value.as_str()),
            _ => None,
        };
        assert!(form.has(name) && form.one(name) == expected);
        assert!(again.as_ref().is_some_and(|again| again.one(name) == expected));
    }
}
