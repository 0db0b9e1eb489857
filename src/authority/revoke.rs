//! Revoke: end sessions, and list them.

use super::{AuthMethod, Authority, AuthorityError, InactiveReason, Validation};
use crate::store::{Audit, Ended, EventPosition, EventsOf, Revoke};
use crate::token::event::SessionEvent;
use crate::token::field::InvalidField;
use crate::token::id::{SessionId, UserId};
use crate::token::refresh::RefreshToken;
use crate::token::session::{Revocation, Session};

impl Authority {
    /// Ends the session of its current or any earlier refresh token (RFC 7009). An unknown token is
    /// not an error. `actor` is the caller's name, here and below.
    ///
    /// # Errors
    /// Returns [`AuthorityError`] if the text is empty, or the store fails.
    pub async fn revoke_refresh_token(
        &self,
        token: &str,
        actor: &str,
    ) -> Result<(), AuthorityError> {
        if token.is_empty() {
            return Err(InvalidField::new("refresh_token", "is required").into());
        }
        if let Some(token) = RefreshToken::parse(token) {
            self.end(Revoke::ByToken(token), actor).await?;
        }
        Ok(())
    }

    /// Ends the session of an access token (RFC 7009), even if the token is stale: its session lives on. Any
    /// other inactive token is not an error.
    ///
    /// # Errors
    /// Returns [`AuthorityError`] if only the auth-server can end the session, or the store fails.
    pub async fn revoke_access_token(
        &self,
        token: &str,
        actor: &str,
    ) -> Result<(), AuthorityError> {
        let validation = self.validate(token, None).await?;
        let session_id = match &validation {
            Validation::Active(active) => active.session_id(),
            Validation::Inactive { reason: InactiveReason::Stale, .. } => self.session_of(token),
            Validation::Inactive { .. } => return Ok(()),
        };
        match session_id {
            Some(id) => self.end(Revoke::OfToken(id), actor).await.map(drop),
            None if validation.auth_method() == AuthMethod::Session => {
                let rule = "is of a session that only the auth-server can end";
                Err(InvalidField::new("token", rule).into())
            }
            None => Ok(()),
        }
    }

    /// Finds the session of a refresh token if a client may hold the token and the session is live
    /// (RFC 7662). This changes nothing: an earlier token does not count as a theft here.
    ///
    /// # Errors
    /// Returns [`AuthorityError::Store`] if the store fails.
    pub async fn introspect_refresh_token(
        &self,
        token: &str,
    ) -> Result<Option<Session>, AuthorityError> {
        let Some(token) = RefreshToken::parse(token) else { return Ok(None) };
        let session = self.store.find(token.session_id()).await?;
        let now = self.clock.now();
        Ok(session.filter(|session| {
            let live = session.revoked.is_none() && now < session.expires_at;
            let lineage = &session.lineage;
            live && (lineage.current == token.hash() || lineage.is_beside(&token))
        }))
    }

    /// Ends a session. A session that is unknown or has ended is not an error.
    ///
    /// # Errors
    /// Returns [`AuthorityError::Store`] if the store fails.
    pub async fn revoke_session(&self, id: SessionId, actor: &str) -> Result<(), AuthorityError> {
        self.end(Revoke::Session(id), actor).await.map(drop)
    }

    /// Ends all live sessions of a user except one. Returns how many it ended.
    ///
    /// # Errors
    /// Returns [`AuthorityError::Store`] if the store fails.
    pub async fn revoke_user_sessions(
        &self,
        user_id: UserId,
        except: Option<SessionId>,
        actor: &str,
    ) -> Result<usize, AuthorityError> {
        let ended = self.end(Revoke::User { user_id, except }, actor).await?;
        // Sessions that expired a short time ago were revoked too, because they may be live by
        // another clock.
        let now = self.clock.now();
        Ok(ended.iter().filter(|ended| now < ended.session.expires_at).count())
    }

    /// Lists a user's live sessions, newest first: at most `most`, all of them older than `before`.
    ///
    /// # Errors
    /// Returns [`AuthorityError::Store`] if the store fails.
    pub async fn list_sessions(
        &self,
        user_id: &UserId,
        before: Option<SessionId>,
        most: u32,
    ) -> Result<Vec<Session>, AuthorityError> {
        Ok(self.store.list(user_id, before, most, self.clock.now()).await?)
    }

    /// Returns what happened to sessions before a place in the list, newest first, at most `most`.
    ///
    /// # Errors
    /// Returns [`AuthorityError::Store`] if the store fails.
    pub async fn session_events(
        &self,
        of: &EventsOf,
        before: Option<EventPosition>,
        most: u32,
    ) -> Result<Vec<SessionEvent>, AuthorityError> {
        Ok(self.store.events(of, before, most).await?)
    }

    /// Ends sessions durably and applies the revocations on this replica before the caller gets its
    /// answer.
    pub(super) async fn end(
        &self,
        revoke: Revoke,
        actor: &str,
    ) -> Result<Vec<Ended>, AuthorityError> {
        let one = match &revoke {
            Revoke::ByToken(token) => Some(token.session_id()),
            Revoke::Session(id) | Revoke::OfToken(id) => Some(*id),
            Revoke::User { .. } => None,
        };
        let ended = self.store.revoke(revoke, Audit { actor, at: self.clock.now() }).await?;
        for ended in &ended {
            self.apply(ended.revocation.clone());
        }
        if let (Some(id), true) = (one, ended.is_empty()) {
            // Another call may have ended it, perhaps on another replica. This caller relies on the
            // answer too, so the revocation has to be applied here.
            if let Some(ended) = self.store.find_ended(id).await? {
                self.apply(ended.revocation);
            }
        }
        Ok(ended)
    }

    /// Applies a revocation on this replica.
    pub(super) fn apply(&self, revocation: Revocation) {
        if self.revocations.matters(&revocation) {
            self.revocations.apply(revocation);
        }
    }
}
