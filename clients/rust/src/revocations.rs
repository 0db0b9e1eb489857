//! The revoked sessions: follows `WatchRevocations` by the rules of the service's `docs/revocation.md`.
//!
//! 1. Nothing is vouched for before the first heartbeat.
//! 2. A message is applied before its cursor is kept. A snapshot comes in parts; the map is swapped for
//!    it once it is whole, and never emptied first.
//! 3. A token whose `sid` is in the map is refused, or if the entry has an epoch, only one of an earlier
//!    epoch (the verifier's part).
//! 4. An entry goes when its `expires_at` is past.
//! 5. A stream that ended is called again with the last cursor, at once and then with a growing pause.
//!    The map stays.
//! 6. A stream without a message for three seconds is given up, and called again over a new connection.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prost_types::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

use crate::target::Target;
use crate::v1::session_service_client::SessionServiceClient;
use crate::v1::watch_revocations_response::Event;
use crate::v1::{
    Revocation, RevocationSnapshot, StaleTokens, WatchRevocationsRequest, WatchRevocationsResponse,
};

const SILENCE: Duration = Duration::from_secs(3);
/// A connection has to be made before the first message.
const FIRST_SILENCE: Duration = Duration::from_secs(6);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A caller who is refused today will hardly be let in within seconds.
const PAUSE_IF_REFUSED: Duration = Duration::from_secs(5);
const PURGE_EVERY: Duration = Duration::from_secs(30);
/// An entry stays a little longer than the service asks, for clocks that differ.
const GRACE: i64 = 60;

/// The access tokens of a session that are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refused {
    /// Those of an earlier epoch: the session lives on.
    Before(u32),
    /// All: the session is over.
    All,
}

/// What is refused of a session, and until when that matters, in seconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
struct Entry {
    refused: Refused,
    until: i64,
}

/// The sessions of which access tokens are refused.
type Sessions = HashMap<String, Entry>;

/// The revocations that the follower has received. It writes them, and verifiers read them.
#[derive(Debug)]
pub(crate) struct Revocations {
    sessions: RwLock<Sessions>,
    /// In milliseconds since the Unix epoch; 0: not yet.
    fresh_as_of: AtomicI64,
    is_connected: AtomicBool,
    state: watch::Sender<Start>,
}

/// How the first reading stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// The first heartbeat is awaited.
    Waiting,
    /// It is awaited, and the last try failed.
    Failing,
    /// It came.
    Ready,
}

impl Revocations {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            sessions: RwLock::default(),
            fresh_as_of: AtomicI64::new(0),
            is_connected: AtomicBool::new(false),
            state: watch::Sender::new(Start::Waiting),
        })
    }

    pub(crate) fn refused(&self, session_id: &str) -> Option<Refused> {
        self.read().get(session_id).map(|entry| entry.refused)
    }

    pub(crate) fn len(&self) -> usize {
        self.read().len()
    }

    /// In milliseconds since the Unix epoch.
    pub(crate) fn fresh_as_of(&self) -> Option<i64> {
        Some(self.fresh_as_of.load(Ordering::Relaxed)).filter(|&millis| millis > 0)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    pub(crate) fn is_ready(&self) -> bool {
        *self.state.borrow() == Start::Ready
    }

    /// Waits for the first heartbeat, but not after a try has failed. Says whether it came.
    pub(crate) async fn ready(&self, patience: Duration) -> bool {
        let mut state = self.state.subscribe();
        let changed = timeout(patience, state.wait_for(|state| *state != Start::Waiting)).await;
        matches!(changed, Ok(Ok(state)) if *state == Start::Ready)
    }

    /// Waits for the first heartbeat as long as that takes.
    pub(crate) async fn ready_at_last(&self, patience: Duration) -> bool {
        let mut state = self.state.subscribe();
        let came = timeout(patience, state.wait_for(|state| *state == Start::Ready)).await;
        came.is_ok()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Sessions> {
        // What a panicking thread left is whole: each write is one step.
        self.sessions.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Sessions> {
        self.sessions.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows the stream.
pub(crate) struct Follower {
    revocations: Arc<Revocations>,
    target: Target,
    leeway: i64,
    now: Arc<dyn Fn() -> i64 + Send + Sync>,
    cursor: String,
    /// A snapshot that is not whole yet.
    snapshot: Option<Sessions>,
    purged_at: Instant,
}

impl Follower {
    pub(crate) fn new(
        revocations: Arc<Revocations>,
        target: Target,
        leeway: i64,
        now: Arc<dyn Fn() -> i64 + Send + Sync>,
    ) -> Self {
        let purged_at = Instant::now();
        Self { revocations, target, leeway, now, cursor: String::new(), snapshot: None, purged_at }
    }

    /// Follows for ever.
    pub(crate) async fn run(mut self) {
        let mut failures = 0_u32;
        loop {
            let ended = self.follow().await;
            let was_connected = self.revocations.is_connected.swap(false, Ordering::Relaxed);
            failures = if was_connected { 0 } else { failures + 1 };
            if was_connected || failures == 1 {
                let code = ended.code();
                tracing::warn!(?code, "revocations cannot be followed; trying again");
            }
            self.revocations.state.send_if_modified(|state| {
                let is_new = *state == Start::Waiting;
                if is_new {
                    *state = Start::Failing;
                }
                is_new
            });
            match ended.code() {
                Code::InvalidArgument => self.cursor.clear(),
                Code::Unauthenticated | Code::PermissionDenied => {
                    tokio::time::sleep(PAUSE_IF_REFUSED).await;
                }
                _ => {}
            }
            if failures > 0 {
                let pause = FIRST_PAUSE * 2_u32.saturating_pow(failures.min(8) - 1);
                tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
            }
        }
    }

    /// Follows one stream to its end.
    async fn follow(&mut self) -> Status {
        self.snapshot = None;
        let silent = || Status::deadline_exceeded("the stream fell silent");
        let (channel, credential) = (self.target.connect(), self.target.credential());
        let mut client = SessionServiceClient::with_interceptor(channel, credential)
            .max_decoding_message_size(64 << 20);
        let request = WatchRevocationsRequest { cursor: self.cursor.clone() };
        let mut stream = match timeout(FIRST_SILENCE, client.watch_revocations(request)).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return status,
            Err(_) => return silent(),
        };
        loop {
            match timeout(SILENCE, stream.message()).await {
                Ok(Ok(Some(message))) => self.take_in(message),
                Ok(Ok(None)) => return Status::unavailable("the stream ended"),
                Ok(Err(status)) => return status,
                Err(_) => return silent(),
            }
        }
    }

    fn take_in(&mut self, message: WatchRevocationsResponse) {
        let WatchRevocationsResponse { cursor, event } = message;
        if let Some(Event::Snapshot(part)) = event {
            // Its cursor counts only once the snapshot is whole: what came so far is not in the map.
            self.add(part);
            return;
        }
        if let Some(whole) = self.snapshot.take() {
            *self.revocations.write() = whole;
        }
        match event {
            Some(Event::Revocation(one)) => {
                add(&mut self.revocations.write(), revoked(one));
            }
            Some(Event::Heartbeat(heartbeat)) => {
                for one in heartbeat.stale_tokens {
                    add(&mut self.revocations.write(), stale(one));
                }
                self.beat(heartbeat.as_of.unwrap_or_default());
            }
            _ => {}
        }
        self.cursor = cursor;
    }

    fn add(&mut self, part: RevocationSnapshot) {
        if !part.continued {
            self.snapshot = None;
        }
        let snapshot = self.snapshot.get_or_insert_default();
        let revoked = part.revocations.into_iter().map(revoked);
        for one in revoked.chain(part.stale_tokens.into_iter().map(stale)) {
            add(snapshot, one);
        }
    }

    fn beat(&mut self, as_of: Timestamp) {
        let millis = as_of.seconds.saturating_mul(1000) + i64::from(as_of.nanos / 1_000_000);
        // Another replica may lag behind the one before, and what is known does not get older.
        self.revocations.fresh_as_of.fetch_max(millis, Ordering::Relaxed);
        if !self.revocations.is_connected.swap(true, Ordering::Relaxed) {
            tracing::info!(known = self.revocations.len(), "following revocations");
        }
        self.revocations
            .state
            .send_if_modified(|state| std::mem::replace(state, Start::Ready) != Start::Ready);
        if self.purged_at.elapsed() >= PURGE_EVERY {
            self.purged_at = Instant::now();
            let latest = (self.now)() - self.leeway - GRACE;
            self.revocations.write().retain(|_, entry| entry.until >= latest);
        }
    }
}

/// Adds an entry, unless one is known that refuses more.
fn add(sessions: &mut Sessions, (session_id, entry): (String, Entry)) {
    let known = sessions.entry(session_id).or_insert(entry);
    if entry.refused >= known.refused {
        *known = entry;
    }
}

fn revoked(one: Revocation) -> (String, Entry) {
    (one.session_id, Entry { refused: Refused::All, until: until(one.expires_at) })
}

fn stale(one: StaleTokens) -> (String, Entry) {
    (one.session_id, Entry { refused: Refused::Before(one.epoch), until: until(one.expires_at) })
}

/// Rounded up: until the whole second is over.
fn until(expires_at: Option<Timestamp>) -> i64 {
    expires_at.unwrap_or_default().seconds.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_that_lags_behind_makes_nothing_older() {
        let target = Target::new("http://127.0.0.1:1").unwrap();
        let revocations = Revocations::new();
        let mut follower = Follower::new(Arc::clone(&revocations), target, 0, Arc::new(|| 0));
        for (seconds, fresh) in [(20, 20), (10, 20), (21, 21)] {
            follower.beat(Timestamp { seconds, nanos: 0 });
            assert_eq!(revocations.fresh_as_of(), Some(fresh * 1000));
        }
    }
}
