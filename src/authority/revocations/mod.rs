//! Revocations as one replica knows them: which sessions are over, how fresh that knowledge is,
//! and who is told.
//!
//! * [`Revocations`]: what the rest of the authority asks and tells
//! * `set`: the sessions that are over, for the look-up that rides on every validation
//! * `log`: what was learnt lately, in order, shared by all who watch
//! * [`watch`]: following the revocations from outside, and the cursor to resume with
//! * [`follow`]: following the store's feed
//! * [`signals`]: telling other replicas to look at the feed, and being told
//!
//! Why the feed is read as it is: `docs/adr/0004-revocation-feed.md`.

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

use crate::clock::{Clock, Entropy, Timestamp, draw};
use crate::store::StoreError;
use crate::store::rows::Recorded;
use crate::store::sessions::STATEMENT_TIMEOUT;
use crate::token::id::SessionId;
use crate::token::session::Revocation;
use log::{Confirmed, Log};
use set::{Admission, Entry, Set};

/// What the operator decides about revocations.
#[derive(Debug, Clone, Copy)]
pub struct RevocationSettings {
    /// The most revocations held in memory.
    pub max_entries: usize,
    /// How long freshness may go unconfirmed before this replica calls itself stale.
    pub max_staleness: Duration,
    /// What becomes of validations then.
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

/// What a stale replica does with validations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StalePolicy {
    /// Goes on with what it knows.
    Serve,
    /// Refuses, as if the store were out of reach.
    Refuse,
}

/// Is told how long each revocation of another replica took to arrive here.
type Observer = Box<dyn Fn(Duration) + Send + Sync>;

/// The revocations that one replica knows.
pub struct Revocations {
    settings: RevocationSettings,
    clock: Arc<dyn Clock>,
    set: Set,
    log: Log,
    /// When the feed was last read to its end, by our clock; before that, when we began.
    confirmed_at: AtomicI64,
    /// The first read of the feed has ended, well or not.
    tried: SetOnce<()>,
    /// A read has come to its end, so that there is something to go by.
    loaded: SetOnce<()>,
    closing: channel::Sender<bool>,
    /// Counts the revocations made here, of which other replicas are to be told.
    made_here: channel::Sender<u64>,
    watchers: AtomicUsize,
    events: OnceLock<Observer>,
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
    /// Knows nothing yet.
    #[must_use]
    pub fn new(settings: RevocationSettings, clock: Arc<dyn Clock>, entropy: &dyn Entropy) -> Self {
        Self {
            settings,
            set: Set::new(settings.max_entries),
            log: Log::new(u64::from_be_bytes(draw(entropy))),
            confirmed_at: AtomicI64::new(clock.now().as_micros()),
            clock,
            tried: SetOnce::new(),
            loaded: SetOnce::new(),
            closing: channel::Sender::new(false),
            made_here: channel::Sender::new(0),
            watchers: AtomicUsize::new(0),
            events: OnceLock::new(),
        }
    }

    /// What the operator decided.
    #[must_use]
    pub const fn settings(&self) -> &RevocationSettings {
        &self.settings
    }

    /// Whether the session is known to be over.
    #[must_use]
    pub fn is_revoked(&self, session_id: SessionId) -> bool {
        self.set.contains(session_id)
    }

    /// Whether there were more revocations than may be held: who is not in the set may be revoked
    /// all the same, and only the store knows.
    #[must_use]
    pub fn is_overflowing(&self) -> bool {
        self.set.is_overflowing()
    }

    /// How many revocations are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether no revocation is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many watch.
    #[must_use]
    pub fn watchers(&self) -> usize {
        self.watchers.load(Ordering::Relaxed)
    }

    /// Puts a revocation of this replica's own in force, before it is answered, and has the
    /// others told.
    pub fn apply(&self, revocation: Revocation) {
        if self.insert(Arc::new(revocation), None) {
            self.made_here.send_modify(|count| *count += 1);
        }
    }

    /// How long ago it was last confirmed that every revocation is known here.
    #[must_use]
    pub fn staleness(&self) -> Duration {
        let confirmed_at = Timestamp::from_micros(self.confirmed_at.load(Ordering::Relaxed));
        self.clock.now().since(confirmed_at)
    }

    /// Whether that is longer ago than it may be.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.staleness() > self.settings.max_staleness
    }

    /// Whether validations may be answered from what is known.
    ///
    /// # Errors
    /// Where nothing is known yet; or the policy is to refuse, and it is not known whether a
    /// revocation is missing.
    pub fn ensure_known(&self) -> Result<(), StoreError> {
        let unavailable = |why: &str| Err(StoreError::Unavailable(why.into()));
        if !self.is_loaded() {
            return unavailable("the revocations are not loaded yet");
        }
        if self.settings.stale_policy == StalePolicy::Refuse && self.is_stale() {
            return unavailable("the revocations known here are stale");
        }
        Ok(())
    }

    /// Whether the whole feed was read once.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.loaded.initialized()
    }

    /// Waits until the whole feed was read once.
    pub async fn loaded(&self) {
        self.loaded.wait().await;
    }

    /// Waits for the first read of the feed, so that who asks in the first moments of a replica
    /// need not be turned away; no longer than a look-up in the database may take.
    pub async fn first_read(&self) {
        if !self.is_loaded() {
            // How it ended is for `ensure_known` to say.
            let _ = timeout(STATEMENT_TIMEOUT, self.tried.wait()).await;
        }
    }

    /// Ends all who watch, so that they turn to another replica.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Has `events` told how long each revocation of another replica took to be known here,
    /// from its own moment by the revoking replica's clock. The first observer stays.
    pub fn observe_propagation(&self, events: impl Fn(Duration) + Send + Sync + 'static) {
        let _ = self.events.set(Box::new(events));
    }

    /// Takes in a row of the feed.
    fn record(&self, recorded: Recorded) {
        let Recorded { revocation, position } = recorded;
        if self.set.is_recorded(revocation.session_id) {
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

    /// The feed was read to its end.
    fn confirm(&self, confirmed: Confirmed, began: Timestamp) {
        self.log.confirm(confirmed);
        self.confirmed_at.store(began.as_micros(), Ordering::Relaxed);
        // It is set by the first read that comes to its end, and stays.
        let _ = self.loaded.set(());
    }

    /// A read has ended, well or not.
    fn note_try(&self) {
        let _ = self.tried.set(());
    }

    /// Whether it was not known before.
    fn insert(&self, revocation: Arc<Revocation>, recorded_at: Option<Timestamp>) -> bool {
        let session_id = revocation.session_id;
        let told = Arc::clone(&revocation);
        let was_overflowing = self.set.is_overflowing();
        let is_new = self.log.append(told, |number, is_recent| {
            let entry = Entry { revocation, recorded_at, number };
            match self.set.insert(session_id, entry) {
                Admission::New => true,
                Admission::Known => false,
                // Who watches is told all the same, once.
                Admission::Full => !is_recent,
            }
        });
        if self.set.is_overflowing() && !was_overflowing {
            tracing::error!(
                max_entries = self.settings.max_entries,
                "more revocations matter than REVOCATION_MAX_ENTRIES allows to be held: \
                 validations ask the database until there are fewer"
            );
        }
        is_new
    }

    /// Forgets what has ended.
    fn forget_ended(&self) {
        self.set.forget_ended(self.clock.now());
    }
}
