//! `POST /oauth2/introspect` (RFC 7662) and `POST /oauth2/revoke` (RFC 7009), for access tokens
//! and refresh tokens alike. `token_type_hint` is accepted and not needed: a refresh token says
//! by its prefix what it is.
//!
//! Where there is an RPC these routes are its client, as the browser's adapter is. Two things
//! have none, because the gRPC contract does not offer them: what a refresh token is worth
//! without using it, and ending a session by its access token. For these there is
//! [`TokenOffice`], which the authority is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body::Body;
use serde_json::{Map, Value, json};
use tonic::body::Body as GrpcBody;
use tonic::client::GrpcService;
use tonic::{Code, Status};

use crate::authority::Authority;
use crate::token::refresh;
use crate::token::session::Session;
use crate::transport::fault;
use crate::transport::grpc::claims;
use crate::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use crate::transport::proto::v1::{
    RevokeRefreshTokenRequest, ValidateTokenRequest, ValidateTokenResponse,
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

const NO_STORE: [(HeaderName, HeaderValue); 2] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::PRAGMA, HeaderValue::from_static("no-cache")),
];

/// What these routes need beyond the RPCs.
#[tonic::async_trait]
pub(super) trait TokenOffice: Send + Sync + 'static {
    /// The session of a refresh token that is good. Changes nothing.
    async fn introspect_refresh_token(&self, token: &str) -> Result<Option<Session>, Status>;

    /// Ends the session of an access token, if the token is good.
    async fn revoke_access_token(&self, token: &str) -> Result<(), Status>;
}

#[tonic::async_trait]
impl TokenOffice for Authority {
    async fn introspect_refresh_token(&self, token: &str) -> Result<Option<Session>, Status> {
        Ok(self.introspect_refresh_token(token).await?)
    }

    async fn revoke_access_token(&self, token: &str) -> Result<(), Status> {
        Ok(self.revoke_access_token(token).await?)
    }
}

/// What both routes share.
pub(super) struct Endpoints<C> {
    client: TokenAuthorityServiceClient<C>,
    office: Arc<dyn TokenOffice>,
}

impl<C> Endpoints<C> {
    /// `client` is where the gRPC service is reached.
    pub(super) fn new(
        client: TokenAuthorityServiceClient<C>,
        office: Arc<dyn TokenOffice>,
    ) -> Arc<Self> {
        Arc::new(Self { client, office })
    }
}

/// `POST /oauth2/introspect`.
pub(super) async fn introspect<C>(
    State(endpoints): State<Arc<Endpoints<C>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response
where
    C: GrpcService<GrpcBody> + Clone,
    C::Error: Into<BoxError>,
    C::ResponseBody: Body<Data = Bytes> + Send + 'static,
    <C::ResponseBody as Body>::Error: Into<BoxError> + Send,
{
    let Some(token) = token(&headers, &body) else { return invalid_request() };
    let answer =
        if is_refresh_token(&token) {
            endpoints.office.introspect_refresh_token(&token).await.map(|session| {
                session.map_or_else(inactive, |session| refresh_token_answer(&session))
            })
        } else {
            let ask = ValidateTokenRequest { token, audience: String::new() };
            let answer = endpoints.client.clone().validate_token(ask).await;
            answer.map(|answer| access_token_answer(answer.into_inner()))
        };
    match answer {
        Ok(answer) => (NO_STORE, Json(answer)).into_response(),
        Err(error) => failed(&error),
    }
}

/// `POST /oauth2/revoke`.
pub(super) async fn revoke<C>(
    State(endpoints): State<Arc<Endpoints<C>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response
where
    C: GrpcService<GrpcBody> + Clone,
    C::Error: Into<BoxError>,
    C::ResponseBody: Body<Data = Bytes> + Send + 'static,
    <C::ResponseBody as Body>::Error: Into<BoxError> + Send,
{
    let Some(token) = token(&headers, &body) else { return invalid_request() };
    let done = if is_refresh_token(&token) {
        let ask = RevokeRefreshTokenRequest { refresh_token: token };
        endpoints.client.clone().revoke_refresh_token(ask).await.map(drop)
    } else {
        endpoints.office.revoke_access_token(&token).await
    };
    match done {
        // RFC 7009 section 2.2: a token that is none of ours is over as well.
        Ok(()) => (StatusCode::OK, NO_STORE).into_response(),
        // RFC 7009 section 2.2.1: it is good, and not ours to end.
        Err(error) if error.code() == Code::InvalidArgument => {
            bad_request("unsupported_token_type", error.message())
        }
        Err(error) => failed(&error),
    }
}

fn is_refresh_token(token: &str) -> bool {
    token.starts_with(refresh::PREFIX)
}

/// The form's one `token`.
fn token(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return None;
    }
    let mut tokens =
        form_urlencoded::parse(body).filter(|(name, _)| name == "token").map(|(_, value)| value);
    let token = tokens.next().filter(|token| !token.is_empty())?;
    // RFC 6749 section 3.2: no parameter more than once.
    tokens.next().is_none().then(|| token.into_owned())
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
    // What we say of a token is not to be overwritten by what it carries.
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
    let body = json!({ "error": error, "error_description": description });
    (StatusCode::BAD_REQUEST, NO_STORE, Json(body)).into_response()
}

fn failed(error: &Status) -> Response {
    let fault = fault::to_http(error);
    let name = match fault.status {
        StatusCode::SERVICE_UNAVAILABLE => "temporarily_unavailable",
        StatusCode::UNAUTHORIZED => "invalid_client",
        StatusCode::FORBIDDEN => "access_denied",
        StatusCode::BAD_REQUEST => "invalid_request",
        _ => "server_error",
    };
    let body = json!({ "error": name, "error_description": error.message() });
    let mut response = (fault.status, NO_STORE, Json(body)).into_response();
    if let Some(seconds) = fault.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
