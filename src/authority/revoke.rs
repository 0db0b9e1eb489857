//! Revoke: end sessions, and see which there are.

use super::{Authority, AuthorityError};
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

    async fn end(&self, revoke: Revoke) -> Result<Vec<Session>, AuthorityError> {
        Ok(self.store.revoke(revoke, self.clock.now()).await?)
    }
}
