//! The documents for verifiers and OAuth 2 clients: the public keys (RFC 7517) and the service's
//! metadata (RFC 8414), which OIDC clients find under a path of their own as well.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use http::uri::{Authority as HostAndPort, Uri};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::token::GRANT_TYPE;
use crate::authority::Authority;
use crate::transport::serve::peer::Peer;

/// The maximum time that a cache may keep the public keys. With a higher value, verifiers would
/// accept tokens of a withdrawn key for longer.
const MAX_CACHED: Duration = Duration::from_mins(5);

/// The settings of the documents.
#[derive(Debug, Clone)]
pub struct WellKnownSettings {
    /// `JWT_ISSUER`.
    pub issuer: Option<String>,
    /// How long a key is published before it signs. A cache may keep a key set for half of this
    /// time. A verifier therefore knows a key before the first token of that key arrives.
    pub publish: Duration,
}

/// The sources of the documents.
#[derive(Debug)]
pub(super) struct Documents {
    authority: Arc<Authority>,
    settings: WellKnownSettings,
}

impl Documents {
    /// Combines the owner of the keys with the settings.
    pub(super) fn new(authority: Arc<Authority>, settings: WellKnownSettings) -> Arc<Self> {
        Arc::new(Self { authority, settings })
    }
}

/// Serves the public keys. Any page may read them.
pub(super) async fn key_set(State(documents): State<Arc<Documents>>) -> Response {
    let max_age = MAX_CACHED.min(documents.settings.publish / 2);
    public(&documents.authority.published_keys(), max_age)
}

/// Serves the metadata. Any page may read it.
pub(super) async fn metadata(
    State(documents): State<Arc<Documents>>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Response {
    let encrypted = peer.as_ref().is_some_and(|peer| peer.is_encrypted());
    let issuer = documents.settings.issuer.as_deref();
    if let Some(base) = issuer.and_then(base_of) {
        return public(&describe(issuer.unwrap_or(base), base), MAX_CACHED);
    }
    // Without a fixed issuer, the client's request decides the address, so no cache may keep the
    // answer for other clients.
    match asked_for(&headers, encrypted) {
        Some(base) => public(&describe(issuer.unwrap_or(&base), &base), Duration::ZERO),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// Serves the metadata of an issuer with a path, which follows the well-known path (RFC 8414
/// section 3.1).
pub(super) async fn metadata_of_path(
    state: State<Arc<Documents>>,
    Path(path): Path<String>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Response {
    let issuer = state.settings.issuer.as_deref();
    let issuer: Option<Uri> = issuer.and_then(base_of).and_then(|base| base.parse().ok());
    match issuer {
        Some(issuer) if issuer.path().trim_matches('/') == path.trim_end_matches('/') => {
            metadata(state, peer, headers).await
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Returns the issuer without a slash at its end, if it is a URL.
fn base_of(issuer: &str) -> Option<&str> {
    let uri: Uri = issuer.parse().ok()?;
    let is_address = matches!(uri.scheme_str(), Some("https" | "http")) && uri.query().is_none();
    is_address.then(|| issuer.trim_end_matches('/'))
}

fn asked_for(headers: &HeaderMap, encrypted: bool) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host: HostAndPort = text(header::HOST.as_str())?.parse().ok()?;
    let encrypted = encrypted || text("x-forwarded-proto") == Some("https");
    let scheme = if encrypted { "https" } else { "http" };
    (!host.as_str().contains('@')).then(|| format!("{scheme}://{host}"))
}

/// Returns authorization server metadata (RFC 8414 section 2). There is no authorization endpoint:
/// the auth-server logs users in and requests tokens over gRPC.
fn describe(issuer: &str, base: &str) -> Value {
    let callers = ["client_secret_basic", "client_secret_post"];
    json!({
        "issuer": issuer,
        "jwks_uri": format!("{base}/.well-known/jwks.json"),
        "introspection_endpoint": format!("{base}/oauth2/introspect"),
        "introspection_endpoint_auth_methods_supported": callers,
        "revocation_endpoint": format!("{base}/oauth2/revoke"),
        "revocation_endpoint_auth_methods_supported": callers,
        "token_endpoint": format!("{base}/oauth2/token"),
        "token_endpoint_auth_methods_supported": ["none"],
        "response_types_supported": [],
        "grant_types_supported": [GRANT_TYPE],
    })
}

fn public(document: &Value, max_age: Duration) -> Response {
    let cache = match max_age.as_secs() {
        0 => "no-cache".to_owned(),
        seconds => format!("public, max-age={seconds}"),
    };
    let cache = HeaderValue::from_str(&cache).unwrap_or(HeaderValue::from_static("no-cache"));
    let any = HeaderValue::from_static("*");
    let headers = [(header::CACHE_CONTROL, cache), (header::ACCESS_CONTROL_ALLOW_ORIGIN, any)];
    (headers, Json(document)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoints_are_under_an_issuer_that_is_an_address() {
        assert_eq!(base_of("https://auth.example.com"), Some("https://auth.example.com"));
        assert_eq!(base_of("https://example.com/auth/"), Some("https://example.com/auth"));
        for other in ["my-product", "urn:example:issuer", "https://a.example/?q=1", "", "https://"]
        {
            assert_eq!(base_of(other), None, "{other}");
        }
    }

    #[test]
    fn without_such_an_issuer_they_are_where_the_client_asked() {
        let asked = |pairs: &[(&'static str, &'static str)]| {
            let pair = |(name, value): &(&'static str, &'static str)| {
                (http::HeaderName::from_static(name), HeaderValue::from_static(value))
            };
            asked_for(&pairs.iter().map(pair).collect(), false)
        };
        assert_eq!(asked(&[("host", "127.0.0.1:8080")]).unwrap(), "http://127.0.0.1:8080");
        let behind = [("host", "auth.example.com"), ("x-forwarded-proto", "https")];
        assert_eq!(asked(&behind).unwrap(), "https://auth.example.com");
        for bad in ["", "a b", "evil.example/x?", "user@host", "\"></a>"] {
            assert_eq!(asked(&[("host", bad)]), None, "{bad}");
        }
        assert_eq!(asked(&[]), None);
    }
}
