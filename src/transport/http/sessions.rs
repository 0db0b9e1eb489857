//! `GET /api/auth/sessions` and the two routes that end sessions: a user's own sessions, as a page or
//! as JSON.
//!
//! The routes ask the authority, not `SessionService`: its RPCs end any session by its id, and these
//! routes may end only sessions of the user whose credential is shown ([`super::viewer`]).
//!
//! 1. A page of another origin is refused, as for the other routes of browsers. A `GET` has no
//!    effect, so a link from anywhere may lead to it.
//! 2. The user is known by the access token or the cookie.
//! 3. A session of another user counts as unknown (404).
//! 4. A form is answered with a redirect back to the page (303), and JSON with 204.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::accept::{self, Representation};
use super::auth::{self, Adapter, NO_STORE};
use super::form::Form;
use super::origin::{self, Refused};
use super::pages::{self, Frame, Message, PagesSettings, SessionsPage};
use super::viewer::{NoViewer, Viewer};
use crate::authority::{AuthorityError, OwnSessions};
use crate::token::id::SessionId;
use crate::token::session::Session;
use crate::transport::callers::BROWSER_ADAPTER;
use crate::transport::callers::roles::SESSIONS;

/// The parts that the routes of a user's sessions share.
#[derive(Debug)]
pub(super) struct UserSessions {
    adapter: Arc<Adapter>,
    frame: Frame,
}

impl UserSessions {
    pub(super) fn new(adapter: Arc<Adapter>, settings: PagesSettings) -> Arc<Self> {
        Arc::new(Self { adapter, frame: Frame::new(settings) })
    }
}

/// Lists the user's live sessions.
pub(super) async fn list(State(own): State<Arc<UserSessions>>, headers: HeaderMap) -> Response {
    let form = accept::wanted(&headers);
    let listed = own.listed(&headers).await;
    match (listed, form) {
        (Ok((viewer, sessions)), Representation::Page) => {
            let page = SessionsPage::new(&own.frame, &sessions, viewer.session_id);
            own.frame.answer(StatusCode::OK, &page)
        }
        (Ok((viewer, sessions)), Representation::Json) => {
            let body = Json(as_json(&sessions, viewer.session_id));
            ([NO_STORE, VARY], body).into_response()
        }
        (Err(problem), form) => own.refuse(problem, form),
    }
}

/// Ends one session of the user.
pub(super) async fn revoke(
    State(own): State<Arc<UserSessions>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let revoked = own.revoked(&id, &headers).await;
    own.answer(revoked, accept::wanted_after_post(&headers))
}

/// Ends all sessions of the user except the one that asks.
pub(super) async fn revoke_others(
    State(own): State<Arc<UserSessions>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Form::read(&headers, &body);
    let page = form.as_ref().and_then(|form| form.one(CURRENT)).map(str::to_owned);
    let revoked = own.others_revoked(page.as_deref(), &headers).await;
    own.answer(revoked, accept::wanted_after_post(&headers))
}

/// The field of the page's form with the session that looked at the page.
const CURRENT: &str = "session";

const VARY: (http::HeaderName, HeaderValue) = (header::VARY, HeaderValue::from_static("accept"));

/// Why a request is refused.
#[derive(Debug)]
enum Problem {
    Foreign(Refused),
    NoViewer(NoViewer),
    UnknownSession,
    /// The page was opened by another session than the one that sends its form.
    OtherUser,
    Failed(AuthorityError),
}

impl From<NoViewer> for Problem {
    fn from(none: NoViewer) -> Self {
        Self::NoViewer(none)
    }
}

impl From<AuthorityError> for Problem {
    fn from(error: AuthorityError) -> Self {
        Self::Failed(error)
    }
}

/// The effect of a `POST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Revoked {
    /// Whether the session of the request's own cookie has ended.
    own_cookie: bool,
}

impl UserSessions {
    async fn listed(&self, headers: &HeaderMap) -> Result<(Viewer, OwnSessions), Problem> {
        // A page that follows a link sends no `Origin`.
        if headers.contains_key(header::ORIGIN) {
            self.check_origin(headers)?;
        }
        let viewer = self.adapter.viewer(headers, auth::wanted(headers)).await?;
        let sessions = self.adapter.authority.own_sessions(&viewer.user_id).await?;
        Ok((viewer, sessions))
    }

    async fn revoked(&self, id: &str, headers: &HeaderMap) -> Result<Revoked, Problem> {
        self.check_origin(headers)?;
        let viewer = self.adapter.viewer(headers, auth::wanted(headers)).await?;
        let id: SessionId = id.parse().map_err(|_| Problem::UnknownSession)?;
        if !self.adapter.authority.revoke_own_session(&viewer.user_id, id, BROWSER_ADAPTER).await? {
            return Err(Problem::UnknownSession);
        }
        Ok(Revoked { own_cookie: viewer.by_cookie && viewer.session_id == Some(id) })
    }

    /// Ends the other sessions. `page` is the session that the form was made for. In another tab,
    /// somebody else may have signed in since, whose sessions must not end.
    async fn others_revoked(
        &self,
        page: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Revoked, Problem> {
        self.check_origin(headers)?;
        let page = page.map(|id| id.parse().map_err(|_| Problem::OtherUser)).transpose()?;
        let viewer = self.adapter.viewer(headers, page.or(auth::wanted(headers))).await?;
        if page.is_some() && page != viewer.session_id {
            return Err(Problem::OtherUser);
        }
        let Viewer { user_id, session_id, .. } = viewer;
        let authority = &self.adapter.authority;
        authority.revoke_user_sessions(user_id, session_id, BROWSER_ADAPTER).await?;
        Ok(Revoked { own_cookie: false })
    }

    fn check_origin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        origin::check(&self.adapter.settings.origins, headers).map_err(Problem::Foreign)
    }

    fn answer(&self, revoked: Result<Revoked, Problem>, form: Representation) -> Response {
        let revoked = match revoked {
            Ok(revoked) => revoked,
            Err(problem) => return self.refuse(problem, form),
        };
        let response = match form {
            Representation::Json => (StatusCode::NO_CONTENT, [NO_STORE]).into_response(),
            Representation::Page => {
                let back = (header::LOCATION, HeaderValue::from_static(SESSIONS.path()));
                (StatusCode::SEE_OTHER, [NO_STORE, back]).into_response()
            }
        };
        let cookie = self.adapter.settings.cookie.clear().filter(|_| revoked.own_cookie);
        auth::with_cookie(response, cookie)
    }

    fn refuse(&self, problem: Problem, form: Representation) -> Response {
        let (response, message) = match problem {
            Problem::Foreign(refused) => (self.adapter.foreign(&refused), pages::FOREIGN),
            Problem::NoViewer(none) => no_viewer(&none),
            Problem::UnknownSession => {
                let error = "the user has no such session";
                (auth::refusal(StatusCode::NOT_FOUND, error, None), pages::UNKNOWN_SESSION)
            }
            Problem::OtherUser => {
                let error = "the page was opened with another session";
                (auth::refusal(StatusCode::CONFLICT, error, None), pages::OTHER_USER)
            }
            Problem::Failed(error) => (auth::failed(&error.into(), None), pages::TRY_AGAIN),
        };
        match form {
            Representation::Json => response,
            Representation::Page => self.as_page(&response, message),
        }
    }

    /// Shows a refusal as a page, with the status and the headers of the refusal.
    fn as_page(&self, refusal: &Response, message: Message) -> Response {
        let link = (SESSIONS.path(), pages::TO_SESSIONS);
        let mut page = self.frame.message(refusal.status(), message, link);
        for name in [header::RETRY_AFTER, header::WWW_AUTHENTICATE] {
            if let Some(value) = refusal.headers().get(&name) {
                page.headers_mut().insert(name, value.clone());
            }
        }
        page
    }
}

fn no_viewer(none: &NoViewer) -> (Response, Message) {
    let (mut response, challenge) = match none {
        NoViewer::Failed(error) => return (auth::failed(error, None), pages::TRY_AGAIN),
        NoViewer::Cookie(refusal) => {
            let error = "there is no live session";
            (auth::refusal(StatusCode::UNAUTHORIZED, error, Some(*refusal)), "Bearer")
        }
        NoViewer::Token(reason) => {
            let body = json!({ "error": "the access token is not active", "reason": reason });
            let response = (StatusCode::UNAUTHORIZED, [NO_STORE], Json(body)).into_response();
            (response, "Bearer error=\"invalid_token\"")
        }
    };
    let challenge = HeaderValue::from_static(challenge);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    (response, pages::SIGNED_OUT)
}

fn as_json(own: &OwnSessions, current: Option<SessionId>) -> Value {
    let session = |session: &Session| {
        json!({
            "id": session.id.to_string(),
            "current": current == Some(session.id),
            "createdAt": session.created_at.rfc3339(),
            "lastUsedAt": session.last_used_at.rfc3339(),
            "expiresAt": session.expires_at.rfc3339(),
            "userAgent": session.client.user_agent(),
            "ipAddress": session.client.ip_address(),
            "deviceName": session.client.device_name(),
            "deviceBound": session.is_device_bound(),
        })
    };
    json!({ "sessions": own.sessions.iter().map(session).collect::<Vec<_>>() })
}
