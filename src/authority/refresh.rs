//! Refresh: exchange a refresh token for a new access token, and a successor where due.

use super::{Authority, AuthorityError, RefreshRefusal, Tokens};
use crate::clock::draw;
use crate::store::{Refresh, Refreshed, StoreError};
use crate::token::field::InvalidField;
use crate::token::refresh::RefreshToken;
use crate::token::rotation::{Candidate, Verdict};

impl Authority {
    /// Exchanges a refresh token. Its fate is the verdict of [`crate::token::rotation`].
    ///
    /// # Errors
    /// Where the text is empty, the token is refused, or the store fails. A theft's revocation is
    /// durable though its caller gets an error.
    pub async fn refresh(&self, token: &str) -> Result<Tokens, AuthorityError> {
        if token.is_empty() {
            return Err(InvalidField::new("refresh_token", "is required").into());
        }
        let presented = RefreshToken::parse(token).ok_or(RefreshRefusal::Invalid)?;
        let now = self.clock.now();
        let candidate = Candidate { secret: draw(&*self.entropy), nonce: draw(&*self.entropy) };
        let refreshed = self.store.refresh(Refresh { presented, candidate, now }).await?;
        // A theft that was just found, or a revocation that others made.
        if let Some(session) = &refreshed.session {
            self.put_in_force(session);
        }
        refusal(refreshed.verdict).map_or(Ok(()), Err)?;
        let Refreshed { session: Some(session), token: Some(token), .. } = refreshed else {
            return Err(StoreError::Inconsistent("a successor cannot be opened".into()).into());
        };
        let access = self.mint(&session, now)?;
        Ok(Self::hand_out(access, &token, &session, now))
    }
}

const fn refusal(verdict: Verdict) -> Option<RefreshRefusal> {
    match verdict {
        Verdict::Theft => Some(RefreshRefusal::Reused),
        Verdict::Revoked => Some(RefreshRefusal::Revoked),
        Verdict::Expired => Some(RefreshRefusal::Expired),
        Verdict::Invalid => Some(RefreshRefusal::Invalid),
        Verdict::Rotate | Verdict::Keep | Verdict::Young | Verdict::Replay | Verdict::Remint => {
            None
        }
    }
}
