//! An adapter between the store and its database that fails like a database that fails over, and that can
//! break a rule on purpose.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use token_authority::clock::Timestamp;
use token_authority::store::rows::{CompareAndSwap, Row};
use token_authority::store::{Rows, StoreError};
use token_authority::token::id::{Generation, SessionId};
use token_authority::token::session::Session;
use tokio::sync::watch;

use crate::plant::Plant;
use crate::world::Database as State;

/// A database whose failures are planned, as one replica sees it.
#[derive(Debug)]
pub(crate) struct Database {
    pub(super) inner: Arc<dyn Rows>,
    pub(super) plant: Plant,
    /// How many seconds of commits a failover loses here.
    loses: Option<u64>,
    state: AtomicU8,
    memory: Arc<Memory>,
    /// How many receipts this replica has stored, or lost.
    receipts: watch::Sender<u64>,
}

/// What the adapters of all replicas share.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The sessions as they were before commits that will be lost.
    before: Mutex<HashMap<u64, HashMap<SessionId, Session>>>,
    /// The first hand-out of each session's current token, for a planted rule.
    handed_out: Mutex<HashMap<SessionId, (Generation, Timestamp)>>,
}

const UP: u8 = 0;
const ANSWERS_LOST: u8 = 1;
const DOWN: u8 = 2;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Database {
    pub(crate) fn new(
        inner: Arc<dyn Rows>,
        plant: Plant,
        loses: Option<u64>,
        memory: Arc<Memory>,
    ) -> Self {
        let (state, receipts) = (AtomicU8::new(UP), watch::Sender::new(0));
        Self { inner, plant, loses, state, memory, receipts }
    }

    pub(crate) fn set(&self, state: State) {
        let state = match state {
            State::Up => UP,
            State::AnswersLost => ANSWERS_LOST,
            State::Down => DOWN,
        };
        self.state.store(state, Ordering::Relaxed);
    }

    /// Begins to remember the state before the commits that will be lost.
    pub(crate) fn remember(&self, seconds: u64) {
        if self.loses == Some(seconds) {
            lock(&self.memory.before).insert(seconds, HashMap::new());
        }
    }

    /// Loses the commits since then.
    pub(crate) async fn forget(&self, seconds: u64) {
        if self.loses != Some(seconds) {
            return;
        }
        let before = lock(&self.memory.before).remove(&seconds).unwrap_or_default();
        for (id, session) in before {
            let row = self.inner.load(&[id]).await.unwrap().pop().flatten();
            let Some(Row { revision, .. }) = row else { continue };
            let (revocation, events) = (None, Vec::new());
            let swap =
                CompareAndSwap { session, revision, grant_changed: false, revocation, events };
            assert_eq!(self.inner.swap(&[swap]).await.unwrap(), [true]);
        }
    }

    /// Notes the state of sessions before a write.
    pub(super) async fn note(&self, ids: &[SessionId]) -> Result<(), StoreError> {
        let Some(loses) = self.loses else { return Ok(()) };
        if !lock(&self.memory.before).contains_key(&loses) {
            return Ok(());
        }
        let rows = self.inner.load(ids).await?;
        if let Some(before) = lock(&self.memory.before).get_mut(&loses) {
            for Row { session, .. } in rows.into_iter().flatten() {
                before.entry(session.id).or_insert(session);
            }
        }
        Ok(())
    }

    /// Counts receipts that were stored or lost.
    pub(super) fn count_receipts(&self, receipts: usize) {
        self.receipts.send_modify(|count| *count += receipts as u64);
    }

    /// Waits until that many receipts were stored or lost. Without this, a receipt could be stored after
    /// a later request was decided, and two runs would differ.
    pub(crate) async fn receipts(&self, count: u64) {
        let _ = self.receipts.subscribe().wait_for(|stored| *stored >= count).await;
    }

    /// Fails if the database is down.
    pub(super) fn reach(&self) -> Result<(), StoreError> {
        match self.state.load(Ordering::Relaxed) {
            DOWN => Err(StoreError::Unavailable("the fleet's database is down".into())),
            _ => Ok(()),
        }
    }

    /// Loses the answer to a write that was committed.
    pub(super) fn committed<T>(&self, answer: T) -> Result<T, StoreError> {
        match self.state.load(Ordering::Relaxed) {
            UP => Ok(answer),
            _ => Err(StoreError::Unavailable("the answer to a commit was lost".into())),
        }
    }

    /// Breaks the planted rule in what is read.
    pub(super) fn break_loaded(&self, row: &mut Row) {
        if self.plant == Plant::NothingSetAside {
            row.session.lineage.set_aside = None;
        }
    }

    /// Breaks the planted rule in what is written.
    pub(super) fn break_swap(&self, swap: &mut CompareAndSwap) {
        match self.plant {
            Plant::NoRevocation => {
                swap.session.revoked = None;
                swap.revocation = None;
            }
            Plant::WindowFromRotation => self.keep_first_hand_out(&mut swap.session),
            _ => {}
        }
    }

    /// Sets the hand-out of a session's current token back to the first one.
    pub(super) fn keep_first_hand_out(&self, session: &mut Session) {
        if self.plant != Plant::WindowFromRotation {
            return;
        }
        let lineage = &mut session.lineage;
        let now = (lineage.generation, lineage.handed_out_at);
        let mut handed_out = lock(&self.memory.handed_out);
        let first = handed_out.entry(session.id).or_insert(now);
        if first.0 == lineage.generation {
            lineage.handed_out_at = first.1;
        } else {
            *first = now;
        }
    }
}
