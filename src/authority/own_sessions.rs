//! A user's own sessions: list them, and end one of them.
//!
//! The user has proved who they are. The session's owner is checked here, so that no route can end a
//! session of another user by its id.

use super::{Authority, AuthorityError};
use crate::clock::Timestamp;
use crate::store::Revoke;
use crate::token::id::{SessionId, UserId};
use crate::token::session::Session;

/// How many sessions a user sees. A person has fewer; with a higher value, a program that logs in
/// again and again makes the page slow.
pub const MAX_OWN_SESSIONS: u32 = 1000;

/// The live sessions of a user.
#[derive(Debug)]
pub struct OwnSessions {
    /// The newest [`MAX_OWN_SESSIONS`], newest first.
    pub sessions: Vec<Session>,
    /// Whether there are older ones.
    pub has_more: bool,
    /// The time at which they are live.
    pub now: Timestamp,
}

impl Authority {
    /// Lists a user's live sessions.
    ///
    /// # Errors
    /// Returns [`AuthorityError::Store`] if the store fails.
    pub async fn own_sessions(&self, user_id: &UserId) -> Result<OwnSessions, AuthorityError> {
        let now = self.clock.now();
        let limit = MAX_OWN_SESSIONS as usize;
        let mut sessions = self.list_sessions(user_id, None, MAX_OWN_SESSIONS + 1).await?;
        let has_more = sessions.len() > limit;
        sessions.truncate(limit);
        Ok(OwnSessions { sessions, has_more, now })
    }

    /// Ends a session of this user for the caller `actor`. Returns `false`, and changes nothing, if the user has no such
    /// session. A session of the user that has ended is not an error: a form may be sent twice.
    ///
    /// # Errors
    /// Returns [`AuthorityError::Store`] if the store fails.
    pub async fn revoke_own_session(
        &self,
        user_id: &UserId,
        id: SessionId,
        actor: &str,
    ) -> Result<bool, AuthorityError> {
        // The session cannot become another user's before it is ended: only an erasure changes its user,
        // to none, and ends it.
        let session = self.store.find(id).await?;
        if session.is_none_or(|session| session.user_id != *user_id) {
            return Ok(false);
        }
        self.end(Revoke::OfToken(id), actor).await?;
        Ok(true)
    }
}
