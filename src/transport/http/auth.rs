//! `POST /api/auth/refresh` and `POST /api/auth/logout`: cookie ↔ field.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body::Body;
use serde_json::json;
use tonic::Status;
use tonic::body::Body as GrpcBody;
use tonic::client::GrpcService;

use super::Adapter;
use crate::authority::RefreshRefusal;
use crate::transport::fault;
use crate::transport::grpc::SHADOW;
use crate::transport::proto::v1::{
    RefreshAccessTokenRequest, RefreshAccessTokenResponse, RevokeRefreshTokenRequest,
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

const NO_STORE: (HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// Renews the access token of the session whose refresh token is in the cookie.
pub(super) async fn refresh<C>(
    State(adapter): State<Arc<Adapter<C>>>,
    headers: HeaderMap,
) -> Response
where
    C: GrpcService<GrpcBody> + Clone,
    C::Error: Into<BoxError>,
    C::ResponseBody: Body<Data = Bytes> + Send + 'static,
    <C::ResponseBody as Body>::Error: Into<BoxError> + Send,
{
    if !adapter.settings.origins.admits(&headers) {
        return foreign();
    }
    let Some(token) = adapter.settings.cookie.read(&headers) else {
        adapter.meter.cookie_missing();
        return refusal(StatusCode::UNAUTHORIZED, "no refresh token cookie", Some("invalid"));
    };
    let ask = RefreshAccessTokenRequest { refresh_token: token.clone() };
    match adapter.client.clone().refresh_access_token(ask).await {
        Ok(answer) => {
            let shadow = answer.metadata().as_ref().get(SHADOW).cloned();
            with_shadow(shadow, renewed(&adapter, &token, &answer.into_inner()))
        }
        Err(error) => failed(&adapter, &error),
    }
}

/// Ends the session whose refresh token is in the cookie; with several cookies of that name each
/// of theirs, so that none which a later request would send stays good.
pub(super) async fn logout<C>(
    State(adapter): State<Arc<Adapter<C>>>,
    headers: HeaderMap,
) -> Response
where
    C: GrpcService<GrpcBody> + Clone,
    C::Error: Into<BoxError>,
    C::ResponseBody: Body<Data = Bytes> + Send + 'static,
    <C::ResponseBody as Body>::Error: Into<BoxError> + Send,
{
    if !adapter.settings.origins.admits(&headers) {
        return foreign();
    }
    for refresh_token in adapter.settings.cookie.read_all(&headers) {
        let ask = RevokeRefreshTokenRequest { refresh_token };
        if let Err(error) = adapter.client.clone().revoke_refresh_token(ask).await {
            // The cookie stays, so that trying again can still end the session.
            return failed(&adapter, &error);
        }
    }
    let answer = (StatusCode::NO_CONTENT, [NO_STORE]).into_response();
    with_cookie(answer, adapter.settings.cookie.clear())
}

fn renewed<C>(
    adapter: &Adapter<C>,
    presented: &str,
    answer: &RefreshAccessTokenResponse,
) -> Response {
    let seconds = |duration: Option<prost_types::Duration>| {
        duration.and_then(|duration| u64::try_from(duration.seconds).ok()).unwrap_or(0)
    };
    let body = json!({
        "accessToken": answer.access_token,
        "expiresIn": seconds(answer.expires_in),
        "userId": answer.user_id,
    });
    let response = ([NO_STORE], Json(body)).into_response();
    if answer.refresh_token == presented {
        // Setting an unchanged cookie again could overwrite a newer one that another tab got.
        return response;
    }
    let lifetime = Duration::from_secs(seconds(answer.refresh_expires_in));
    with_cookie(response, adapter.settings.cookie.set(&answer.refresh_token, lifetime))
}

/// In shadow mode, the token that the page sends along with its access token.
fn with_shadow(shadow: Option<HeaderValue>, mut response: Response) -> Response {
    if let Some(shadow) = shadow {
        response.headers_mut().insert(HeaderName::from_static(SHADOW), shadow);
    }
    response
}

fn failed<C>(adapter: &Adapter<C>, error: &Status) -> Response {
    let mut fault = fault::to_http(error);
    if fault.reason.is_none()
        && matches!(fault.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
    {
        // That this adapter may not call the service is no fault of the user's session.
        fault.status = StatusCode::SERVICE_UNAVAILABLE;
        fault.retry_after = Some(1);
    }
    let mut response = refusal(fault.status, error.message(), fault.reason.map(reason_name));
    if let Some(seconds) = fault.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    match fault.reason {
        // The session is certainly over, so the cookie is of no more use.
        Some(RefreshRefusal::Expired | RefreshRefusal::Revoked | RefreshRefusal::Reused) => {
            with_cookie(response, adapter.settings.cookie.clear())
        }
        // Of an unknown token's session nothing is certain: it may be alive and its token newer.
        Some(RefreshRefusal::Invalid) | None => response,
    }
}

const fn reason_name(refusal: RefreshRefusal) -> &'static str {
    match refusal {
        RefreshRefusal::Invalid => "invalid",
        RefreshRefusal::Expired => "expired",
        RefreshRefusal::Revoked => "revoked",
        RefreshRefusal::Reused => "reused",
    }
}

fn foreign() -> Response {
    refusal(StatusCode::FORBIDDEN, "this origin may not use the cookie", None)
}

fn refusal(status: StatusCode, error: &str, reason: Option<&str>) -> Response {
    let mut body = json!({ "error": error });
    if let Some(reason) = reason {
        body["reason"] = reason.into();
    }
    (status, [NO_STORE], Json(body)).into_response()
}

fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
