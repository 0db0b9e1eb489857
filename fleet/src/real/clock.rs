//! A replica's clock. Each request carries its own time, so that requests of different moments may be
//! decided together and yet give the same table each time.

use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use token_authority::clock::{Clock, Timestamp};

use crate::skew::Skew;

tokio::task_local! {
    /// The true time of the request that runs.
    static REQUEST_AT: Timestamp;
    /// How often the request asked the database.
    static QUESTIONS: Cell<usize>;
}

/// The true time for everything that is no request. Clones show the same time.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrueTime(Arc<AtomicI64>);

impl TrueTime {
    pub(crate) fn set(&self, at: Timestamp) {
        self.0.store(at.as_micros(), Ordering::Relaxed);
    }
}

/// The clock of a replica.
#[derive(Debug, Clone)]
pub(crate) struct ReplicaClock {
    pub(crate) time: TrueTime,
    pub(crate) skew: Skew,
}

impl Clock for ReplicaClock {
    fn now(&self) -> Timestamp {
        let between = || Timestamp::from_micros(self.time.0.load(Ordering::Relaxed));
        self.skew.shown(REQUEST_AT.try_with(|at| *at).unwrap_or_else(|_| between()))
    }
}

/// Runs a request at its time.
pub(crate) async fn at<T>(moment: Timestamp, request: impl Future<Output = T>) -> T {
    REQUEST_AT.scope(moment, request).await
}

/// Runs a request, and returns how often it asked the database.
pub(crate) async fn counting_questions<T>(request: impl Future<Output = T>) -> (T, usize) {
    QUESTIONS
        .scope(Cell::new(0), async {
            let answer = request.await;
            (answer, QUESTIONS.with(Cell::get))
        })
        .await
}

/// Counts that the running request asks the database.
pub(crate) fn count_question() {
    // Other requests are not counted.
    let _ = QUESTIONS.try_with(|questions| questions.set(questions.get() + 1));
}
