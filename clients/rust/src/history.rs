//! The client: what happened to sessions.

use std::time::SystemTime;

use crate::client::{Client, PAGE, retrying};
use crate::error::ClientError;
use crate::identity::moment;
use crate::v1;
use crate::v1::list_session_events_request::Target;
use crate::v1::{RevocationReason, SessionEventType};

/// Something that happened to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEvent {
    /// The session's id.
    pub session_id: String,
    /// The user's id. Empty: the user was erased.
    pub user_id: String,
    /// When it happened.
    pub occurred_at: SystemTime,
    /// What happened.
    pub happened: Happened,
    /// Who asked for it: the name of a caller, `browser-adapter`, or `cli:` and an operator. Empty: nobody, or
    /// unknown.
    pub actor: String,
}

/// What happened to a session. More may be added.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happened {
    /// It began.
    Issued,
    /// Its refresh token was rotated. Only the last time is told.
    Refreshed,
    /// What its access tokens carry was changed.
    Updated {
        /// What was changed: `audience`, `scopes`, `claims`.
        fields: Vec<String>,
        /// Whether the access tokens that were issued before are refused since then.
        refresh_now: bool,
    },
    /// A refresh token was used again by someone who should not have it, and the session was revoked.
    ReuseFound,
    /// A device was registered for it.
    Bound,
    /// It was revoked, for this reason: `logout`, `admin`, `user`, `evicted`.
    Revoked(String),
    /// Something that this version of the crate does not know.
    Unknown,
}

impl Client {
    /// Lists what happened to a session, newest first.
    ///
    /// # Errors
    /// Returns [`ClientError`] if the service refuses the call or cannot answer.
    pub async fn session_events(&self, session_id: &str) -> Result<Vec<SessionEvent>, ClientError> {
        self.events(Target::SessionId(session_id.to_owned())).await
    }

    /// Lists what happened to all sessions of a user, ended ones included, newest first.
    ///
    /// # Errors
    /// Returns [`ClientError`] if the service refuses the call or cannot answer.
    pub async fn user_session_events(
        &self,
        user_id: &str,
    ) -> Result<Vec<SessionEvent>, ClientError> {
        self.events(Target::UserId(user_id.to_owned())).await
    }

    async fn events(&self, target: Target) -> Result<Vec<SessionEvent>, ClientError> {
        let (mut events, mut page_token) = (Vec::new(), String::new());
        loop {
            let target = Some(target.clone());
            let request = v1::ListSessionEventsRequest { target, page_size: PAGE, page_token };
            let call = async |request| self.sessions.clone().list_session_events(request).await;
            let page = retrying(request, call).await?;
            events.extend(page.events.into_iter().map(event));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(events);
            }
        }
    }
}

fn event(event: v1::SessionEvent) -> SessionEvent {
    let happened = match event.r#type() {
        SessionEventType::Issued => Happened::Issued,
        SessionEventType::Refreshed => Happened::Refreshed,
        SessionEventType::ReuseFound => Happened::ReuseFound,
        SessionEventType::Revoked => Happened::Revoked(reason(event.reason())),
        SessionEventType::Updated => {
            Happened::Updated { fields: event.updated_fields, refresh_now: event.refresh_now }
        }
        SessionEventType::Bound => Happened::Bound,
        SessionEventType::Unspecified => Happened::Unknown,
    };
    SessionEvent {
        session_id: event.session_id,
        user_id: event.user_id,
        occurred_at: moment(event.occurred_at.unwrap_or_default().seconds),
        happened,
        actor: event.actor,
    }
}

fn reason(reason: RevocationReason) -> String {
    let name = reason.as_str_name();
    name.strip_prefix("REVOCATION_REASON_").unwrap_or(name).to_ascii_lowercase()
}
