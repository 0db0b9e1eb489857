//! The revocations that one replica knows: which sessions were revoked, how fresh this knowledge is,
//! and the notification of watchers.
//!
//! * [`Revocations`]: the interface for the rest of the authority
//! * `set`: the revoked sessions, for the look-up in every validation
//! * `log`: the recently recorded revocations in order, shared by all watchers
//! * [`watch`]: the stream of revocations for callers, and its cursor
//! * [`follow`]: reading the store's feed
//! * [`signals`]: notifying other replicas of new rows in the feed
//!
//! `docs/adr/0004-revocation-feed.md` explains how the feed is read, and why.

mod cursor;
pub mod follow;
mod log;
mod set;
pub mod signals;
pub mod watch;

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{SetOnce, watch as channel};
use tokio::time::timeout;

use crate::clock::{Clock, Entropy, MAX_CLOCK_SKEW, Timestamp, draw};
use crate::store::StoreError;
use crate::store::rows::Recorded;
use crate::store::sessions::STATEMENT_TIMEOUT;
use crate::token::id::SessionId;
use crate::token::session::{Refused, Revocation};
use log::{Confirmed, Log};
use set::{Admission, Entry, Set};

/// The operator's settings for revocations.
#[derive(Debug, Clone, Copy)]
pub struct RevocationSettings {
    /// The most revocations that are held in memory.
    pub max_entries: usize,
    /// How long ago the feed may have been read before this replica counts as stale.
    pub max_staleness: Duration,
    /// What a stale replica does with validations.
    pub stale_policy: StalePolicy,
}

impl Default for RevocationSettings {
    fn default() -> Self {
        Self {
            max_entries: 1_000_000,
            max_staleness: Duration::from_secs(30),
            stale_policy: StalePolicy::Serve,
        }
    }
}

/// The behaviour of a stale replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StalePolicy {
    /// Validate with the known revocations.
    Serve,
    /// Refuse validations, as if the store were unreachable.
    Refuse,
}

/// Receives the time that each revocation of another replica took to arrive here.
type PropagationObserver = Box<dyn Fn(Duration) + Send + Sync>;

/// The revocations that one replica knows.
pub struct Revocations {
    settings: RevocationSettings,
    clock: Arc<dyn Clock>,
    set: Set,
    log: Log,
    /// When the feed was last read to its end, by this replica's clock. Before the first read: the
    /// start of this replica.
    confirmed_at: AtomicI64,
    /// The database's clock when the feed was last read to its end, in microseconds. `i64::MAX` before
    /// the first read.
    database_clock: AtomicI64,
    /// Set when the first read of the feed has ended, with or without success.
    tried: SetOnce<()>,
    /// Set when the feed was read to its end for the first time.
    loaded: SetOnce<()>,
    closing: channel::Sender<bool>,
    /// Counts the revocations of this replica, so that other replicas are notified.
    made_here: channel::Sender<u64>,
    watchers: AtomicUsize,
    events: OnceLock<PropagationObserver>,
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations")
            .field("settings", &self.settings)
            .field("held", &self.set.len())
            .finish_non_exhaustive()
    }
}

impl Revocations {
    /// Creates the set, which is empty until the first read of the feed.
    #[must_use]
    pub fn new(settings: RevocationSettings, clock: Arc<dyn Clock>, entropy: &dyn Entropy) -> Self {
        Self {
            settings,
            set: Set::new(settings.max_entries),
            log: Log::new(u64::from_be_bytes(draw(entropy))),
            confirmed_at: AtomicI64::new(clock.now().as_micros()),
            database_clock: AtomicI64::new(i64::MAX),
            clock,
            tried: SetOnce::new(),
            loaded: SetOnce::new(),
            closing: channel::Sender::new(false),
            made_here: channel::Sender::new(0),
            watchers: AtomicUsize::new(0),
            events: OnceLock::new(),
        }
    }

    /// The operator's settings.
    #[must_use]
    pub const fn settings(&self) -> &RevocationSettings {
        &self.settings
    }

    /// Returns whether the session is known to be revoked.
    #[must_use]
    pub fn is_revoked(&self, session_id: SessionId) -> bool {
        matches!(self.refused(session_id), Some(Refused::All(_)))
    }

    /// Returns which access tokens of the session are refused. `None`: none are.
    #[must_use]
    pub fn refused(&self, session_id: SessionId) -> Option<Refused> {
        self.set.refused_of(session_id)
    }

    /// Returns whether there are more revocations than memory may hold. Then a session that is not in
    /// the set may be revoked too, and only the store knows.
    #[must_use]
    pub fn is_overflowing(&self) -> bool {
        self.set.is_overflowing()
    }

    /// Returns how many revocations are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Returns whether no revocation is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of watchers.
    #[must_use]
    pub fn watchers(&self) -> usize {
        self.watchers.load(Ordering::Relaxed)
    }

    /// Applies a revocation that this replica made, and notifies the others. Call it before the caller
    /// gets its answer.
    pub fn apply(&self, revocation: Revocation) {
        if self.insert(Arc::new(revocation), None) {
            self.made_here.send_modify(|count| *count += 1);
        }
    }

    /// Returns when the feed was last read to its end. `None`: it was not read yet.
    #[must_use]
    pub fn confirmed_at(&self) -> Option<Timestamp> {
        let at = Timestamp::from_micros(self.confirmed_at.load(Ordering::Relaxed));
        self.is_loaded().then_some(at)
    }

    /// Returns how long ago the feed was last read to its end.
    #[must_use]
    pub fn staleness(&self) -> Duration {
        let confirmed_at = Timestamp::from_micros(self.confirmed_at.load(Ordering::Relaxed));
        self.clock.now().since(confirmed_at)
    }

    /// Returns whether the feed was last read longer ago than the settings allow.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.staleness() > self.settings.max_staleness
    }

    /// Checks that validations may rely on the known revocations.
    ///
    /// # Errors
    /// Returns [`StoreError::Unavailable`] if the feed was never read, or if this replica is stale and
    /// the policy is to refuse.
    pub fn ensure_known(&self) -> Result<(), StoreError> {
        let unavailable = |why: &str| Err(StoreError::Unavailable(why.into()));
        if !self.is_loaded() {
            return unavailable("the revocations are not loaded yet");
        }
        if self.settings.stale_policy == StalePolicy::Refuse && self.is_stale() {
            return unavailable("the known revocations are stale");
        }
        Ok(())
    }

    /// Returns whether the whole feed was read once.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.loaded.initialized()
    }

    /// Waits until the whole feed was read once.
    pub async fn loaded(&self) {
        self.loaded.wait().await;
    }

    /// Waits until the first read of the feed has ended, for at most the time of a database look-up.
    /// Callers in the first moments of a replica then get an answer instead of an error.
    pub async fn first_read(&self) {
        if !self.is_loaded() {
            // `ensure_known` reports whether it was successful.
            let _ = timeout(STATEMENT_TIMEOUT, self.tried.wait()).await;
        }
    }

    /// Ends all watches, so that the watchers resume at another replica.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Reports to `events` how long each revocation of another replica took to arrive here, measured
    /// from its `revoked_at` by the other replica's clock. Only the first observer is used.
    pub fn observe_propagation(&self, events: impl Fn(Duration) + Send + Sync + 'static) {
        let _ = self.events.set(Box::new(events));
    }

    /// Records a row of the feed.
    fn record(&self, recorded: Recorded) {
        let Recorded { revocation, position } = recorded;
        if self.set.knows(&revocation) {
            return;
        }
        let revoked_at = revocation.revoked_at;
        let is_new = self.insert(Arc::new(revocation), Some(position.recorded_at));
        if is_new
            && self.is_loaded()
            && let Some(events) = self.events.get()
        {
            events(self.clock.now().since(revoked_at));
        }
    }

    /// Stores that the feed was read to its end.
    fn confirm(&self, confirmed: Confirmed, began: Timestamp) {
        self.log.confirm(confirmed);
        self.confirmed_at.store(began.as_micros(), Ordering::Relaxed);
        self.database_clock.store(confirmed.as_of.as_micros(), Ordering::Relaxed);
        // It fails after the first time, because the value is set only once.
        let _ = self.loaded.set(());
    }

    /// Stores that a read has ended, with or without success.
    fn note_try(&self) {
        let _ = self.tried.set(());
    }

    /// Inserts a revocation. Returns whether it is new.
    fn insert(&self, revocation: Arc<Revocation>, recorded_at: Option<Timestamp>) -> bool {
        let session_id = revocation.session_id;
        let entry = Arc::clone(&revocation);
        let was_overflowing = self.set.is_overflowing();
        let is_new = self.log.append(entry, |number, is_recent| {
            let entry = Entry { revocation, recorded_at, number };
            match self.set.insert(session_id, entry) {
                Admission::New => true,
                Admission::Known => false,
                // Watchers are notified once, although this replica does not hold it.
                Admission::Full => !is_recent,
            }
        });
        if self.set.is_overflowing() && !was_overflowing {
            tracing::error!(
                max_entries = self.settings.max_entries,
                "there are more revocations than REVOCATION_MAX_ENTRIES: every validation asks the \
                 database until there are fewer"
            );
        }
        is_new
    }

    /// Returns whether a validation may still depend on a revocation.
    pub(super) fn matters(&self, revocation: &Revocation) -> bool {
        revocation.expires_at > self.dropped_before()
    }

    /// Returns the moment before which a revocation must have ended so that it may be dropped. The
    /// database's clock decides, because this replica's clock may be ahead now and corrected later.
    /// If this replica's clock is behind, it decides, because validations use it.
    fn dropped_before(&self) -> Timestamp {
        let database = Timestamp::from_micros(self.database_clock.load(Ordering::Relaxed));
        self.clock.now().min(database) - MAX_CLOCK_SKEW
    }

    /// Drops revocations that have ended.
    fn forget_ended(&self) {
        self.set.forget_ended(self.dropped_before());
    }
}

#[cfg(test)]
mod tests;
