//! Revoke: end sessions, and see which there are.

use super::{AuthMethod, Authority, AuthorityError, Validation};
use crate::store::Revoke;
use crate::token::field::InvalidField;
use crate::token::id::{SessionId, UserId};
use crate::token::refresh::RefreshToken;
use crate::token::session::Session;

impl Authority {
    /// Ends the session of a refresh token, the current one or any earlier one of it (RFC 7009).
    /// A token that is none of ours is no error.
    ///
    /// # Errors
    /// Where the text is empty, or the store fails.
    pub async fn revoke_refresh_token(&self, token: &str) -> Result<(), AuthorityError> {
        if token.is_empty() {
            return Err(InvalidField::new("refresh_token", "is required").into());
        }
        if let Some(token) = RefreshToken::parse(token) {
            self.end(Revoke::ByToken(token)).await?;
        }
        Ok(())
    }

    /// Ends the session of an access token (RFC 7009). A token that is not good is no error.
    ///
    /// # Errors
    /// Where the session is the auth-server's own, which alone can end it, or the store fails.
    pub async fn revoke_access_token(&self, token: &str) -> Result<(), AuthorityError> {
        let Validation::Active(active) = self.validate(token, None).await? else { return Ok(()) };
        match active.session_id() {
            Some(id) => self.end(Revoke::OfToken(id)).await.map(drop),
            None if active.auth_method == AuthMethod::Session => {
                let rule = "is of a session that only the auth-server can end";
                Err(InvalidField::new("token", rule).into())
            }
            None => Ok(()),
        }
    }

    /// The session of a refresh token, if the token is its current one and the session is live
    /// (RFC 7662). Changes nothing: an earlier token is no theft here.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn introspect_refresh_token(
        &self,
        token: &str,
    ) -> Result<Option<Session>, AuthorityError> {
        let Some(token) = RefreshToken::parse(token) else { return Ok(None) };
        let session = self.store.find(token.session_id()).await?;
        let now = self.clock.now();
        Ok(session.filter(|session| {
            let live = session.revoked.is_none() && now < session.expires_at;
            live && session.lineage.current == token.hash()
        }))
    }

    /// Ends a session. One that is unknown or over is no error.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn revoke_session(&self, id: SessionId) -> Result<(), AuthorityError> {
        self.end(Revoke::Session(id)).await.map(drop)
    }

    /// Ends all live sessions of a user but one; how many.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn revoke_user_sessions(
        &self,
        user_id: UserId,
        except: Option<SessionId>,
    ) -> Result<usize, AuthorityError> {
        Ok(self.end(Revoke::User { user_id, except }).await?.len())
    }

    /// A user's live sessions, newest first, older than `before`, at most `most`.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn list_sessions(
        &self,
        user_id: &UserId,
        before: Option<SessionId>,
        most: u32,
    ) -> Result<Vec<Session>, AuthorityError> {
        Ok(self.store.list(user_id, before, most, self.clock.now()).await?)
    }

    /// Ends sessions durably, and has that in force here before it is answered.
    async fn end(&self, revoke: Revoke) -> Result<Vec<Session>, AuthorityError> {
        let one = match &revoke {
            Revoke::ByToken(token) => Some(token.session_id()),
            Revoke::Session(id) | Revoke::OfToken(id) => Some(*id),
            Revoke::User { .. } => None,
        };
        let ended = self.store.revoke(revoke, self.clock.now()).await?;
        for session in &ended {
            self.apply_revocation(session);
        }
        if let (Some(id), true) = (one, ended.is_empty()) {
            // Perhaps another call has just ended it, here or elsewhere: whoever is told that it
            // is over may rely on it.
            if let Some(session) = self.store.find(id).await? {
                self.apply_revocation(&session);
            }
        }
        Ok(ended)
    }

    /// Puts the session's revocation in force on this replica, if it is revoked.
    pub(super) fn apply_revocation(&self, session: &Session) {
        if let Some(revocation) = session.revocation(self.store.revocation_retention())
            && revocation.expires_at > self.clock.now()
        {
            self.revocations.apply(revocation);
        }
    }
}
