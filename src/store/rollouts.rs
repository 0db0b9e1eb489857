//! The storage of the roll-out's changes, and counts of the live sessions that it concerns.

use std::fmt;

use async_trait::async_trait;

use super::StoreError;
use super::span::Operation;
use crate::clock::Timestamp;
use crate::token::id::UserId;
use crate::token::method::AuthMethod;
use crate::token::rollout::Rollout;

/// The two operations that requests wait for.
pub(super) const LAST_CHANGE: Operation = on_changes("last_change");
pub(super) const APPEND_CHANGE: Operation = on_changes("append_change");

const fn on_changes(name: &'static str) -> Operation {
    Operation { name, table: "rollout_changes" }
}

/// A change of the roll-out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutChange {
    /// Its position: 1, 2, 3 …
    pub seq: i64,
    /// The roll-out after the change.
    pub rollout: Rollout,
    /// When it was changed.
    pub at: Timestamp,
    /// The caller who changed it.
    pub by: String,
}

/// The number of a user's live sessions with one kind of access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSessions {
    /// The user.
    pub user_id: UserId,
    /// The kind of access token that the sessions were last given.
    pub auth_method: AuthMethod,
    /// The number of sessions.
    pub count: u64,
}

/// The roll-out's changes in a database. Changes are only added, and the last one is in effect.
#[async_trait]
pub trait Rollouts: fmt::Debug + Send + Sync + 'static {
    /// Returns the last change. `None` if there was no change yet. Cheap enough for several calls a
    /// second.
    async fn last_change(&self) -> Result<Option<RolloutChange>, StoreError>;

    /// Adds a change. Returns `false` if its position is taken, because another change came first.
    async fn append_change(&self, change: &RolloutChange) -> Result<bool, StoreError>;

    /// Returns the last changes, newest first, at most `limit`.
    async fn changes(&self, limit: u32) -> Result<Vec<RolloutChange>, StoreError>;

    /// Returns live sessions by user and kind, ordered by user id, of users after `after`. A page
    /// has about `limit` entries and always holds all entries of a user. An empty page means that
    /// there are no more.
    async fn live_sessions(
        &self,
        after: Option<&UserId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<LiveSessions>, StoreError>;
}
