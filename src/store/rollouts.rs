//! The roll-out's changes, as a database keeps them, and the live sessions that it concerns.

use std::fmt;

use async_trait::async_trait;

use super::StoreError;
use super::span::Operation;
use crate::clock::Timestamp;
use crate::token::id::UserId;
use crate::token::method::AuthMethod;
use crate::token::rollout::Rollout;

/// Those of the operations that requests wait for.
pub(super) const LAST_CHANGE: Operation = on_changes("last_change");
pub(super) const APPEND_CHANGE: Operation = on_changes("append_change");

const fn on_changes(name: &'static str) -> Operation {
    Operation { name, table: "rollout_changes" }
}

/// A change of the roll-out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutChange {
    /// Its place in the order: 1, 2, 3 …
    pub seq: i64,
    /// To what it was changed.
    pub rollout: Rollout,
    /// When.
    pub at: Timestamp,
    /// By which caller.
    pub by: String,
}

/// A user's live sessions of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSessions {
    /// Whose they are.
    pub user_id: UserId,
    /// What kind of access token they were last given.
    pub auth_method: AuthMethod,
    /// How many they are.
    pub count: u64,
}

/// The roll-out's changes in a database. They are only ever added, and the last one holds.
#[async_trait]
pub trait Rollouts: fmt::Debug + Send + Sync + 'static {
    /// The last change; `None`: there was none yet. Cheap enough to ask several times a second.
    async fn last_change(&self) -> Result<Option<RolloutChange>, StoreError>;

    /// Adds a change. `false` where its place is taken: another one came first.
    async fn append_change(&self, change: &RolloutChange) -> Result<bool, StoreError>;

    /// The last changes, newest first, at most `most`.
    async fn changes(&self, most: u32) -> Result<Vec<RolloutChange>, StoreError>;

    /// Live sessions by user and kind, in the order of the users' ids, of users after `after`; a
    /// page of about `most` entries, which never parts a user's. Empty: there are no more.
    async fn live_sessions(
        &self,
        after: Option<&UserId>,
        most: u32,
        now: Timestamp,
    ) -> Result<Vec<LiveSessions>, StoreError>;
}
