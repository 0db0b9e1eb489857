//! A user's sessions, live and ended, each with its events.

use std::collections::BTreeMap;

use super::calls::Calls;
use crate::cli::problem::Problem;
use crate::transport::proto::v1::list_session_events_request::Target;
use crate::transport::proto::v1::{Session, SessionEvent, SessionEventType};

/// The sessions that an operator looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All sessions of a user.
    User(String),
    /// One session.
    Session(String),
}

/// One session, with its events.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) id: String,
    /// The session. `None`: it is not among the live ones.
    pub(super) live: Option<Session>,
    /// Its events, newest first.
    pub(super) events: Vec<SessionEvent>,
}

/// The sessions that were found.
#[derive(Debug)]
pub(super) struct History {
    /// Their user. Empty: unknown, because no session was found or because the user was erased.
    pub(super) user_id: String,
    /// Live sessions first, then those with the newest event.
    pub(super) stories: Vec<Story>,
    /// Whether the user has more live sessions than these.
    pub(super) has_more_live: bool,
    /// The page of older events. Empty: there are none.
    pub(super) older: String,
}

impl Story {
    /// Returns the event that ended the session.
    pub(super) fn end(&self) -> Option<&SessionEvent> {
        let ends = [SessionEventType::Revoked, SessionEventType::ReuseFound];
        self.events.iter().find(|event| ends.contains(&event.r#type()))
    }
}

/// Reads the history from the authority. `page` is a page of older events.
pub(super) async fn read(calls: &Calls, wanted: &Wanted, page: &str) -> Result<History, Problem> {
    let target = match wanted {
        Wanted::User(id) => Target::UserId(id.clone()),
        Wanted::Session(id) => Target::SessionId(id.clone()),
    };
    let found = calls.events(target, page).await?;
    let user_id = match wanted {
        Wanted::User(id) => id.clone(),
        Wanted::Session(_) => {
            let mut named = found.events.iter().map(|event| &event.user_id);
            named.find(|id| !id.is_empty()).cloned().unwrap_or_default()
        }
    };
    let mut live = Vec::new();
    let mut has_more_live = false;
    if !user_id.is_empty() {
        let listed = calls.live(&user_id).await?;
        has_more_live = !listed.next_page_token.is_empty();
        live = listed.sessions;
    }
    if let Wanted::Session(id) = wanted {
        live.retain(|session| session.session_id == *id);
    }
    let stories = stories(live, found.events);
    Ok(History { user_id, stories, has_more_live, older: found.next_page_token })
}

/// Gives each session its events.
fn stories(live: Vec<Session>, events: Vec<SessionEvent>) -> Vec<Story> {
    // The position of a session is that of its newest event, because the newest events come first.
    let mut positions = BTreeMap::new();
    let mut stories: Vec<Story> = Vec::new();
    for session in live {
        positions.insert(session.session_id.clone(), stories.len());
        let id = session.session_id.clone();
        stories.push(Story { id, live: Some(session), events: Vec::new() });
    }
    for event in events {
        let at = *positions.entry(event.session_id.clone()).or_insert(stories.len());
        if at == stories.len() {
            let id = event.session_id.clone();
            stories.push(Story { id, live: None, events: Vec::new() });
        }
        stories[at].events.push(event);
    }
    stories
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_sessions_come_first_and_ended_ones_are_kept() {
        let session = |id: &str| Session { session_id: id.into(), ..Session::default() };
        let event = |id: &str, kind: SessionEventType| SessionEvent {
            session_id: id.into(),
            r#type: kind.into(),
            ..SessionEvent::default()
        };
        let events = vec![
            event("ended", SessionEventType::Revoked),
            event("live", SessionEventType::Refreshed),
            event("ended", SessionEventType::Issued),
            event("live", SessionEventType::Issued),
        ];
        let found = stories(vec![session("quiet"), session("live")], events);
        let ids: Vec<_> =
            found.iter().map(|story| (story.id.as_str(), story.events.len())).collect();
        assert_eq!(ids, [("quiet", 0), ("live", 2), ("ended", 2)]);
        assert!(found[2].live.is_none() && found[2].end().is_some());
        assert!(found[1].live.is_some() && found[1].end().is_none());
    }
}
