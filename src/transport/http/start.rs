//! The start page: the life of a session to try out in a browser, for a developer's first minute.
//!
//! `GET /` is public and gets no cookie, because the cookie's path is `/api/auth`. The steps are on a
//! page below that path. They exist only in development, on loopback and without a callers file: they
//! log in any user, as the gRPC port then does, too. They answer only a [`LocalRequest`]. Elsewhere,
//! `GET /` says in one line what the service is, and the other routes are not found.

use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;
use tonic::Status;

use super::auth::{self, Adapter, NO_STORE};
use super::cookie::{CookieSettings, SameSite};
use super::form::Form;
use super::local::{LocalRequest, NotLocal};
use super::pages::{self, Frame, IntroPage, LifePage, PagesSettings, Said};
use crate::transport::callers::roles::{LIFE, SESSIONS};
use crate::transport::grpc;
use crate::transport::limits::BODY_BYTES;
use crate::transport::proto::v1::{
    ClientInfo, IssueTokensRequest, RefreshAccessTokenRequest, ValidateTokenRequest,
    ValidateTokenResponse,
};

/// The answer to `GET /` if there is no start page.
const ABOUT: &str = "token-authority: mints, renews, revokes and checks the tokens of a product.\n";

/// The name of the caller that the start page logs in as.
const CALLER: &str = "start-page";

/// How long the browser keeps the page's own cookies.
const KEPT: Duration = Duration::from_hours(1);

/// The settings of the start page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartSettings {
    /// The concurrency window, which the page explains.
    pub window: Duration,
}

/// The parts of the start page.
#[derive(Debug)]
pub(super) struct Start {
    adapter: Arc<Adapter>,
    intro: Frame,
    frame: Frame,
    settings: StartSettings,
    /// The last access token, which a product's page would keep in its memory.
    access: CookieSettings,
    /// The refresh token that the thief copied.
    copy: CookieSettings,
}

impl Start {
    pub(super) fn new(
        adapter: Arc<Adapter>,
        pages: PagesSettings,
        settings: StartSettings,
    ) -> Arc<Self> {
        let cookie = |name: &str| CookieSettings {
            name: name.to_owned(),
            secure: false,
            domain: None,
            same_site: SameSite::Strict,
            partitioned: false,
        };
        let (access, copy) = (cookie("startAccess"), cookie("startCopy"));
        let (intro, frame) = (Frame::new(pages.clone()), Frame::new(pages.or_start_page()));
        Arc::new(Self { adapter, intro, frame, settings, access, copy })
    }

    /// Returns the refresh token of the browser.
    fn refresh_token(&self, headers: &HeaderMap) -> Option<String> {
        self.adapter.settings.cookie.read(headers).values.into_iter().next()
    }

    fn failed(&self, error: &Status) -> Response {
        let status = crate::transport::fault::to_http(error).status;
        let link = (LIFE.path(), pages::TO_LIFE);
        self.frame.message(status, pages::TRY_AGAIN, link)
    }

    async fn validate(&self, token: &str) -> Result<ValidateTokenResponse, Status> {
        let ask = ValidateTokenRequest { token: token.to_owned(), ..Default::default() };
        Ok(self.adapter.client.clone().validate_token(ask).await?.into_inner())
    }
}

/// Sets one of the page's own cookies.
fn keep(response: Response, cookie: &CookieSettings, value: &str) -> Response {
    auth::with_cookie(response, cookie.set(value, Some(KEPT)))
}

/// Says what the service is, where there is no start page.
pub(super) async fn about() -> Response {
    about_in_one_line()
}

fn about_in_one_line() -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    (StatusCode::OK, [kind, NO_STORE], ABOUT).into_response()
}

/// Shows the start page. A link from anywhere may lead to it.
pub(super) async fn intro(
    State(start): State<Arc<Start>>,
    request: Result<LocalRequest, NotLocal>,
) -> Response {
    match request {
        Ok(_) | Err(NotLocal::FollowedLink) => {
            let page = IntroPage { frame: &start.intro, life: LIFE.path() };
            start.intro.answer(StatusCode::OK, &page)
        }
        Err(NotLocal::Elsewhere | NotLocal::Foreign) => about_in_one_line(),
    }
}

/// Shows the tokens of the browser.
pub(super) async fn life(
    State(start): State<Arc<Start>>,
    LocalRequest(headers): LocalRequest,
    RawQuery(query): RawQuery,
) -> Response {
    let said = query.as_deref().and_then(|query| query.strip_prefix(SAID)).and_then(Said::read);
    match start.seen(&headers, said).await {
        Ok(page) => start.frame.answer(StatusCode::OK, &page),
        Err(error) => start.failed(&error),
    }
}

/// Takes one step, and leads back to the page.
pub(super) async fn step(
    State(start): State<Arc<Start>>,
    LocalRequest(headers): LocalRequest,
    body: Bytes,
) -> Response {
    let Some(form) = Form::read(&headers, &body) else {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    };
    let done = match form.one("step") {
        Some("login") => start.log_in(form.one("user").unwrap_or_default(), &headers).await,
        Some("refresh") => start.refresh(headers).await,
        Some("copy") => Ok(start.copy(&headers)),
        Some("thief") => start.steal(&headers).await,
        _ => return StatusCode::BAD_REQUEST.into_response(),
    };
    done.unwrap_or_else(|error| start.failed(&error))
}

/// The query's parameter with the outcome of the last step.
const SAID: &str = "said=";

fn lead_back(said: Said) -> Response {
    let location = format!("{}?{SAID}{}", LIFE.path(), said.code());
    let location =
        HeaderValue::from_str(&location).unwrap_or(HeaderValue::from_static(LIFE.path()));
    (StatusCode::SEE_OTHER, [NO_STORE, (header::LOCATION, location)]).into_response()
}

impl Start {
    /// Collects what the page shows. The access token is validated, as a backend does.
    async fn seen(&self, headers: &HeaderMap, said: Option<Said>) -> Result<LifePage<'_>, Status> {
        let access = self.access.read(headers).values.into_iter().next();
        let access = match access {
            Some(token) => {
                let seen = self.validate(&token).await?;
                Some(pages::access_token(token, &seen))
            }
            None => None,
        };
        let parsed = auth::parse(self.refresh_token(headers).into_iter().collect());
        let examined = self.adapter.examine(&parsed).await?;
        let refresh = parsed.iter().zip(&examined);
        let refresh = refresh.map(|((_, token), seen)| pages::refresh_token(token, seen)).next();
        let copied = auth::parse(self.copy.read(headers).values);
        let copied = copied.first();
        let copied = copied.map(|(_, token)| pages::use_of_copy(token, self.settings.window));
        Ok(LifePage {
            frame: &self.frame,
            life: LIFE.path(),
            sessions: SESSIONS.path(),
            said: said.map(|said| said.text(self.settings.window, refresh.is_some())),
            access,
            refresh,
            copied,
        })
    }

    /// Logs in a user who does not exist, as the auth-server does.
    async fn log_in(&self, user: &str, headers: &HeaderMap) -> Result<Response, Status> {
        let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        let client = ClientInfo {
            user_agent: user_agent.unwrap_or_default().to_owned(),
            ip_address: std::net::Ipv4Addr::LOCALHOST.to_string(),
            device_name: String::new(),
        };
        let ask = IssueTokensRequest {
            user_id: user.to_owned(),
            scopes: vec!["read".to_owned()],
            client: Some(client),
            ..Default::default()
        };
        let Ok(issue) = grpc::issue(ask, CALLER.to_owned()) else {
            return Ok(lead_back(Said::NoUser));
        };
        let tokens = self.adapter.authority.issue(issue).await?;
        let cookie = &self.adapter.settings.cookie;
        let set = cookie.set(&tokens.refresh_token, Some(tokens.refresh_expires_in));
        let response = auth::with_cookie(lead_back(Said::LoggedIn), set);
        let response = auth::with_cookie(response, self.copy.clear());
        Ok(keep(response, &self.access, &tokens.access_token))
    }

    /// Refreshes through the route that a product's page calls.
    async fn refresh(&self, headers: HeaderMap) -> Result<Response, Status> {
        let answer = auth::refresh(State(Arc::clone(&self.adapter)), headers).await;
        let (parts, body) = answer.into_parts();
        let body = to_bytes(body, BODY_BYTES).await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let cookies: Vec<_> = parts.headers.get_all(header::SET_COOKIE).iter().cloned().collect();
        let said = match parts.status {
            StatusCode::OK if cookies.is_empty() => Said::Unchanged,
            StatusCode::OK => Said::Refreshed,
            StatusCode::UNAUTHORIZED => {
                Said::of_refusal(body["reason"].as_str().unwrap_or_default())
            }
            _ => return Err(Status::unavailable("the refresh failed; try again")),
        };
        let mut response = lead_back(said);
        for cookie in cookies {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        Ok(match body["accessToken"].as_str() {
            Some(token) => keep(response, &self.access, token),
            None => response,
        })
    }

    /// Copies the cookie, as somebody could who has the user's device for a moment.
    fn copy(&self, headers: &HeaderMap) -> Response {
        match self.refresh_token(headers) {
            Some(token) => keep(lead_back(Said::Copied), &self.copy, &token),
            None => lead_back(Said::of_refusal("invalid")),
        }
    }

    /// Refreshes with the copy, outside of the browser, and uses the access token.
    async fn steal(&self, headers: &HeaderMap) -> Result<Response, Status> {
        let Some(copy) = self.copy.read(headers).values.into_iter().next() else {
            return Ok(lead_back(Said::ThiefLate));
        };
        let ask = RefreshAccessTokenRequest { refresh_token: copy, ..Default::default() };
        match self.adapter.client.clone().refresh_access_token(ask).await {
            Ok(answer) => {
                self.validate(&answer.into_inner().access_token).await?;
                Ok(lead_back(Said::ThiefServed))
            }
            Err(error) => match crate::transport::fault::to_http(&error).reason {
                Some(reason) => Ok(lead_back(Said::of_theft(reason))),
                None => Err(error),
            },
        }
    }
}
