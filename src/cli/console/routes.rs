//! The requests of the operator's browser.

use std::sync::Arc;

use axum::extract::{
    ConnectInfo, DefaultBodyLimit, FromRequestParts as _, RawQuery, Request, State,
};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::net::SocketAddr;

use super::admission::{Admission, OPEN};
use super::calls::Calls;
use super::forms::{RolloutForm, Said};
use super::history::{self, Wanted};
use super::pages::{
    self, Found, MessagePage, Question, RolloutPage, SectionsPage, SessionsPage, Tab, Top,
};
use super::texts::{self, Message};
use crate::cli::problem::Problem;
use crate::clock::{Clock as _, SystemClock};
use crate::transport::http::{Form, Frame, LocalRequest, PagesSettings};
use crate::transport::limits::BODY_BYTES;
use crate::transport::serve::peer::Peer;

/// The console's rules of style, after those of the pages for users.
const STYLE: &str = include_str!("../../../templates/console/style.css");

/// The parts of the console.
#[derive(Debug)]
pub(super) struct Console {
    calls: Calls,
    admission: Admission,
    frame: Frame,
}

impl Console {
    pub(super) fn new(calls: Calls, admission: Admission) -> Self {
        let name = Some(texts::NAME.to_owned());
        let settings = PagesSettings { name, ..PagesSettings::default() };
        Self { calls, admission, frame: Frame::with_style(settings, STYLE) }
    }

    /// Answers with a page that says only one thing.
    fn message(&self, status: StatusCode, (title, text): Message, tab: Option<Tab>) -> Response {
        let top = Top::new(title, &self.calls, tab);
        self.frame.answer(status, &MessagePage { frame: &self.frame, top, text: text.to_owned() })
    }

    /// Says that the authority did not do what the browser asked for.
    fn failed(&self, problem: &Problem, tab: Tab) -> Response {
        let status = match problem {
            Problem::Refused(_) => StatusCode::BAD_REQUEST,
            Problem::Unauthenticated | Problem::Forbidden => StatusCode::FORBIDDEN,
            Problem::Unreachable(_) | Problem::NoDatabase | Problem::TooOld => {
                StatusCode::BAD_GATEWAY
            }
        };
        let top = Top::new(texts::PROBLEM, &self.calls, Some(tab));
        let text = problem.to_string();
        self.frame.answer(status, &MessagePage { frame: &self.frame, top, text })
    }
}

/// Returns all routes, behind the guard.
pub(super) fn routes(console: Arc<Console>) -> Router {
    let at = |name: &str| format!("{}{name}", console.admission.folder());
    let guard = from_fn_with_state(Arc::clone(&console), guard);
    Router::new()
        .route(&at(OPEN), get(open))
        .route(&at(""), get(status))
        .route(&at("keys"), get(keys))
        .route(&at("sessions"), get(sessions))
        .route(&at("end-session"), post(end_session))
        .route(&at("end-user"), post(end_user))
        .route(&at("rollout"), get(rollout))
        .route(&at("set-rollout"), post(set_rollout))
        .fallback(no_page)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(guard)
        .layer(middleware::from_fn(with_peer))
        .with_state(console)
}

/// Notes where the connection comes from, as the service's own ports do.
async fn with_peer(
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    request.extensions_mut().insert(Peer::new(address));
    next.run(request).await
}

/// Passes on only requests of the operator's browser. The link's page is the only one without the cookie.
async fn guard(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    if LocalRequest::from_request_parts(&mut parts, &()).await.is_err() {
        return console.message(StatusCode::FORBIDDEN, texts::FOREIGN, None);
    }
    let folder = console.admission.folder();
    let is_link = parts.uri.path().strip_prefix(folder) == Some(OPEN);
    if !is_link && !console.admission.admits(&parts.headers) {
        return console.message(StatusCode::FORBIDDEN, texts::NOT_OPENED, None);
    }
    next.run(Request::from_parts(parts, body)).await
}

async fn no_page(State(console): State<Arc<Console>>) -> Response {
    console.message(StatusCode::NOT_FOUND, texts::NO_PAGE, Some(Tab::Status))
}

/// Reads a query as a form.
fn query(text: Option<&str>) -> Form {
    Form::parse(text.unwrap_or_default().as_bytes())
}

/// Leads to another page of the console.
fn lead_to(page: &str) -> Response {
    let location = HeaderValue::from_str(page).unwrap_or(HeaderValue::from_static("./"));
    let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    (StatusCode::SEE_OTHER, [no_store, (header::LOCATION, location)]).into_response()
}

/// Exchanges the link for the cookie, and leads to an address without the token.
async fn open(State(console): State<Arc<Console>>, RawQuery(text): RawQuery) -> Response {
    let form = query(text.as_deref());
    let presented = form.one("token").unwrap_or_default();
    let Some(cookie) = console.admission.exchange(presented) else {
        return console.message(StatusCode::FORBIDDEN, texts::WRONG_LINK, None);
    };
    let mut response = lead_to(console.admission.folder());
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

async fn status(State(console): State<Arc<Console>>) -> Response {
    let calls = &console.calls;
    let (status, rollout) = tokio::join!(calls.status(false), calls.rollout());
    match status {
        Err(problem) => console.failed(&problem, Tab::Status),
        Ok(status) => {
            let page = SectionsPage {
                frame: &console.frame,
                top: Top::new(texts::STATUS, calls, Some(Tab::Status)),
                lead: texts::STATUS_LEAD,
                sections: pages::status(&status, rollout.as_ref(), SystemClock.now()),
            };
            console.frame.answer(StatusCode::OK, &page)
        }
    }
}

async fn keys(State(console): State<Arc<Console>>) -> Response {
    match console.calls.status(false).await {
        Err(problem) => console.failed(&problem, Tab::Keys),
        Ok(status) => {
            let keys = &status.keys;
            let page = SectionsPage {
                frame: &console.frame,
                top: Top::new(texts::KEYS, &console.calls, Some(Tab::Keys)),
                lead: if keys.is_empty() { texts::NO_KEYS } else { texts::KEYS_LEAD },
                sections: pages::keys(keys, SystemClock.now()),
            };
            console.frame.answer(StatusCode::OK, &page)
        }
    }
}

async fn sessions(State(console): State<Arc<Console>>, RawQuery(text): RawQuery) -> Response {
    let form = query(text.as_deref());
    // White space around a pasted name is not part of it.
    let field = |name| form.one(name).map(str::trim).filter(|text| !text.is_empty());
    let session = field("session").map(|id| Wanted::Session(id.to_owned()));
    let wanted = session.or_else(|| field("user").map(|id| Wanted::User(id.to_owned())));
    let top = Top::new(texts::SESSIONS, &console.calls, Some(Tab::Sessions));
    let top = top.saying(Said::read(&form));
    let Some(wanted) = wanted else {
        let page = SessionsPage { frame: &console.frame, top, found: None };
        return console.frame.answer(StatusCode::OK, &page);
    };
    let older = form.one("page").unwrap_or_default();
    match history::read(&console.calls, &wanted, older).await {
        Err(problem) => console.failed(&problem, Tab::Sessions),
        Ok(history) => {
            let found = Some(Found::new(&wanted, &history, SystemClock.now()));
            let page = SessionsPage { frame: &console.frame, top, found };
            console.frame.answer(StatusCode::OK, &page)
        }
    }
}

/// Leads back to the sessions that the operator was looking at.
fn back_to_sessions(name: &str, value: &str, said: Said) -> Response {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let query = query.append_pair(name, value).append_pair("said", said.code()).finish();
    lead_to(&format!("{}?{query}", Tab::Sessions.href()))
}

async fn end_session(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Form::read(&headers, &body);
    let Some(id) = form.as_ref().and_then(|form| form.one("session")) else {
        return console.message(StatusCode::BAD_REQUEST, texts::BAD_FORM, Some(Tab::Sessions));
    };
    match console.calls.end_session(id).await {
        Err(problem) => console.failed(&problem, Tab::Sessions),
        Ok(()) => match form.as_ref().and_then(|form| form.one("user")) {
            Some(user) => back_to_sessions("user", user, Said::Ended),
            None => back_to_sessions("session", id, Said::Ended),
        },
    }
}

async fn end_user(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Form::read(&headers, &body);
    let Some(user) = form.as_ref().and_then(|form| form.one("user")) else {
        return console.message(StatusCode::BAD_REQUEST, texts::BAD_FORM, Some(Tab::Sessions));
    };
    match console.calls.end_user(user).await {
        Err(problem) => console.failed(&problem, Tab::Sessions),
        Ok(()) => back_to_sessions("user", user, Said::AllEnded),
    }
}

/// Shows the roll-out. If the query has a change, asks whether to make it.
async fn rollout(State(console): State<Arc<Console>>, RawQuery(text): RawQuery) -> Response {
    let form = query(text.as_deref());
    let (rollout, status) = tokio::join!(console.calls.rollout(), console.calls.status(true));
    match rollout {
        Err(problem) => console.failed(&problem, Tab::Rollout),
        Ok(rollout) => {
            let now = RolloutForm::none(&rollout);
            let asked = RolloutForm::read(&form, "percentage", "jwt");
            let top = Top::new(texts::ROLLOUT, &console.calls, Some(Tab::Rollout));
            let page = RolloutPage {
                frame: &console.frame,
                top: top.saying(Said::read(&form)),
                sections: pages::rollout(&rollout, status.as_ref().ok(), SystemClock.now()),
                now,
                question: asked.map(|change| Question::new(now, change)),
            };
            console.frame.answer(StatusCode::OK, &page)
        }
    }
}

/// Changes the roll-out. The form names the roll-out that the operator saw: if it is another one by now,
/// nothing changes.
async fn set_rollout(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form = Form::read(&headers, &body);
    let read =
        |percentage, jwt| form.as_ref().and_then(|form| RolloutForm::read(form, percentage, jwt));
    let (Some(seen), Some(change)) = (read("seen", "seen-jwt"), read("percentage", "jwt")) else {
        return console.message(StatusCode::BAD_REQUEST, texts::BAD_FORM, Some(Tab::Rollout));
    };
    match console.calls.rollout().await {
        Err(problem) => return console.failed(&problem, Tab::Rollout),
        Ok(rollout) if RolloutForm::none(&rollout) != seen => {
            let message = texts::CHANGED_MEANWHILE;
            return console.message(StatusCode::CONFLICT, message, Some(Tab::Rollout));
        }
        Ok(_) => {}
    }
    match console.calls.set_rollout(change.percentage, change.jwt_enabled).await {
        Err(problem) => console.failed(&problem, Tab::Rollout),
        Ok(()) => lead_to(&format!("{}?said={}", Tab::Rollout.href(), Said::Set.code())),
    }
}
