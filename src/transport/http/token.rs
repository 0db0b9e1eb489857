//! `POST /oauth2/token` for native apps (RFC 6749 section 6, RFC 8252): public clients without a
//! secret, which keep the refresh token themselves.
//!
//! 1. The app sends the form `grant_type=refresh_token`, `refresh_token=…` (section 6). It may add
//!    its `client_id` (section 2.3.1), which is ignored: the refresh token is the credential.
//! 2. A browser's page is refused. Its refresh token belongs in the cookie, where no script can
//!    read it.
//! 3. The gRPC service exchanges the token, by the same rules as a browser's.
//! 4. The answer follows section 5.1. The app replaces its refresh token by the one in the answer,
//!    because the previous one becomes invalid when the answer is used. An answer without one (section
//!    6) leaves the app's refresh token as it is: the presented one is a late copy, and the app may
//!    have stored a newer one meanwhile.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use tonic::Status;

use super::form::{self, Form, NO_STORE};
use super::oauth::Endpoints;
use crate::authority::Storing;
use crate::transport::fault;
use crate::transport::page;
use crate::transport::proto::v1::{RefreshAccessTokenRequest, RefreshAccessTokenResponse};

/// The only grant type of this endpoint.
pub(super) const GRANT_TYPE: &str = "refresh_token";

/// Exchanges a refresh token.
pub(super) async fn exchange(
    State(endpoints): State<Arc<Endpoints>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if page::is_asking(&headers) {
        return A_PAGE.into_response();
    }
    let Some(form) = Form::read(&headers, &body) else {
        return NOT_A_FORM.into_response();
    };
    let token = match refresh_token(&headers, &form) {
        Ok(token) => token.to_owned(),
        Err(refused) => return refused.into_response(),
    };
    let ask = RefreshAccessTokenRequest { refresh_token: token, ..Default::default() };
    let answer = match endpoints.client.clone().refresh_access_token(ask).await {
        Ok(answer) => answer,
        Err(error) => return refused(&error),
    };
    let storing = answer.extensions().get::<Storing>().copied().unwrap_or(Storing::Due);
    let answer = answer.into_inner();
    // A scope narrower than the session's is not minted. An app that asks for one learns which
    // scope it received (section 3.3).
    let scope = if form.has("scope") {
        match endpoints.authority.introspect_refresh_token(&answer.refresh_token).await {
            Ok(session) => session.map(|session| session.grant.scopes().join(" ")),
            Err(error) => return form::failed(&Status::from(error)),
        }
    } else {
        None
    };
    (NO_STORE, Json(tokens(answer, storing, scope))).into_response()
}

/// Why a request is refused before its token is judged.
#[derive(Debug, Clone, Copy)]
struct Refused {
    status: StatusCode,
    error: &'static str,
    description: &'static str,
}

impl Refused {
    const fn bad(error: &'static str, description: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error, description }
    }

    fn into_response(self) -> Response {
        let mut response = form::refusal(self.status, self.error, self.description);
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"token-authority\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

const NOT_A_FORM: Refused =
    Refused::bad("invalid_request", "the body must be application/x-www-form-urlencoded");
const A_PAGE: Refused = Refused {
    status: StatusCode::FORBIDDEN,
    error: "access_denied",
    description: "this endpoint is for native apps; a page calls POST /api/auth/refresh",
};
const A_SECRET: Refused = Refused {
    status: StatusCode::UNAUTHORIZED,
    error: "invalid_client",
    description: "this endpoint is for public clients: send no client secret",
};

/// Returns the form's refresh token, if this endpoint answers such a request.
fn refresh_token<'a>(headers: &HeaderMap, form: &'a Form) -> Result<&'a str, Refused> {
    if headers.contains_key(header::AUTHORIZATION) || form.has("client_secret") {
        return Err(A_SECRET);
    }
    match form.one("grant_type") {
        Some(GRANT_TYPE) => {}
        Some(_) => {
            let description = "the only grant type is refresh_token";
            return Err(Refused::bad("unsupported_grant_type", description));
        }
        None => return Err(Refused::bad("invalid_request", "grant_type is required, once")),
    }
    let required = Refused::bad("invalid_request", "refresh_token is required, once");
    form.one("refresh_token").ok_or(required)
}

fn tokens(answer: RefreshAccessTokenResponse, storing: Storing, scope: Option<String>) -> Value {
    let seconds = |duration: Option<prost_types::Duration>| duration.map_or(0, |d| d.seconds);
    let mut body = Map::new();
    let mut say = |name: &str, value: Value| body.insert(name.to_owned(), value);
    say("access_token", answer.access_token.into());
    say("token_type", answer.token_type.into());
    say("expires_in", seconds(answer.expires_in).into());
    if storing != Storing::Unsafe {
        say("refresh_token", answer.refresh_token.into());
        say("refresh_expires_in", seconds(answer.refresh_expires_in).into());
    }
    if let Some(scope) = scope {
        say("scope", scope.into());
    }
    json!(body)
}

/// Returns the answer for a refused refresh token: `invalid_grant` (section 5.2).
fn refused(error: &Status) -> Response {
    if fault::to_http(error).reason.is_some() {
        return form::refusal(StatusCode::BAD_REQUEST, "invalid_grant", error.message());
    }
    form::failed(error)
}
