//! Refresh: exchange a refresh token for a new access token and, if the rules say so, a successor.
//!
//! 1. Parse the token. Any other text is refused as invalid.
//! 2. Draw the random bytes that a successor may need.
//! 3. The store judges the token (`token/rotation.rs`) and writes the result.
//! 4. If the session was revoked, apply the revocation on this replica.
//! 5. Mint the access token. The response is sent only after the write was committed.

use super::events::Refreshing;
use super::{Authority, AuthorityError, RefreshRefusal, Storing, Tokens};
use crate::clock::{Timestamp, draw};
use crate::store::{Refresh, Refreshed, StoreError};
use crate::token::field::InvalidField;
use crate::token::id::SessionId;
use crate::token::refresh::RefreshToken;
use crate::token::rotation::{Policy, SuccessorSeed, Verdict};
use crate::token::session::{Revocation, Session};

impl Authority {
    /// Exchanges a refresh token. [`crate::token::rotation`] decides the outcome. `binding`: what the client
    /// shows of its device; empty if it shows nothing.
    ///
    /// # Errors
    /// Returns [`AuthorityError`] if the text is empty, the token is refused, or the store fails. If
    /// the token was stolen, the session's revocation is committed although the caller gets an error.
    pub async fn refresh(&self, token: &str, binding: &str) -> Result<Tokens, AuthorityError> {
        if token.is_empty() {
            return Err(InvalidField::new("refresh_token", "is required").into());
        }
        let now = self.clock.now();
        let exchanged = self.exchange(token, binding, now).await;
        let outcome = match &exchanged {
            Ok(Some(refreshed)) => Refreshing::Judged(refreshed.verdict),
            Ok(None) => Refreshing::Malformed,
            Err(_) => Refreshing::Failed,
        };
        let tokens = exchanged.map_err(Into::into).and_then(|done| self.renew(done, now));
        self.events.refreshed(outcome, self.clock.now().since(now));
        tokens
    }

    fn renew(
        &self,
        refreshed: Option<Refreshed>,
        now: Timestamp,
    ) -> Result<Tokens, AuthorityError> {
        let refreshed = refreshed.ok_or(RefreshRefusal::Invalid)?;
        RefreshRefusal::of(refreshed.verdict).map_or(Ok(()), Err)?;
        let Refreshed { verdict, session: Some(session), token: Some(token), .. } = refreshed
        else {
            return Err(StoreError::Inconsistent("a successor cannot be opened".into()).into());
        };
        // An access token is evidence of the refresh token beside it, which need not be the current one.
        let generation = token.generation();
        let access = self.mint(&session, generation, now)?;
        let shadow = self.mint_shadow(&session, generation, now);
        let storing = self.storing(verdict, &session, &token, now);
        let device_challenge = self.offer(session.device.as_ref(), &token, now);
        let tokens = Self::hand_out(access, &token, &session, now);
        Ok(Tokens { shadow, storing, device_challenge, ..tokens })
    }

    /// Returns whether the browser should store the token of this answer.
    fn storing(
        &self,
        verdict: Verdict,
        session: &Session,
        token: &RefreshToken,
        now: Timestamp,
    ) -> Storing {
        let Policy { window, .. } = self.policy.rotation;
        if verdict != Verdict::Young {
            return Storing::Due;
        }
        // The browser may hold a newer token than one that was set aside.
        if session.lineage.set_aside == Some(token.hash()) {
            return Storing::Unsafe;
        }
        // Extending a young token's life moves the session's last use to this moment.
        if session.last_used_at >= now {
            return Storing::Due;
        }
        // The window is at least twice the slowest round trip, and the token is not rotated before
        // the window is over: an answer given in its first half has arrived by then.
        if now.since(session.lineage.handed_out_at) * 2 <= window {
            Storing::Safe
        } else {
            Storing::Unsafe
        }
    }

    /// Returns whether a session that is not stored is so old that the sweeper has deleted it. Its
    /// MAC can no longer be verified, but a forger gains nothing by the answer that it has expired.
    pub(super) fn has_outlived(&self, session_id: SessionId, now: Timestamp) -> bool {
        let longest = self.policy.rotation.session_max_lifetime;
        session_id.created_at().is_some_and(|created_at| now.since(created_at) > longest)
    }

    /// Lets the store judge a presented text. Returns `None` if it is not a refresh token.
    async fn exchange(
        &self,
        text: &str,
        binding: &str,
        now: Timestamp,
    ) -> Result<Option<Refreshed>, StoreError> {
        let Some(presented) = RefreshToken::parse(text) else { return Ok(None) };
        let seed = SuccessorSeed { secret: draw(&*self.entropy), nonce: draw(&*self.entropy) };
        let (rollout, session_id) = (self.rollout(), presented.session_id());
        let shown = self.shown(binding, session_id, now);
        let refresh = Refresh { presented, seed, now, rollout, shown };
        let mut refreshed = self.store.refresh(refresh).await?;
        if refreshed.session.is_none() && self.has_outlived(session_id, now) {
            refreshed.verdict = Verdict::Expired;
        }
        self.apply_refused(refreshed.verdict, refreshed.revocation.take());
        Ok(Some(refreshed))
    }

    /// Applies the revocation of a presented token's session: a theft was found just now, or another
    /// replica revoked the session.
    pub(super) fn apply_refused(&self, verdict: Verdict, revocation: Option<Revocation>) {
        let Some(revocation) = revocation else { return };
        if verdict == Verdict::Theft {
            let session_id = revocation.session_id;
            tracing::warn!(%session_id, "a refresh token was reused: its session is revoked");
        }
        self.apply(revocation);
    }
}
