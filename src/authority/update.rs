//! Update: change what the access tokens of live sessions carry, and erase users.

use futures::future::try_join_all;

use super::{Authority, AuthorityError};
use crate::store::{Audit, Update};
use crate::token::field::InvalidField;
use crate::token::grant::GrantChange;
use crate::token::id::{SessionId, UserId};

/// How many sessions are changed at the same time.
const PAGE_SIZE: u32 = 500;

/// The sessions to change.
#[derive(Debug, Clone)]
pub enum UpdateTarget {
    /// One session.
    Session(SessionId),
    /// All live sessions of a user.
    User(UserId),
}

impl Authority {
    /// Changes what the access tokens of sessions carry. With `refresh_now`, their earlier access tokens
    /// are refused from now on. `actor` is the caller's name. Returns how many live sessions were changed.
    ///
    /// A user's sessions are changed one by one. If that fails, some of them may have been changed; the
    /// caller repeats the call.
    ///
    /// # Errors
    /// Returns [`AuthorityError`] if the change breaks the rules of a grant, if nothing would change, or
    /// if the store fails.
    pub async fn update_sessions(
        &self,
        target: UpdateTarget,
        change: GrantChange,
        refresh_now: bool,
        actor: &str,
    ) -> Result<usize, AuthorityError> {
        let change = change.checked()?;
        if change.is_empty() && !refresh_now {
            let rule = "must be set, unless scopes, audience, refresh_now or update_mask says what to change";
            return Err(InvalidField::new("claims", rule).into());
        }
        let user_id = match target {
            UpdateTarget::Session(id) => {
                return self.update(&[id], &change, refresh_now, actor).await;
            }
            UpdateTarget::User(user_id) => user_id,
        };
        let (mut updated, mut before) = (0, None);
        loop {
            let page = self.list_sessions(&user_id, before, PAGE_SIZE).await?;
            let ids: Vec<SessionId> = page.iter().map(|session| session.id).collect();
            updated += self.update(&ids, &change, refresh_now, actor).await?;
            before = ids.last().copied();
            if ids.len() < PAGE_SIZE as usize {
                return Ok(updated);
            }
        }
    }

    async fn update(
        &self,
        ids: &[SessionId],
        change: &GrantChange,
        refresh_now: bool,
        actor: &str,
    ) -> Result<usize, AuthorityError> {
        let now = self.clock.now();
        let updates = ids.iter().map(|&session_id| {
            let (change, actor) = (change.clone(), actor.to_owned());
            self.store.update(Update { session_id, change, refresh_now, now, actor })
        });
        let changed = try_join_all(updates).await?;
        let mut count = 0;
        for updated in changed.into_iter().flatten() {
            count += 1;
            // The caller relies on the answer, so apply the change on this replica before answering.
            if let Some(stale) = updated.stale {
                self.apply(stale);
            }
        }
        Ok(count)
    }

    /// Ends all sessions of a user and removes everything about the user from the database. Returns how
    /// many sessions, live or ended, there were.
    ///
    /// # Errors
    /// Returns [`AuthorityError::Store`] if the store fails.
    pub async fn erase_user(&self, user_id: &UserId, actor: &str) -> Result<usize, AuthorityError> {
        let audit = Audit { actor, at: self.clock.now() };
        let erased = self.store.erase_user(user_id, audit).await?;
        let count = erased.len();
        for ended in erased {
            self.apply(ended.revocation);
        }
        Ok(count)
    }
}
