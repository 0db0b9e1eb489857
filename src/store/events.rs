//! The history of sessions: who asked for what, and when.

use std::fmt;

use async_trait::async_trait;

use super::StoreError;
use crate::clock::Timestamp;
use crate::token::event::{EventKind, SessionEvent};
use crate::token::id::{SessionId, UserId};

/// Who asks for a change, and when.
#[derive(Debug, Clone, Copy)]
pub struct Audit<'a> {
    /// The caller's name. Empty: unknown.
    pub actor: &'a str,
    /// The time.
    pub at: Timestamp,
}

impl From<Timestamp> for Audit<'static> {
    fn from(at: Timestamp) -> Self {
        Self { actor: "", at }
    }
}

/// The sessions whose events are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventsOf {
    /// One session.
    Session(SessionId),
    /// All sessions of a user, ended ones included.
    User(UserId),
}

/// A place in the list of events, which is ordered by time, session and kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPosition {
    /// When it happened.
    pub at: Timestamp,
    /// The session.
    pub session_id: SessionId,
    /// The kind.
    pub kind: EventKind,
}

impl EventPosition {
    /// Returns the place of an event.
    #[must_use]
    pub const fn of(event: &SessionEvent) -> Self {
        Self { at: event.at, session_id: event.session_id, kind: event.what.kind() }
    }
}

/// Events in a database. The statements that change sessions write them.
#[async_trait]
pub trait EventRows: fmt::Debug + Send + Sync + 'static {
    /// Returns events before a place in the list, newest first, at most `limit`.
    async fn events(
        &self,
        of: &EventsOf,
        before: Option<EventPosition>,
        limit: u32,
    ) -> Result<Vec<SessionEvent>, StoreError>;

    /// Deletes up to `limit` events that happened before `happened_before`, and skips locked rows.
    /// Returns how many were deleted.
    async fn purge_events(&self, happened_before: Timestamp, limit: u32)
    -> Result<u64, StoreError>;
}

/// The statement that reads events. `$sessions` and `$events` are the conditions that select rows of the
/// two tables; the rest is the same on both databases. Kinds that this version does not know are left out.
macro_rules! events_of {
    ($sessions:literal, $events:literal, $page:literal) => {
        concat!(
            "SELECT session_id, user_id, happened_at, kind, actor, detail FROM (
                 SELECT session_id, user_id, happened_at, kind, actor, detail FROM session_events
                 WHERE ",
            $events,
            " = $1 AND kind IN ('bound', 'revoked', 'updated')
                 UNION ALL
                 SELECT id, user_id, created_at, 'issued', '', '' FROM user_sessions WHERE ",
            $sessions,
            " = $1
                 UNION ALL
                 SELECT id, user_id, last_used_at, 'refreshed', '', '' FROM user_sessions WHERE ",
            $sessions,
            " = $1 AND last_used_at > created_at) AS e
             WHERE ",
            $page,
            " OR (happened_at, session_id, kind) < ($2, $3, $4)
             ORDER BY happened_at DESC, session_id DESC, kind DESC LIMIT $5"
        )
    };
}
pub(super) use events_of;
