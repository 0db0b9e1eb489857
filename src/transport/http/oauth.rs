//! `POST /oauth2/introspect` (RFC 7662) and `POST /oauth2/revoke` (RFC 7009), for access tokens and
//! refresh tokens alike. `token_type_hint` is accepted and ignored: the prefix of a refresh token
//! shows its kind.
//!
//! Like the browser's adapter, these routes are clients of the RPCs. Two operations have no RPC: to
//! examine a refresh token without using it, and to end a session by its access token. For these,
//! the routes call the authority.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{Extensions, HeaderMap, StatusCode};
use serde_json::{Map, Value, json};
use tonic::{Code, Status};

use super::form::{self, Form, NO_STORE};
use crate::authority::Authority;
use crate::token::refresh;
use crate::token::session::Session;
use crate::transport::callers::Caller;
use crate::transport::grpc::{TokensInProcess, claims};
use crate::transport::proto::v1::{ValidateTokenRequest, ValidateTokenResponse};

/// The parts that the OAuth 2 endpoints share.
#[derive(Debug)]
pub(super) struct Endpoints {
    pub(super) client: TokensInProcess,
    pub(super) authority: Arc<Authority>,
}

impl Endpoints {
    pub(super) fn new(client: TokensInProcess, authority: Arc<Authority>) -> Arc<Self> {
        Arc::new(Self { client, authority })
    }
}

/// `POST /oauth2/introspect`.
pub(super) async fn introspect(
    State(endpoints): State<Arc<Endpoints>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(token) = token(&headers, &body) else { return invalid_request() };
    let answer = if is_refresh_token(&token) {
        let session = endpoints.authority.introspect_refresh_token(&token).await;
        session
            .map(|session| session.as_ref().map_or_else(inactive, refresh_token_answer))
            .map_err(Status::from)
    } else {
        let ask = ValidateTokenRequest { token, ..Default::default() };
        let answer = endpoints.client.clone().validate_token(ask).await;
        answer.map(|answer| access_token_answer(answer.into_inner()))
    };
    match answer {
        Ok(answer) => (NO_STORE, Json(answer)).into_response(),
        Err(error) => form::failed(&error),
    }
}

/// `POST /oauth2/revoke`.
pub(super) async fn revoke(
    State(endpoints): State<Arc<Endpoints>>,
    extensions: Extensions,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(token) = token(&headers, &body) else { return invalid_request() };
    // Not through the in-process client, which would record the browser's adapter as the actor.
    let (authority, actor) = (&endpoints.authority, Caller::name_of(&extensions));
    let done = if is_refresh_token(&token) {
        authority.revoke_refresh_token(&token, &actor).await
    } else {
        authority.revoke_access_token(&token, &actor).await
    };
    match done.map_err(Status::from) {
        // RFC 7009 section 2.2: a token that this service did not mint counts as revoked.
        Ok(()) => (StatusCode::OK, NO_STORE).into_response(),
        // RFC 7009 section 2.2.1: the token is valid, but this service cannot revoke it.
        Err(error) if error.code() == Code::InvalidArgument => {
            bad_request("unsupported_token_type", error.message())
        }
        Err(error) => form::failed(&error),
    }
}

fn is_refresh_token(token: &str) -> bool {
    token.starts_with(refresh::PREFIX)
}

/// Returns the form's only `token`.
fn token(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    Form::read(headers, body)?.one("token").map(str::to_owned)
}

fn inactive() -> Value {
    json!({ "active": false })
}

fn refresh_token_answer(session: &Session) -> Value {
    json!({
        "active": true,
        "token_type": "refresh_token",
        "sub": session.user_id.as_str(),
        "sid": session.id.to_string(),
        "iat": session.lineage.handed_out_at.as_seconds(),
        "exp": session.expires_at.as_seconds(),
    })
}

fn access_token_answer(token: ValidateTokenResponse) -> Value {
    if !token.active {
        return inactive();
    }
    // The service's own members are added last, so that no claim of the token can replace them.
    let mut answer: Map<String, Value> = token.claims.map(claims).unwrap_or_default();
    let mut say = |name: &str, value: Value| answer.insert(name.to_owned(), value);
    say("active", true.into());
    say("token_type", "Bearer".into());
    say("sub", token.user_id.into());
    for (name, text) in [("sid", token.session_id), ("jti", token.token_id)] {
        if !text.is_empty() {
            say(name, text.into());
        }
    }
    for (name, moment) in [("iat", token.issued_at), ("exp", token.expires_at)] {
        if let Some(moment) = moment {
            say(name, moment.seconds.into());
        }
    }
    match token.audience.as_slice() {
        [] => {}
        [one] => drop(say("aud", one.as_str().into())),
        several => drop(say("aud", several.into())),
    }
    if !token.scopes.is_empty() {
        say("scope", token.scopes.join(" ").into());
    }
    Value::Object(answer)
}

fn invalid_request() -> Response {
    let what = "one `token`, application/x-www-form-urlencoded, is required";
    bad_request("invalid_request", what)
}

fn bad_request(error: &str, description: &str) -> Response {
    form::refusal(StatusCode::BAD_REQUEST, error, description)
}
