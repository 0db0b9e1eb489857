//! Decides whether an answer is a page or JSON (RFC 9110 section 12.5.1).

use http::{HeaderMap, HeaderValue, header};

/// The representation of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Representation {
    /// A page for a person.
    Page,
    /// JSON for a program.
    Json,
}

/// Returns the representation that a request asks for. A program that accepts anything gets JSON.
pub(super) fn wanted(headers: &HeaderMap) -> Representation {
    if preference(headers).is_gt() { Representation::Page } else { Representation::Json }
}

/// Returns the representation of the answer to a `POST`. A page's form is answered with a page, unless the
/// request prefers JSON.
pub(super) fn wanted_after_post(headers: &HeaderMap) -> Representation {
    let is_form = headers.get(header::CONTENT_TYPE).is_some_and(|content_type| {
        let content_type = content_type.as_bytes().to_ascii_lowercase();
        [&b"application/x-www-form-urlencoded"[..], b"multipart/form-data"]
            .iter()
            .any(|form| content_type.starts_with(form))
    });
    match preference(headers) {
        std::cmp::Ordering::Greater => Representation::Page,
        std::cmp::Ordering::Equal if is_form => Representation::Page,
        _ => Representation::Json,
    }
}

/// Compares the weights of HTML and JSON.
fn preference(headers: &HeaderMap) -> std::cmp::Ordering {
    weight(headers, "text", "html").cmp(&weight(headers, "application", "json"))
}

/// Returns the weight of a media type in thousandths. The most specific range decides.
fn weight(headers: &HeaderMap, kind: &str, subtype: &str) -> u16 {
    let lines = headers.get_all(header::ACCEPT).iter();
    let ranges: Vec<_> = lines
        .filter_map(|line: &HeaderValue| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(read)
        .collect();
    if ranges.is_empty() {
        return 1000;
    }
    let fits = ranges.iter().filter_map(|(of_kind, of_subtype, weight)| {
        match (of_kind.as_str(), of_subtype.as_str()) {
            ("*", "*") => Some((0, *weight)),
            (known, "*") if known == kind => Some((1, *weight)),
            (known, sub) if known == kind && sub == subtype => Some((2, *weight)),
            _ => None,
        }
    });
    fits.max().map_or(0, |(_, weight)| weight)
}

/// Reads a media range: its type, its subtype and its weight.
fn read(range: &str) -> Option<(String, String, u16)> {
    let mut parts = range.split(';').map(str::trim);
    let (kind, subtype) = parts.next()?.split_once('/')?;
    let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let weight = weight.map_or(Some(1000), thousandths)?;
    Some((kind.trim().to_ascii_lowercase(), subtype.trim().to_ascii_lowercase(), weight))
}

/// Reads a weight: `1`, or `0` with up to three digits behind the point.
fn thousandths(text: &str) -> Option<u16> {
    match text.split_once('.').unwrap_or((text, "")) {
        ("1", _) => Some(1000),
        ("0", digits) => format!("{digits:0<3}").get(..3)?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(accept: &str, content_type: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !accept.is_empty() {
            headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        }
        if !content_type.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        headers
    }

    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn weights_are_read_to_a_thousandth() {
        for (text, weight) in [("1", 1000), ("1.000", 1000), ("0.8", 800), ("0.125", 125), ("0", 0)]
        {
            assert_eq!(thousandths(text), Some(weight), "{text}");
        }
        for none in ["2", "0.x", "-1", "", "0.é"] {
            assert_eq!(thousandths(none), None, "{none}");
        }
    }

    #[test]
    fn a_browser_gets_a_page_and_a_program_gets_json() {
        for page in
            [BROWSER, "text/html", "TEXT/HTML", "text/*", "application/json;q=0.5, text/html"]
        {
            assert_eq!(wanted(&headers(page, "")), Representation::Page, "{page}");
        }
        for json in [
            "",
            "*/*",
            "application/json",
            "application/json, text/plain, */*",
            "text/html;q=0.5, application/json",
            "text/html;q=0",
            "image/png",
            "nonsense",
            "text/html;q=much",
        ] {
            assert_eq!(wanted(&headers(json, "")), Representation::Json, "{json}");
        }
    }

    #[test]
    fn a_form_is_answered_with_a_page_unless_json_is_preferred() {
        for (accept, content_type, expected) in [
            (BROWSER, FORM, Representation::Page),
            ("*/*", FORM, Representation::Page),
            ("", "Application/X-WWW-Form-Urlencoded; charset=utf-8", Representation::Page),
            (BROWSER, "", Representation::Page),
            ("application/json", FORM, Representation::Json),
            ("*/*", "", Representation::Json),
            ("", "application/json", Representation::Json),
        ] {
            let found = wanted_after_post(&headers(accept, content_type));
            assert_eq!(found, expected, "{accept} {content_type}");
        }
    }
}
