//! What a database has to offer.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::figures::Figures;
use super::rollouts::Rollouts;
use super::span::System;
use super::{KeyRows, Open, OpenedBefore, Receipt, StoreError};
use crate::clock::Timestamp;
use crate::token::id::{SessionId, UserId};
use crate::token::method::AuthMethod;
use crate::token::rotation::Optimistic;
use crate::token::session::{Revocation, RevocationReason, Session};

/// A session with the number of changes that its row has seen.
#[derive(Debug, Clone)]
pub struct Row {
    /// The session.
    pub session: Session,
    /// Grows with every change of the row.
    pub revision: i64,
}

/// A session's new state, to be written only if its row is still as it was read.
#[derive(Debug, Clone)]
pub struct CompareAndSwap {
    /// The session as it shall be.
    pub session: Session,
    /// The revision that it was read at.
    pub revision: i64,
    /// What the world is to be told, where this is the session's revocation.
    pub revocation: Option<Revocation>,
}

/// A rotation to be written only if its session is as presumed.
#[derive(Debug, Clone)]
pub struct OptimisticRotation {
    /// What is presumed, and what is to be written then.
    pub optimistic: Optimistic,
    /// What kind of access token the session is given beside its new refresh token.
    pub auth_method: AuthMethod,
}

impl OptimisticRotation {
    /// Whose refresh token it is.
    #[must_use]
    pub const fn session_id(&self) -> SessionId {
        self.optimistic.successor.session_id()
    }
}

/// A place in the revocation feed, which is ordered by the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// When the row was written, by the database's clock.
    pub recorded_at: Timestamp,
    /// Its session, which orders rows of one moment.
    pub session_id: SessionId,
}

impl Position {
    /// Before every row of that moment.
    #[must_use]
    pub const fn before(recorded_at: Timestamp) -> Self {
        Self { recorded_at, session_id: SessionId::NIL }
    }
}

/// A row of the revocation feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// What it says.
    pub revocation: Revocation,
    /// Where it stands.
    pub position: Position,
}

/// A part of the revocation feed, and what is known about its completeness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPage {
    /// Rows in the order of their positions.
    pub recorded: Vec<Recorded>,
    /// The database's clock just before it looked: every row that was committed by then and lies
    /// within the page is in it.
    pub as_of: Timestamp,
    /// Rows that were not yet visible when the database was asked have positions at or after
    /// this moment. It bounds the reads *after* the next one: a row may have become visible
    /// between this page's rows and this answer.
    pub horizon: Timestamp,
}

/// How long before its commit a row may have taken its position, where the database cannot tell
/// which transactions are under way. More than any statement of ours is given, and more than
/// the clocks of one database's servers differ.
pub const OVERLAP: Duration = Duration::from_secs(10);

/// Rows of sessions in a database. Every method is one atomic, durable step, takes effect whole
/// or not at all, and answers in the order of what it was given.
#[async_trait]
pub trait Rows: KeyRows + Rollouts + Figures + fmt::Debug + Send + Sync + 'static {
    /// Which kind of database keeps them.
    fn system(&self) -> System;

    /// Stores new sessions. `false` for one whose request key is taken, by a row or by an earlier
    /// one of the same call: it is not stored.
    async fn insert(&self, opens: &[Open]) -> Result<Vec<bool>, StoreError>;

    /// The sessions that were stored under these request keys.
    async fn find_requests(&self, keys: &[String])
    -> Result<Vec<Option<OpenedBefore>>, StoreError>;

    /// The sessions of these ids, whether live, revoked or expired.
    async fn load(&self, ids: &[SessionId]) -> Result<Vec<Option<Row>>, StoreError>;

    /// Writes sessions' new states: `lineage` (but for its key, which a session keeps),
    /// `last_used_at`, `expires_at`, `revoked` and `auth_method`. `false` for one whose row has
    /// another revision by now, or is gone: it is left as it is. No id comes twice in one call. A
    /// session's revocation is added to the feed in the same step.
    async fn swap(&self, swaps: &[CompareAndSwap]) -> Result<Vec<bool>, StoreError>;

    /// Rotates the refresh tokens of those sessions that are as presumed, and says what they are
    /// by then. `None` for one that is not: it is left as it is. No session comes twice in one
    /// call. What is written is what [`crate::token::rotation::take_effect`] makes of it.
    async fn rotate(
        &self,
        rotations: &[OptimisticRotation],
    ) -> Result<Vec<Option<Session>>, StoreError>;

    /// Records proofs: sets `proven_at` of each live session that is still at that generation and
    /// not yet proven. How many were. It changes the row's revision, so that whoever judges the
    /// session at the same time judges it again.
    async fn record_receipts(&self, receipts: &[Receipt]) -> Result<u64, StoreError>;

    /// Revokes all live sessions of a user but `except`; those that were, as they now are. Their
    /// revocations, which matter until `expires_at`, are added to the feed in the same step.
    async fn revoke_user(
        &self,
        user_id: &UserId,
        except: Option<SessionId>,
        now: Timestamp,
        reason: RevocationReason,
        expires_at: Timestamp,
    ) -> Result<Vec<Session>, StoreError>;

    /// The next `most` rows of the revocation feed after a position that matter at `now`.
    async fn feed(
        &self,
        after: Position,
        now: Timestamp,
        most: u32,
    ) -> Result<FeedPage, StoreError>;

    /// Deletes up to `most` rows of the feed that stopped to matter before `ended_before`, passing
    /// over rows that others are at. How many were.
    async fn purge_revocations(
        &self,
        ended_before: Timestamp,
        most: u32,
    ) -> Result<u64, StoreError>;

    /// A user's live sessions older than `before` (newest first), at most `most`.
    async fn list(
        &self,
        user_id: &UserId,
        before: Option<SessionId>,
        most: u32,
        now: Timestamp,
    ) -> Result<Vec<Session>, StoreError>;

    /// Looks at up to `most` rows that are due to be swept before `ended_before`, passing over
    /// those that others are at: deletes the sessions that ended before then, and puts the others
    /// off to their end. A revoked session stays until it would have expired, so that its tokens
    /// are answered as revoked. Fewer rows examined than `most` means that none is left.
    async fn purge(&self, ended_before: Timestamp, most: u32) -> Result<Purged, StoreError>;

    /// Forgets the sealed first tokens of up to `most` sessions opened before `opened_before`.
    async fn forget_first_tokens(
        &self,
        opened_before: Timestamp,
        most: u32,
    ) -> Result<u64, StoreError>;

    /// Whether the database answers and its schema is one that this version knows.
    async fn check(&self) -> Result<Schema, StoreError>;

    /// Brings the schema up to this version's. Safe to run by several at once.
    async fn migrate(&self) -> Result<Schema, StoreError>;

    /// Ends all connections, once those at work are done.
    async fn close(&self);
}

/// What a purge did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Rows that were looked at.
    pub examined: u64,
    /// Rows that were deleted.
    pub deleted: u64,
}

/// How a database's schema stands to this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// It is this version's.
    Current,
    /// Migrations of this version are missing.
    Behind {
        /// The newest migration that was applied; 0: none.
        applied: i64,
        /// The newest that this version knows.
        known: i64,
    },
    /// A newer version has migrated it.
    Ahead {
        /// The newest migration that was applied.
        applied: i64,
        /// The newest that this version knows.
        known: i64,
        /// Whether all that this version does not know are expansions, by their names
        /// (`docs/migrations.md`): then it may go on beside the newer one.
        expanded_only: bool,
    },
}
