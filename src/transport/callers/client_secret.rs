//! A caller's key in the form (`client_secret_post`, RFC 6749 section 2.3.1), for OAuth 2 clients
//! that do not send it as a header.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use zeroize::Zeroizing;

use crate::transport::limits::BODY_BYTES;

/// How long a client may take to send its form. The request's own deadline begins after that.
const FORM_TIMEOUT: Duration = Duration::from_secs(5);

/// Turns `client_id` and `client_secret` of a form into the equivalent header, so that the gate
/// knows one kind of credential. A request with an `Authorization` header is left as it is.
pub(super) async fn as_header(request: Request, next: Next) -> Response {
    if request.headers().contains_key(header::AUTHORIZATION) || !is_form(request.headers()) {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let form = match tokio::time::timeout(FORM_TIMEOUT, to_bytes(body, BODY_BYTES)).await {
        Ok(Ok(form)) => form,
        Ok(Err(_)) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    if let Some(credential) = credential(&form) {
        parts.headers.insert(header::AUTHORIZATION, credential);
    }
    next.run(Request::from_parts(parts, Body::from(form))).await
}

fn is_form(headers: &HeaderMap) -> bool {
    const FORM: &[u8] = b"application/x-www-form-urlencoded";
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let essence = content_type.and_then(|value| value.split(|byte| *byte == b';').next());
    essence.is_some_and(|essence| essence.trim_ascii().eq_ignore_ascii_case(FORM))
}

/// Returns the header for a form that contains both parts exactly once.
pub(super) fn credential(form: &[u8]) -> Option<HeaderValue> {
    let one = |name: &str| {
        let mut values = form_urlencoded::parse(form).filter(|(known, _)| known == name);
        let (_, value) = values.next()?;
        values.next().is_none().then(|| Zeroizing::new(value.into_owned()))
    };
    let (id, secret) = (one("client_id")?, one("client_secret")?);
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Zeroizing::new(format!("{}:{}", encoded(&id), encoded(&secret)));
    let mut header = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(&*pair))).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::callers::credential::{KeyHash, presented};

    fn read(form: &str) -> Option<(String, KeyHash)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, credential(form.as_bytes())?);
        let presented = presented(&headers).unwrap().unwrap();
        Some((presented.name.unwrap(), presented.hash))
    }

    #[test]
    fn a_form_says_what_the_header_would() {
        let expected = ("back-end_1".to_owned(), KeyHash::of("tak_x+y/z"));
        let form = "token=t&client_id=back-end_1&client_secret=tak_x%2By%2Fz";
        assert_eq!(read(form), Some(expected));
        for incomplete in [
            "",
            "token=t",
            "client_id=a",
            "client_secret=tak_x",
            "client_id=a&client_id=a&client_secret=tak_x",
            "client_id=a&client_secret=tak_x&client_secret=tak_x",
        ] {
            assert_eq!(read(incomplete), None, "{incomplete}");
        }
    }

    #[test]
    fn only_a_form_is_read() {
        let is = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, text.parse().unwrap());
            is_form(&headers)
        };
        assert!(is("application/x-www-form-urlencoded"));
        assert!(is("Application/X-WWW-Form-Urlencoded ; charset=utf-8"));
        assert!(!is("application/json") && !is(""));
    }
}
