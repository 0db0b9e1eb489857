//! Issue: open a session for a user who has just logged in.

use super::first_tokens::Retryable;
use super::{Authority, AuthorityError, Tokens};
use crate::clock::draw;
use crate::store::{Ended, Open, Opened};
use crate::token::client::ClientInfo;
use crate::token::grant::Grant;
use crate::token::id::{Epoch, Generation, RequestId, SessionId, UserId};
use crate::token::lifetimes::Lifetimes;
use crate::token::refresh::{LineageKey, RefreshToken};
use crate::token::rotation::Policy;
use crate::token::session::{Lineage, Session};

/// A login.
#[derive(Debug)]
pub struct Issue {
    /// The user who logged in.
    pub user_id: UserId,
    /// The audience, scopes and claims of the session's access tokens.
    pub grant: Grant,
    /// The device.
    pub client: ClientInfo,
    /// The lifetimes that the session shall have, below those of the settings.
    pub lifetimes: Lifetimes,
    /// Whether a browser keeps the refresh token's cookie when it is closed.
    pub persistent: bool,
    /// The id under which the caller may retry. `None`: every call opens a new session.
    pub request_id: Option<RequestId>,
    /// The caller's name.
    pub caller: String,
}

impl Authority {
    /// Opens a session and returns its first tokens. A retry by the same caller, for the same user
    /// and with the same request id gets the tokens of the first call.
    ///
    /// # Errors
    /// Returns [`AuthorityError`] if a lifetime is longer than the settings', the request id was used
    /// more than ten minutes ago, its session has ended since, or the store fails.
    pub async fn issue(&self, issue: Issue) -> Result<Tokens, AuthorityError> {
        let now = self.clock.now();
        let Policy { refresh_lifetime, session_max_lifetime, .. } = self.policy.rotation;
        let lifetimes = issue.lifetimes.checked((refresh_lifetime, session_max_lifetime))?;
        let retryable =
            issue.request_id.map(|id| Retryable::new(&issue.caller, &issue.user_id, &id));
        let id = SessionId::new(now, draw(&*self.entropy));
        let key = LineageKey::new(draw(&*self.entropy));
        let refresh = RefreshToken::mint(&key, id, Generation::FIRST, draw(&*self.entropy));
        let session = Session {
            id,
            auth_method: self.method_for(&issue.user_id),
            user_id: issue.user_id,
            grant: issue.grant,
            client: issue.client,
            created_at: now,
            last_used_at: now,
            expires_at: self.policy.rotation.expiry(&lifetimes, now, now),
            access_ends_at: now + self.policy.revocation_retention(),
            revoked: None,
            lineage: Lineage::begin(key, &refresh, now),
            lifetimes,
            persistent: issue.persistent,
            epoch: Epoch::FIRST,
            device: None,
        };
        let access = self.mint(&session, Generation::FIRST, now)?;
        let keys = self.first_token_keys.as_ref();
        let request =
            retryable.as_ref().map(|r| r.seal(keys, id, (&refresh, &access), draw(&*self.entropy)));
        let opened = self.store.open(Open { session: session.clone(), request }).await?;
        if let Opened::Evicting(evicted) = &opened {
            for Ended { session, revocation } in evicted {
                let session_id = session.id;
                tracing::info!(%session_id, "a login ended the user's least recently used session");
                self.apply(revocation.clone());
            }
        }
        let tokens = if let (Opened::Before(before), Some(retryable)) = (opened, retryable) {
            retryable.replay(keys, *before, now)?
        } else {
            let shadow = self.mint_shadow(&session, Generation::FIRST, now);
            Tokens { shadow, ..Self::hand_out(access, &refresh, &session, now) }
        };
        self.events.issued(tokens.auth_method);
        // A retried login may offer it for a session that is bound since, which then refuses it.
        let token = RefreshToken::parse(&tokens.refresh_token);
        let device_challenge = token.and_then(|token| self.offer(None, &token, now));
        Ok(Tokens { device_challenge, ..tokens })
    }
}
