//! The interface of a database: rows of sessions and the revocation feed.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::events::{Audit, EventRows};
use super::figures::Figures;
use super::rollouts::Rollouts;
use super::span::System;
use super::{KeyRows, Open, OpenedBefore, Receipt, StoreError};
use crate::clock::Timestamp;
use crate::token::device::Shown;
use crate::token::event::SessionEvent;
use crate::token::id::{SessionId, UserId};
use crate::token::method::AuthMethod;
use crate::token::rotation::Optimistic;
use crate::token::session::{Revocation, RevocationReason, Session};

/// A session, with the revision of its row.
#[derive(Debug, Clone)]
pub struct Row {
    /// The session.
    pub session: Session,
    /// Grows with every change of the row.
    pub revision: i64,
}

/// A session's new state. It is written only if its row still has the revision that was read.
#[derive(Debug, Clone)]
pub struct CompareAndSwap {
    /// The new state.
    pub session: Session,
    /// The revision that was read.
    pub revision: i64,
    /// Whether the grant is a new one. Otherwise it is not written.
    pub grant_changed: bool,
    /// The row to add to the revocation feed, if this change revokes the session or declares its
    /// access tokens stale.
    pub revocation: Option<Revocation>,
    /// What happened to the session, for its history.
    pub events: Vec<SessionEvent>,
}

/// How many live sessions a user may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionBound {
    /// The number of sessions.
    pub most: u32,
    /// The time of the logins.
    pub now: Timestamp,
    /// How long the revocations of evicted sessions are kept at least.
    pub retention: Duration,
}

/// A rotation that is written only if its session matches the optimistic assumption.
#[derive(Debug, Clone)]
pub struct OptimisticRotation {
    /// The assumption, and the state to write if it holds.
    pub optimistic: Optimistic,
    /// The kind of access token that is issued beside the new refresh token.
    pub auth_method: AuthMethod,
    /// The session's access tokens may be accepted until then ([`Session::access_ends_at`]), if they
    /// are not accepted even longer already.
    pub access_ends_at: Timestamp,
    /// What the request showed of its device. A session that is bound to one must match.
    pub shown: Shown,
}

impl OptimisticRotation {
    /// Returns the session of the refresh token.
    #[must_use]
    pub const fn session_id(&self) -> SessionId {
        self.optimistic.successor.session_id()
    }
}

/// A position in the revocation feed. On Postgres the database's clock orders it. On SQLite, which has
/// no clock of its own, a position is the writer's clock, or just after the last position if that is
/// later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// When the row was written.
    pub recorded_at: Timestamp,
    /// The row's session, which orders rows with the same time.
    pub session_id: SessionId,
}

impl Position {
    /// Returns the position before all rows of that time.
    #[must_use]
    pub const fn before(recorded_at: Timestamp) -> Self {
        Self { recorded_at, session_id: SessionId::NIL }
    }
}

/// A row of the revocation feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The revocation.
    pub revocation: Revocation,
    /// Its position.
    pub position: Position,
}

/// A page of the revocation feed, and the limits of its completeness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPage {
    /// Rows in the order of their positions.
    pub recorded: Vec<Recorded>,
    /// The database's clock just before it read the page. Every row that was committed by then and
    /// belongs in the page is in it.
    pub as_of: Timestamp,
    /// The earliest position of a row that was not visible yet. It bounds the reads *after* the
    /// next one, because a row may have become visible between this page's rows and this answer.
    pub horizon: Timestamp,
}

/// The maximum time between taking a position and committing the row, for databases that do not
/// show running transactions. It is longer than any of our statements may take, and longer than the
/// clocks of one database's servers differ. If it were lower, a row could be skipped.
pub const OVERLAP: Duration = Duration::from_secs(10);

/// Rows of sessions in a database. Every method is one atomic, durable step. It takes effect
/// completely or not at all, and its results are in the order of its inputs.
#[async_trait]
pub trait Rows:
    KeyRows + Rollouts + Figures + EventRows + fmt::Debug + Send + Sync + 'static
{
    /// Returns the kind of database.
    fn system(&self) -> System;

    /// Stores new sessions. Returns `false` for a session whose request key is taken, by a row or
    /// by an earlier session of the same call. That session is not stored.
    async fn insert(&self, opens: &[Open]) -> Result<Vec<bool>, StoreError>;

    /// Stores new sessions as [`Rows::insert`] does, and revokes those of their users' live sessions
    /// that exceed the bound, the least recently used first. Returns these in their new state, too.
    /// Of two concurrent calls with sessions of one user, the second one sees those of the first.
    async fn insert_bounded(
        &self,
        opens: &[Open],
        bound: SessionBound,
    ) -> Result<(Vec<bool>, Vec<Session>), StoreError>;

    /// Returns the sessions that were stored under these request keys.
    async fn find_requests(&self, keys: &[String])
    -> Result<Vec<Option<OpenedBefore>>, StoreError>;

    /// Returns the sessions with these ids, whether live, revoked or expired.
    async fn load(&self, ids: &[SessionId]) -> Result<Vec<Option<Row>>, StoreError>;

    /// Writes sessions' new states: `lineage` (except its key, which never changes),
    /// `last_used_at`, `expires_at`, `revoked`, `auth_method`, `epoch`, `device` and a changed `grant`. The row
    /// of a revoked session loses its grant and its client's description. Returns `false` for a
    /// session whose row has another revision or is gone; that row is left unchanged. No id may occur
    /// twice in one call. Revocations are added to the feed, and events to the history, in the same
    /// step.
    async fn swap(&self, swaps: &[CompareAndSwap]) -> Result<Vec<bool>, StoreError>;

    /// Rotates the refresh tokens of sessions that match the optimistic assumption, and returns
    /// their new states. Returns `None` for a session that does not match; its row is left
    /// unchanged. No session may occur twice in one call. The new state is the one that
    /// [`crate::token::rotation::take_effect`] makes.
    async fn rotate(
        &self,
        rotations: &[OptimisticRotation],
    ) -> Result<Vec<Option<Session>>, StoreError>;

    /// Records receipts: sets `proven_at` of each live session that is still at that generation and
    /// has no receipt yet. Returns how many were set. It changes the row's revision, so a
    /// concurrent judgement of the session is repeated.
    async fn record_receipts(&self, receipts: &[Receipt]) -> Result<u64, StoreError>;

    /// Revokes all live sessions of a user except `except`, and returns them in their new state.
    /// Their revocations, which are kept for `retention` at least, are added to the feed, and events to
    /// the history, in the same step.
    async fn revoke_user(
        &self,
        user_id: &UserId,
        except: Option<SessionId>,
        audit: Audit<'_>,
        reason: RevocationReason,
        retention: Duration,
    ) -> Result<Vec<Session>, StoreError>;

    /// Revokes all live sessions of a user, and removes everything about the user from all rows,
    /// those of ended sessions and of the feed included. The rows keep the sessions' ids, the hashes and
    /// keys that refuse their tokens and retried logins, and the events of these revocations without the
    /// user. Returns the sessions in their new state.
    async fn erase_user(
        &self,
        user_id: &UserId,
        audit: Audit<'_>,
        retention: Duration,
    ) -> Result<Vec<Session>, StoreError>;

    /// Removes what the database's files still hold of erased users, if this database leaves that to the
    /// service. It may fail while others read, and is called again with each sweep.
    async fn finish_erasures(&self) {}

    /// Returns the next `limit` rows of the revocation feed after a position that have not expired
    /// at `now`.
    async fn feed(
        &self,
        after: Position,
        now: Timestamp,
        limit: u32,
    ) -> Result<FeedPage, StoreError>;

    /// Deletes rows of the feed that expired before `ended_before`, up to `limit` of each of its tables,
    /// and skips locked rows. Returns how many were deleted from the table that had more of them.
    async fn purge_revocations(
        &self,
        ended_before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError>;

    /// Returns a user's live sessions older than `before`, newest first, at most `limit`.
    async fn list(
        &self,
        user_id: &UserId,
        before: Option<SessionId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Session>, StoreError>;

    /// Examines up to `limit` rows that are due to be swept before `ended_before`, and skips locked
    /// rows. Deletes sessions that ended before then, and postpones the others to their end. A
    /// revoked session stays until it would have expired, so that its tokens are reported as
    /// revoked. If fewer rows than `limit` were examined, none is left.
    async fn purge(&self, ended_before: Timestamp, limit: u32) -> Result<Purged, StoreError>;

    /// Deletes the sealed first tokens of up to `limit` sessions that were opened before
    /// `opened_before`.
    async fn forget_first_tokens(
        &self,
        opened_before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError>;

    /// Returns how the schema compares with this version's. Fails if the database does not answer.
    async fn check(&self) -> Result<Schema, StoreError>;

    /// Tests whether the database accepts writes. Costs little, and changes nothing.
    async fn probe_write(&self) -> Result<(), StoreError>;

    /// Migrates the schema to this version's. Several processes may call it at the same time.
    async fn migrate(&self) -> Result<Schema, StoreError>;

    /// Closes all connections, after those in use were returned.
    async fn close(&self);
}

/// The result of a purge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// The number of rows that were examined.
    pub examined: u64,
    /// The number of rows that were deleted.
    pub deleted: u64,
}

/// How a database's schema compares with this version's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// It is the same.
    Current,
    /// Migrations of this version are missing.
    Behind {
        /// The newest applied migration. 0 if there is none.
        applied: i64,
        /// The newest migration that this version knows.
        known: i64,
    },
    /// A newer version has migrated the schema.
    Ahead {
        /// The newest applied migration.
        applied: i64,
        /// The newest migration that this version knows.
        known: i64,
        /// Whether all unknown migrations are expansions, by their names (`docs/migrations.md`).
        /// Then this version may serve beside the newer one.
        expanded_only: bool,
    },
}
