//! `POST /api/auth/refresh` and `POST /api/auth/logout`: translate the browser's cookie to a call
//! of the gRPC service, and its answer to HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;
use tonic::Status;

use super::bound_cookie;
use super::choice::{self, Choice, Others};
use super::cookie::{CookieSettings, Cookies};
use super::origin::{self, Refused};
use super::{BrowserSettings, SESSION_ID};
use crate::authority::{Authority, Examined, RefreshRefusal, Storing};
use crate::token::id::SessionId;
use crate::token::refresh::RefreshToken;
use crate::transport::fault;
use crate::transport::grpc::{SHADOW, TokensInProcess};
use crate::transport::limits::rate::{Limiter, Rate};
use crate::transport::observe::RequestEvents;
use crate::transport::proto::v1::{
    RefreshAccessTokenRequest, RefreshAccessTokenResponse, RevokeRefreshTokenRequest,
};

pub(super) const NO_STORE: (HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// The parts that the browser's routes share.
#[derive(Debug)]
pub(super) struct Adapter {
    pub(super) client: TokensInProcess,
    pub(super) authority: Arc<Authority>,
    pub(super) settings: BrowserSettings,
    events: Arc<dyn RequestEvents>,
    /// Limits the log lines about refused pages, because any client can cause them.
    log_limit: Option<Limiter>,
}

impl Adapter {
    pub(super) fn new(
        client: TokensInProcess,
        authority: Arc<Authority>,
        settings: BrowserSettings,
        events: Arc<dyn RequestEvents>,
    ) -> Arc<Self> {
        let log_limit = Rate::new(1, 10).map(Limiter::new);
        Arc::new(Self { client, authority, settings, events, log_limit })
    }
}

/// A refresh token from a request's cookies.
pub(super) struct Presented {
    pub(super) token: String,
    others: Others,
}

/// Renews the access token of the session whose refresh token is in the cookie.
pub(super) async fn refresh(State(adapter): State<Arc<Adapter>>, headers: HeaderMap) -> Response {
    if let Err(refused) = origin::check(&adapter.settings.origins, &headers) {
        return adapter.foreign(&refused);
    }
    let cookies = adapter.settings.cookie.read(&headers);
    if cookies.count == 0 {
        adapter.events.cookie_missing();
    }
    let presented = match adapter.pick(cookies, &headers).await {
        Ok(Some(presented)) => presented,
        Ok(None) => {
            let reason = Some(RefreshRefusal::Invalid);
            return refusal(StatusCode::UNAUTHORIZED, "there is no refresh token cookie", reason);
        }
        Err(error) => return failed(&error, None),
    };
    let bound_cookie = adapter.settings.bound_cookie.as_ref();
    let device_binding = bound_cookie::read(bound_cookie, &headers, &presented.token);
    let ask = RefreshAccessTokenRequest { refresh_token: presented.token, device_binding };
    match adapter.client.clone().refresh_access_token(ask).await {
        Ok(answer) => {
            let storing = answer.extensions().get::<Storing>().copied().unwrap_or(Storing::Due);
            let shadow = answer.metadata().as_ref().get(SHADOW).cloned();
            let jar = Jar { settings: &adapter.settings.cookie, headers: &headers };
            let answer = answer.into_inner();
            let response = jar.renewed(&answer, storing, presented.others);
            let mut response = with_shadow(shadow, response);
            bound_cookie::offer(response.headers_mut(), &answer.device_registration);
            response
        }
        Err(error) if is_renewal_owed(&error, &headers) => {
            // The browser could not renew its binding, perhaps because this service was down. It keeps
            // its key, so the user is still logged in.
            unavailable("the binding to the device could not be renewed; try again")
        }
        Err(error) => {
            let jar = Jar { settings: &adapter.settings.cookie, headers: &headers };
            failed(&error, Some((jar, presented.others)))
        }
    }
}

/// Returns whether a refresh was refused only because the browser could not renew its binding.
fn is_renewal_owed(error: &Status, headers: &HeaderMap) -> bool {
    let is_unbound = || fault::to_http(error).reason == Some(RefreshRefusal::Unbound);
    bound_cookie::is_renewal_skipped(headers) && is_unbound()
}

fn unavailable(error: &str) -> Response {
    let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, error, None);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(1));
    response
}

/// Ends the session whose refresh token is in the cookie. If there are several cookies of the name,
/// it ends the sessions of all that are examined. Otherwise a later request could still use one of
/// them.
pub(super) async fn logout(State(adapter): State<Arc<Adapter>>, headers: HeaderMap) -> Response {
    if let Err(refused) = origin::check(&adapter.settings.origins, &headers) {
        return adapter.foreign(&refused);
    }
    let settings = &adapter.settings.cookie;
    let cookies = settings.read(&headers);
    if cookies.count > 0 && cookies.count == cookies.unreadable {
        // The session of this cookie may still be live, so this is not a success.
        let error = "the refresh token cookie contains bytes that no token contains";
        return with_cookie(refusal(StatusCode::BAD_REQUEST, error, None), settings.clear());
    }
    let (count, mut tokens) = (cookies.values.len() + cookies.unreadable, parse(cookies.values));
    let all_tokens = tokens.len() == count;
    let cut = choice::shortlist(&mut tokens, wanted(&headers));
    let all_known = match adapter.examine(&tokens).await {
        Ok(examined) => all_tokens && !cut && examined.iter().all(|one| one.login.is_some()),
        Err(error) => return failed(&error, None),
    };
    for (refresh_token, _) in tokens {
        let ask = RevokeRefreshTokenRequest { refresh_token };
        if let Err(error) = adapter.client.clone().revoke_refresh_token(ask).await {
            // The cookie stays, so that trying again can still end the session.
            return failed(&error, None);
        }
    }
    let answer = (StatusCode::NO_CONTENT, [NO_STORE]).into_response();
    let bound_cookie = adapter.settings.bound_cookie.as_ref();
    let answer = with_cookie(answer, bound_cookie::clear(bound_cookie, &headers));
    let jar = Jar { settings, headers: &headers };
    if all_known { jar.clear_everywhere(answer) } else { with_cookie(answer, settings.clear()) }
}

impl Adapter {
    /// Chooses the token to present from a request's cookies. `None`: there is no readable cookie.
    pub(super) async fn pick(
        &self,
        cookies: Cookies,
        headers: &HeaderMap,
    ) -> Result<Option<Presented>, Status> {
        let Cookies { mut values, count, unreadable } = cookies;
        if let [_] = values.as_slice() {
            // The usual case. The service decides whether the text is a token.
            let others = match (count, unreadable) {
                (1, _) => Others::None,
                (_, 0) => Others::Over,
                _ => Others::Foreign,
            };
            return Ok(values.pop().map(|token| Presented { token, others }));
        }
        let Some(first) = values.first().cloned() else { return Ok(None) };
        let distinct = values.len() + unreadable;
        let mut tokens = parse(values);
        let foreign = tokens.len() < distinct;
        if tokens.is_empty() {
            return Ok(Some(Presented { token: first, others: Others::Foreign }));
        }
        let wanted = wanted(headers);
        let cut = choice::shortlist(&mut tokens, wanted);
        let examined = self.examine(&tokens).await?;
        let choice = self.choose(&examined, wanted);
        let others = match choice.others {
            Others::None | Others::Over if foreign || cut => Others::Foreign,
            others => others,
        };
        let token = tokens.swap_remove(choice.chosen).0;
        Ok(Some(Presented { token, others }))
    }

    /// Chooses one of several tokens, and reports tokens of different users.
    pub(super) fn choose(&self, examined: &[Examined], wanted: Option<SessionId>) -> Choice {
        let choice = choice::choose(examined, wanted);
        if choice.mixes_users {
            self.events.users_mixed();
            let chosen = examined[choice.chosen].session_id().map(|id| id.to_string());
            tracing::warn!(
                session_id = chosen,
                "a browser sent refresh cookies of different users: another host of the domain may \
                 have set one; a cookie name that begins with __Host- prevents that"
            );
        }
        choice
    }

    pub(super) async fn examine(
        &self,
        tokens: &[(String, RefreshToken)],
    ) -> Result<Vec<Examined>, Status> {
        let tokens: Vec<_> = tokens.iter().map(|(_, token)| token.clone()).collect();
        Ok(self.authority.examine(&tokens).await?)
    }

    /// Refuses a page of an origin that may not use the cookie. The answer, the log and a metric
    /// all name the remedy, because operators look in different places.
    pub(super) fn foreign(&self, refused: &Refused) -> Response {
        let Refused { origin, host } = refused;
        self.events.origin_refused(origin, host);
        if self.log_limit.as_ref().is_none_or(|limit| limit.check().is_ok()) {
            tracing::warn!(origin, host, setting = "ALLOWED_ORIGINS", "a page was refused");
        }
        let body = json!({
            "error": refused.explain(),
            "origin": origin,
            "host": host,
            "setting": "ALLOWED_ORIGINS",
        });
        (StatusCode::FORBIDDEN, [NO_STORE], Json(body)).into_response()
    }
}

/// The cookie jar that an answer goes to.
#[derive(Clone, Copy)]
pub(super) struct Jar<'a> {
    settings: &'a CookieSettings,
    headers: &'a HeaderMap,
}

impl Jar<'_> {
    fn renewed(
        self,
        answer: &RefreshAccessTokenResponse,
        storing: Storing,
        others: Others,
    ) -> Response {
        let body = json!({
            "accessToken": answer.access_token,
            "expiresIn": seconds(answer.expires_in),
            "userId": answer.user_id,
        });
        let response = ([NO_STORE], Json(body)).into_response();
        let is_stored = match storing {
            Storing::Due => true,
            // The cookie is stored again at its own place, so all other places can be cleared.
            Storing::Safe => others == Others::Over,
            Storing::Unsafe => false,
        };
        if !is_stored {
            return response;
        }
        let lifetime = Duration::from_secs(seconds(answer.refresh_expires_in));
        let lifetime = answer.persistent.unwrap_or(true).then_some(lifetime);
        let response = with_cookie(response, self.settings.set(&answer.refresh_token, lifetime));
        if others == Others::Over { self.clear_elsewhere(response) } else { response }
    }

    /// Clears the cookies of a session that has certainly ended.
    fn clear_over(self, response: Response, others: Others) -> Response {
        match others {
            Others::None | Others::Over => self.clear_everywhere(response),
            Others::Foreign => with_cookie(response, self.settings.clear()),
            // The cookie at the adapter's own place may belong to the live session.
            Others::Alive => response,
        }
    }

    /// Clears the own place last: curl, which reads its jar again before it writes it, forgets an
    /// expired cookie as soon as another one follows, and would keep the token.
    fn clear_everywhere(self, response: Response) -> Response {
        with_cookie(self.clear_elsewhere(response), self.settings.clear())
    }

    fn clear_elsewhere(self, response: Response) -> Response {
        let host = origin::host_of(self.headers);
        let cookies = self.settings.clear_elsewhere(host.as_deref());
        cookies.into_iter().fold(response, |response, cookie| with_cookie(response, Some(cookie)))
    }
}

/// Returns the session that the page names as its own.
pub(super) fn wanted(headers: &HeaderMap) -> Option<SessionId> {
    headers.get(SESSION_ID)?.to_str().ok()?.parse().ok()
}

/// Returns the values that have the form of a refresh token.
pub(super) fn parse(values: Vec<String>) -> Vec<(String, RefreshToken)> {
    let parsed = values.into_iter().map(|text| (RefreshToken::parse(&text), text));
    parsed.filter_map(|(token, text)| Some((text, token?))).collect()
}

fn seconds(duration: Option<prost_types::Duration>) -> u64 {
    duration.and_then(|duration| u64::try_from(duration.seconds).ok()).unwrap_or(0)
}

/// In shadow mode, adds the second token, which the page sends together with its access token.
fn with_shadow(shadow: Option<HeaderValue>, mut response: Response) -> Response {
    if let Some(shadow) = shadow {
        response.headers_mut().insert(HeaderName::from_static(SHADOW), shadow);
    }
    response
}

pub(super) fn failed(error: &Status, jar: Option<(Jar<'_>, Others)>) -> Response {
    let mut fault = fault::to_http(error);
    if fault.reason.is_none()
        && !fault::is_refused_proof(error)
        && matches!(fault.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
    {
        // The adapter may not call the service. The user's session is not the cause.
        fault.status = StatusCode::SERVICE_UNAVAILABLE;
        fault.retry_after = Some(1);
    }
    let mut response = refusal(fault.status, error.message(), fault.reason);
    if let Some(seconds) = fault.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    match (fault.reason, jar) {
        (
            Some(RefreshRefusal::Expired | RefreshRefusal::Revoked | RefreshRefusal::Reused),
            Some((jar, others)),
        ) => jar.clear_over(response, others),
        // An unknown token says nothing about a session: the session may be live and have a newer
        // token.
        _ => response,
    }
}

pub(super) fn refusal(status: StatusCode, error: &str, reason: Option<RefreshRefusal>) -> Response {
    let mut body = json!({ "error": error });
    if let Some(reason) = reason {
        body["reason"] = reason.as_str().into();
    }
    (status, [NO_STORE], Json(body)).into_response()
}

pub(super) fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
