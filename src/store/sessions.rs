//! The store: whole operations on sessions, coalesced into batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::batches;
use super::change::{self, Changed, Ending, Rules, SessionChange};
use super::coalesce::{Coalescer, ShardFigures, ShardSettings};
use super::lineages::Lineages;
use super::logins;
use super::rows::{FeedPage, Position, Purged, Rows, Schema};
use super::span::{on_sessions, spanned};
use super::write_health::WriteHealth;
use super::{
    Audit, Bind, Bound, Ended, EventPosition, EventsOf, Open, Opened, Receipt, Refresh, Refreshed,
    Revoke, StoreError, Update, Updated,
};
use crate::clock::Timestamp;
use crate::token::event::SessionEvent;
use crate::token::id::{SessionId, UserId};
use crate::token::rotation::Policy;
use crate::token::session::Session;

/// The time limit of an operation. It is below every deadline of the transport. If it were higher,
/// a caller would see a timeout instead of the cause.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3);

/// One shard. Concurrent batches share the database's cores and its log, so a second batch at the
/// same time makes both smaller and the total work greater.
const WRITERS: ShardSettings =
    ShardSettings { shards: 1, max_batch: 512, waiting: 4096, timeout: STATEMENT_TIMEOUT };
const READERS: ShardSettings =
    ShardSettings { shards: 2, max_batch: 512, waiting: 4096, timeout: STATEMENT_TIMEOUT };
const HINTS: ShardSettings =
    ShardSettings { shards: 1, max_batch: 512, waiting: 4096, timeout: STATEMENT_TIMEOUT };

/// Sessions in a database.
#[derive(Debug)]
pub struct Store {
    rows: Arc<dyn Rows>,
    revocation_retention: Duration,
    writes: Arc<WriteHealth>,
    opens: Coalescer<Open, Opened>,
    changes: Coalescer<SessionChange, Changed>,
    loads: Coalescer<SessionId, Option<Session>>,
    receipts: Coalescer<Receipt, ()>,
    /// How many live sessions a user may have. 0: any number.
    max_sessions: Arc<AtomicU32>,
}

impl Store {
    /// Creates a store over a database's rows that judges refresh tokens by `policy`.
    /// `revocation_retention` is the time after a revocation during which an access token of the
    /// session can still be in use. Revocations are kept for that long.
    #[must_use]
    pub fn new(rows: Arc<dyn Rows>, policy: Policy, revocation_retention: Duration) -> Self {
        let rules = Rules { policy, revocation_retention };
        let lineages = Arc::new(Lineages::new());
        let opened = Arc::clone(&lineages);
        let writes = Arc::new(WriteHealth::default());
        let (of_opens, of_changes) = (Arc::clone(&writes), Arc::clone(&writes));
        let of = |rows: &Arc<dyn Rows>| Arc::clone(rows);
        let (for_opens, for_changes) = (of(&rows), of(&rows));
        let (for_loads, for_receipts) = (of(&rows), of(&rows));
        let max_sessions = Arc::new(AtomicU32::new(0));
        let for_bound = Arc::clone(&max_sessions);
        Self {
            rows,
            revocation_retention,
            writes,
            opens: Coalescer::start(WRITERS, move |batch| {
                let (rows, opened) = (of(&for_opens), Arc::clone(&opened));
                let writes = Arc::clone(&of_opens);
                let most = for_bound.load(Ordering::Relaxed);
                async move {
                    let bound = (most > 0).then_some((most, revocation_retention));
                    let results = logins::open(rows, opened, bound, batch).await;
                    noting(&writes, results, |opened| !matches!(opened, Opened::Before(_)))
                }
            }),
            changes: Coalescer::start(WRITERS, move |batch| {
                let (rows, lineages) = (of(&for_changes), Arc::clone(&lineages));
                let writes = Arc::clone(&of_changes);
                async move {
                    let changed = change::make(&*rows, &rules, &lineages, batch).await;
                    noting(&writes, changed, Changed::is_written)
                }
            }),
            loads: Coalescer::start(READERS, move |batch| batches::load(of(&for_loads), batch)),
            receipts: Coalescer::start(HINTS, move |batch| {
                batches::record_receipts(of(&for_receipts), batch)
            }),
            max_sessions,
        }
    }

    /// Lets each user have at most that many live sessions. 0: any number. A login that exceeds it
    /// ends the least recently used one.
    #[must_use]
    pub fn with_max_sessions(self, most: u32) -> Self {
        self.max_sessions.store(most, Ordering::Relaxed);
        self
    }

    /// Stores a login, unless the same request stored one already.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails.
    pub async fn open(&self, open: Open) -> Result<Opened, StoreError> {
        let ask = self.opens.ask(shard_of(open.session.id), open);
        self.spanned("open", ask).await
    }

    /// Judges a refresh token and applies the verdict.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails.
    pub async fn refresh(&self, refresh: Refresh) -> Result<Refreshed, StoreError> {
        match self.change("refresh", SessionChange::Refresh(refresh)).await? {
            Changed::Refreshed(refreshed) => Ok(refreshed),
            _ => Err(StoreError::mixed_up()),
        }
    }

    /// Ends sessions. Returns the sessions that this call ended, in their new state.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails.
    pub async fn revoke<'a>(
        &self,
        revoke: Revoke,
        audit: impl Into<Audit<'a>>,
    ) -> Result<Vec<Ended>, StoreError> {
        let audit @ Audit { actor, at: now } = audit.into();
        let reason = revoke.reason();
        let (session_id, token) = match revoke {
            Revoke::User { user_id, except } => {
                let retention = self.revocation_retention;
                let revoked = self.rows.revoke_user(&user_id, except, audit, reason, retention);
                let revoked = self.spanned("revoke_user", self.within(revoked)).await?;
                return Ok(Ended::all(revoked, retention));
            }
            Revoke::Session(session_id) | Revoke::OfToken(session_id) => (session_id, None),
            Revoke::ByToken(token) => (token.session_id(), Some(token)),
        };
        let ending = Ending { session_id, token, now, reason, actor: actor.to_owned() };
        match self.change("revoke", SessionChange::Revoke(ending)).await? {
            Changed::Revoked(ended) => Ok(ended.into_iter().collect()),
            _ => Err(StoreError::mixed_up()),
        }
    }

    /// Changes what a session's access tokens carry. Returns `None` if the session is not live.
    ///
    /// # Errors
    /// Returns an error if the database fails.
    pub async fn update(&self, update: Update) -> Result<Option<Updated>, StoreError> {
        match self.change("update", SessionChange::Update(update)).await? {
            Changed::Updated(updated) => Ok(updated),
            _ => Err(StoreError::mixed_up()),
        }
    }

    /// Registers a device for the session of a refresh token.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails.
    pub async fn bind(&self, bind: Bind) -> Result<Bound, StoreError> {
        match self.change("bind", SessionChange::Bind(bind)).await? {
            Changed::Bound(bound) => Ok(bound),
            _ => Err(StoreError::mixed_up()),
        }
    }

    /// Applies one change to its session. `operation` is its name in traces.
    async fn change(
        &self,
        operation: &'static str,
        change: SessionChange,
    ) -> Result<Changed, StoreError> {
        let ask = self.changes.ask(shard_of(change.session_id()), change);
        self.spanned(operation, ask).await
    }

    /// Revokes a user's sessions, and removes everything about the user from the database. Returns the
    /// user's former sessions.
    ///
    /// # Errors
    /// Returns an error if the database fails.
    pub async fn erase_user<'a>(
        &self,
        user_id: &UserId,
        audit: impl Into<Audit<'a>>,
    ) -> Result<Vec<Ended>, StoreError> {
        let retention = self.revocation_retention;
        let erased = self.rows.erase_user(user_id, audit.into(), retention);
        let erased = self.spanned("erase_user", self.within(erased)).await?;
        Ok(Ended::all(erased, retention))
    }

    /// Returns the session with this id, whether live, revoked or expired.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails.
    pub async fn find(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        self.spanned("find", self.loads.ask(shard_of(id), id)).await
    }

    /// Returns the session with this id if it has been ended.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails.
    pub async fn find_ended(&self, id: SessionId) -> Result<Option<Ended>, StoreError> {
        let session = self.find(id).await?;
        Ok(session.and_then(|session| Ended::of(session, self.revocation_retention)))
    }

    /// Returns a user's live sessions older than `before`, newest first, at most `limit`.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails.
    pub async fn list(
        &self,
        user_id: &UserId,
        before: Option<SessionId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Session>, StoreError> {
        let list = self.rows.list(user_id, before, limit, now);
        self.spanned("list", self.within(list)).await
    }

    /// Returns what happened to sessions before a place in the list, newest first, at most `limit`.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails.
    pub async fn events(
        &self,
        of: &EventsOf,
        before: Option<EventPosition>,
        limit: u32,
    ) -> Result<Vec<SessionEvent>, StoreError> {
        let events = self.rows.events(of, before, limit);
        self.spanned("events", self.within(events)).await
    }

    /// Records a receipt in the background, unless the database is behind. A lost receipt delays
    /// the discovery of a theft, and has no other effect.
    pub fn record_receipts(&self, receipt: Receipt) {
        self.receipts.hint(0, receipt);
    }

    /// Removes what the database's files still hold of erased users.
    pub async fn finish_erasures(&self) {
        self.rows.finish_erasures().await;
    }

    /// Deletes up to `limit` sessions that ended before `ended_before`.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails.
    pub async fn purge(&self, ended_before: Timestamp, limit: u32) -> Result<Purged, StoreError> {
        self.rows.purge(ended_before, limit).await
    }

    /// Deletes the first tokens of up to `limit` logins before `opened_before`.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails.
    pub async fn forget_first_tokens(
        &self,
        opened_before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        self.rows.forget_first_tokens(opened_before, limit).await
    }

    /// Returns the next rows of the revocation feed after a position that have not expired at
    /// `now`.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails.
    pub async fn feed(
        &self,
        after: Position,
        now: Timestamp,
        limit: u32,
    ) -> Result<FeedPage, StoreError> {
        self.within(self.rows.feed(after, now, limit)).await
    }

    /// Deletes up to `limit` revocations of each kind that expired before `ended_before`. Returns how
    /// many of the more frequent kind there were.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails.
    pub async fn purge_revocations(
        &self,
        ended_before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        self.rows.purge_revocations(ended_before, limit).await
    }

    /// Deletes up to `limit` events that happened before `happened_before`. Returns how many.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails.
    pub async fn purge_events(
        &self,
        happened_before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        self.rows.purge_events(happened_before, limit).await
    }

    /// Checks that the database answers, and compares its schema with this version's.
    ///
    /// # Errors
    /// Returns [`StoreError`] if the database fails.
    pub async fn check(&self) -> Result<Schema, StoreError> {
        self.within(self.rows.check()).await
    }

    /// Checks that the database accepts writes. Writes of the last seconds answer that. If there
    /// were none, or one failed, a probe is written.
    ///
    /// # Errors
    /// Returns an error if the database refuses writes.
    pub async fn check_writes(&self) -> Result<(), StoreError> {
        if self.writes.is_fresh() {
            return Ok(());
        }
        let probed = self.within(self.rows.probe_write()).await;
        self.writes.record(&probed, |()| true);
        probed
    }

    /// Returns the counters of all shards, by the shards' names.
    #[must_use]
    pub fn shards(&self) -> [(&'static str, ShardFigures); 4] {
        [
            ("open", self.opens.figures()),
            ("change", self.changes.figures()),
            ("load", self.loads.figures()),
            ("prove", self.receipts.figures()),
        ]
    }

    /// Closes all connections, after those in use were returned.
    pub async fn close(&self) {
        self.rows.close().await;
    }

    async fn spanned<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        spanned(self.rows.system(), on_sessions(operation), work).await
    }

    async fn within<T>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        tokio::time::timeout(STATEMENT_TIMEOUT, operation)
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".into())))
    }
}

/// Notes how the writes of a batch went.
fn noting<T>(
    writes: &WriteHealth,
    results: Vec<Result<T, StoreError>>,
    wrote: impl Fn(&T) -> bool,
) -> Vec<Result<T, StoreError>> {
    for result in &results {
        writes.record(result, &wrote);
    }
    results
}

/// Spreads sessions over shards by their random bits.
fn shard_of(id: SessionId) -> usize {
    usize::from(id.as_uuid().as_bytes()[15])
}
