//! The forms that OAuth 2 clients send, and the answers that all their endpoints share.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;
use tonic::Status;

use crate::transport::fault;

/// Headers of every answer that contains a token or information about one (RFC 6749 section 5.1).
pub(super) const NO_STORE: [(HeaderName, HeaderValue); 2] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::PRAGMA, HeaderValue::from_static("no-cache")),
];

/// The parameters of a request, in order.
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a body. `None`: it is not a form.
    pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/x-www-form-urlencoded").then(|| Self::parse(body))
    }

    /// Reads the parameters of a body or a query.
    pub(crate) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// Returns the parameter of that name. A parameter that is empty or appears twice counts as
    /// absent (RFC 6749 section 3.2).
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(known, _)| known == name);
        let (_, value) = values.next()?;
        (values.next().is_none() && !value.is_empty()).then_some(value.as_str())
    }

    /// Returns whether the parameter is present at all.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }
}

/// Refuses a request in the form of RFC 6749 section 5.2.
pub(super) fn refusal(status: StatusCode, error: &str, description: &str) -> Response {
    let body = json!({ "error": error, "error_description": description });
    (status, NO_STORE, Json(body)).into_response()
}

/// Returns the answer for a failure that the token did not cause.
pub(super) fn failed(error: &Status) -> Response {
    let fault = fault::to_http(error);
    let name = match fault.status {
        StatusCode::SERVICE_UNAVAILABLE => "temporarily_unavailable",
        StatusCode::UNAUTHORIZED => "invalid_client",
        StatusCode::FORBIDDEN => "access_denied",
        StatusCode::BAD_REQUEST => "invalid_request",
        _ => "server_error",
    };
    let mut response = refusal(fault.status, name, error.message());
    if let Some(seconds) = fault.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: &str, body: &str) -> Option<Form> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        Form::read(&headers, body.as_bytes())
    }

    #[test]
    fn a_parameter_counts_if_it_comes_once() {
        let form = read(
            "application/x-www-form-urlencoded; charset=UTF-8",
            "a=1&b=%C3%A9+x&twice=1&twice=1&empty=",
        );
        let form = form.unwrap();
        assert_eq!((form.one("a"), form.one("b")), (Some("1"), Some("é x")));
        for absent in ["twice", "empty", "c"] {
            assert_eq!(form.one(absent), None, "{absent}");
        }
        assert!(form.has("twice") && form.has("empty") && !form.has("c"));
        assert!(read("application/json", "a=1").is_none());
        assert!(Form::read(&HeaderMap::new(), b"a=1").is_none());
    }
}
