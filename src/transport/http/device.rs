//! `POST /api/auth/device/registration` and `POST /api/auth/device/renewal`: a browser binds its session
//! to a key of its device (W3C draft "Device Bound Session Credentials").
//!
//! 1. The answer to a login or a refresh offered it with `Secure-Session-Registration`.
//! 2. The browser posts a proof (`Secure-Session-Response`) together with the refresh cookie. The answer
//!    says in JSON how to renew, sets the bound cookie, and brings the next challenge.
//! 3. Before the bound cookie ends, the browser posts another proof and names its session
//!    (`Sec-Secure-Session-Id`). Without a usable proof the answer is 403 with a challenge, and the browser
//!    asks again.
//! 4. Any other 4xx ends the binding in the browser; 5xx and 429 keep it.
//!
//! The bound cookie is not bound to the refresh cookie in the browser. After another login, the binding of
//! the earlier session would overwrite its successor's cookie, so a renewal for a session whose refresh
//! cookie is gone ends the binding.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::json;

use super::auth::{self, Adapter, NO_STORE};
use super::cookie::CookieSettings;
use super::origin;
use crate::authority::RefreshRefusal;
use crate::token::id::SessionId;
use crate::transport::callers::roles::RENEW_DEVICE;
use crate::transport::proto::v1::{
    RegisterDeviceRequest, RenewDeviceBindingRequest, RenewDeviceBindingResponse,
};

const PROOF: &str = "secure-session-response";
const SESSION: &str = "sec-secure-session-id";
const CHALLENGE: HeaderName = HeaderName::from_static("secure-session-challenge");

/// Registers the browser's device for the session of its refresh cookie.
pub(super) async fn register(State(adapter): State<Arc<Adapter>>, headers: HeaderMap) -> Response {
    if let Err(refused) = origin::check(&adapter.settings.origins, &headers) {
        return adapter.foreign(&refused);
    }
    let cookies = adapter.settings.cookie.read(&headers);
    let presented = match adapter.pick(cookies, &headers).await {
        Ok(Some(presented)) => presented,
        Ok(None) => return no_cookie(),
        Err(error) => return auth::failed(&error, None),
    };
    let proof = text(&headers, PROOF).unwrap_or_default().to_owned();
    let ask = RegisterDeviceRequest { refresh_token: presented.token, proof };
    match adapter.client.clone().register_device(ask).await {
        Ok(answer) => {
            let answer = answer.into_inner();
            let answer = RenewDeviceBindingResponse {
                device_binding: answer.device_binding,
                device_binding_expires_in: answer.device_binding_expires_in,
                challenge: answer.challenge,
                session_id: answer.session_id,
            };
            bound(&adapter, &answer)
        }
        Err(error) => auth::failed(&error, None),
    }
}

/// Renews the binding of the session that the browser names.
pub(super) async fn renew(State(adapter): State<Arc<Adapter>>, headers: HeaderMap) -> Response {
    if let Err(refused) = origin::check(&adapter.settings.origins, &headers) {
        return adapter.foreign(&refused);
    }
    let named = text(&headers, SESSION).map(|id| id.trim_matches('"'));
    let named: Option<SessionId> = named.and_then(|id| id.parse().ok());
    let tokens = auth::parse(adapter.settings.cookie.read(&headers).values);
    let Some(named) = named.filter(|id| tokens.iter().any(|(_, token)| token.session_id() == *id))
    else {
        return no_cookie();
    };
    let proof = text(&headers, PROOF).unwrap_or_default().to_owned();
    let ask = RenewDeviceBindingRequest { session_id: named.to_string(), proof };
    match adapter.client.clone().renew_device_binding(ask).await {
        Ok(answer) => bound(&adapter, &answer.into_inner()),
        Err(error) => auth::failed(&error, None),
    }
}

/// Returns the answer with the next binding, or with the challenge to sign first.
fn bound(adapter: &Adapter, answer: &RenewDeviceBindingResponse) -> Response {
    let Some(settings) = &adapter.settings.bound_cookie else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let response = if answer.device_binding.is_empty() {
        auth::refusal(StatusCode::FORBIDDEN, "the proof has no recent challenge", None)
    } else {
        let seconds = answer.device_binding_expires_in.map_or(0, |life| life.seconds);
        let lifetime = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let cookie = settings.set(&answer.device_binding, Some(lifetime));
        let body = Json(instructions(settings, &answer.session_id));
        auth::with_cookie(([NO_STORE], body).into_response(), cookie)
    };
    let challenge = format!("\"{}\";id=\"{}\"", answer.challenge, answer.session_id);
    with_header(response, CHALLENGE, &challenge)
}

/// Returns the draft's session instructions. The browser compares the attributes with those of the cookie.
/// Without an origin in its scope, the binding is for the origin of this route.
fn instructions(settings: &CookieSettings, session_id: &str) -> serde_json::Value {
    json!({
        "session_identifier": session_id,
        "refresh_url": RENEW_DEVICE.path(),
        "scope": { "include_site": false, "scope_specification": [] },
        "credentials": [{
            "type": "cookie",
            "name": settings.name,
            "attributes": settings.attributes(),
        }],
    })
}

fn no_cookie() -> Response {
    let error = "there is no refresh token cookie of that session";
    auth::refusal(StatusCode::UNAUTHORIZED, error, Some(RefreshRefusal::Invalid))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn with_header(mut response: Response, name: HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}
