//! Issue: open a session for a user who has just proven who they are.

use super::first_tokens::Retryable;
use super::{Authority, AuthorityError, Tokens};
use crate::clock::draw;
use crate::store::{Open, Opened};
use crate::token::client::ClientInfo;
use crate::token::grant::Grant;
use crate::token::id::{Generation, RequestId, SessionId, UserId};
use crate::token::refresh::{LineageKey, RefreshToken};
use crate::token::session::{Lineage, Session};

/// A login.
#[derive(Debug)]
pub struct Issue {
    /// Who logged in.
    pub user_id: UserId,
    /// What their access tokens shall carry.
    pub grant: Grant,
    /// On which device.
    pub client: ClientInfo,
    /// Under which id the caller may retry. `None`: every call opens a new session.
    pub request_id: Option<RequestId>,
    /// Who calls.
    pub caller: String,
}

impl Authority {
    /// Opens a session and hands out its first tokens. A retry under the same request id, by the
    /// same caller, for the same user, gets the first call's.
    ///
    /// # Errors
    /// Where the request id was used more than ten minutes ago, its session has ended since, or
    /// the store fails.
    pub async fn issue(&self, issue: Issue) -> Result<Tokens, AuthorityError> {
        let now = self.clock.now();
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
            expires_at: self.policy.rotation.expiry(now, now),
            revoked: None,
            lineage: Lineage::begin(key, &refresh, now),
        };
        let access = self.mint(&session, now)?;
        let request =
            retryable.as_ref().map(|r| r.seal(id, &refresh, &access, draw(&*self.entropy)));
        let opened = self.store.open(Open { session: session.clone(), request }).await?;
        let tokens = if let (Opened::Before(before), Some(retryable)) = (opened, retryable) {
            retryable.replay(*before, now)?
        } else {
            let shadow = self.mint_shadow(&session, now);
            Tokens { shadow, ..Self::hand_out(access, &refresh, &session, now) }
        };
        self.events.issued(tokens.auth_method);
        Ok(tokens)
    }
}
