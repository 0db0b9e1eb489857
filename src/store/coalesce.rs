//! Coalescing: concurrent requests of many callers become one statement for the database.
//!
//! Each shard has one worker. When the worker is free, it takes *all* waiting requests. There is no
//! timer, so a lone request waits for no other request. Under load, a batch holds the requests that
//! arrived while the previous batch ran, and those that arrive during one yield to other tasks.
//! Measurements are in `docs/adr/0002-two-stores.md`.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::{mpsc, oneshot};

use super::StoreError;

/// The settings of a [`Coalescer`].
#[derive(Debug, Clone, Copy)]
pub struct ShardSettings {
    /// The number of batches that may run at the same time.
    pub shards: usize,
    /// The maximum number of requests in a batch.
    pub max_batch: usize,
    /// The maximum number of requests that may wait in a shard. Further requests are refused.
    pub waiting: usize,
    /// The time that a caller waits for its answer.
    pub timeout: Duration,
}

/// Counters of all shards together, and the length of their queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardFigures {
    /// The number of batches that were run.
    pub batches: u64,
    /// The number of requests in these batches.
    pub operations: u64,
    /// The number of requests that failed, in a batch or before they entered one.
    pub failures: u64,
    /// The number of requests that wait now.
    pub waiting: u64,
}

#[derive(Debug, Default)]
struct Tally {
    batches: AtomicU64,
    operations: AtomicU64,
    failures: AtomicU64,
}

struct Job<Q, A> {
    ask: Q,
    answer: oneshot::Sender<Result<A, StoreError>>,
}

/// Collects requests of one kind and runs them in batches.
pub struct Coalescer<Q, A> {
    shards: Vec<mpsc::Sender<Job<Q, A>>>,
    timeout: Duration,
    tally: Arc<Tally>,
}

impl<Q, A> fmt::Debug for Coalescer<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coalescer").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

impl<Q: Send + 'static, A: Send + 'static> Coalescer<Q, A> {
    /// Starts the shards. `run` executes a batch and returns one answer for each request, in order.
    pub fn start<F, R>(config: ShardSettings, run: F) -> Self
    where
        F: Fn(Vec<Q>) -> R + Send + Sync + 'static,
        R: Future<Output = Vec<Result<A, StoreError>>> + Send + 'static,
    {
        let run = Arc::new(run);
        let tally = Arc::new(Tally::default());
        let start_shard = |_| {
            let (sender, receiver) = mpsc::channel(config.waiting);
            tokio::spawn(work(receiver, config.max_batch, Arc::clone(&run), Arc::clone(&tally)));
            sender
        };
        let shards = (0..config.shards).map(start_shard).collect();
        Self { shards, timeout: config.timeout, tally }
    }

    /// Sends a request and waits for the answer. Requests with the same `key` go through the same
    /// shard, so two batches of this process never work on one row at the same time. If a caller
    /// stops waiting, the other requests of its batch go on.
    ///
    /// # Errors
    /// Returns the error of `run`, [`StoreError::Overloaded`] if the shard's queue is full, and
    /// [`StoreError::Unavailable`] if no answer came in time.
    pub async fn ask(&self, key: usize, ask: Q) -> Result<A, StoreError> {
        let answer = self.wait(key, ask).await;
        if answer.is_err() {
            self.tally.failures.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    async fn wait(&self, key: usize, ask: Q) -> Result<A, StoreError> {
        let (answer, answered) = oneshot::channel();
        let shard = &self.shards[key % self.shards.len()];
        shard.try_send(Job { ask, answer }).map_err(|_| StoreError::Overloaded)?;
        match tokio::time::timeout(self.timeout, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(StoreError::Inconsistent("a batch was abandoned".into())),
            Err(_) => Err(StoreError::Unavailable("no answer in time".into())),
        }
    }

    /// Returns the counters, and the number of requests that wait now.
    #[must_use]
    pub fn figures(&self) -> ShardFigures {
        let waiting: usize =
            self.shards.iter().map(|shard| shard.max_capacity() - shard.capacity()).sum();
        ShardFigures {
            batches: self.tally.batches.load(Ordering::Relaxed),
            operations: self.tally.operations.load(Ordering::Relaxed),
            failures: self.tally.failures.load(Ordering::Relaxed),
            waiting: u64::try_from(waiting).unwrap_or(u64::MAX),
        }
    }

    /// Sends a request without waiting for the answer. A full shard drops it, so use this only for
    /// requests that may be lost.
    pub fn hint(&self, key: usize, ask: Q) {
        let (answer, _) = oneshot::channel();
        let shard = &self.shards[key % self.shards.len()];
        // While the database is behind, dropping a hint is better than queueing it.
        let _ = shard.try_send(Job { ask, answer });
    }
}

async fn work<Q, A, F, R>(
    mut receiver: mpsc::Receiver<Job<Q, A>>,
    max_batch: usize,
    run: Arc<F>,
    tally: Arc<Tally>,
) where
    F: Fn(Vec<Q>) -> R,
    R: Future<Output = Vec<Result<A, StoreError>>>,
{
    let mut jobs = Vec::with_capacity(max_batch);
    let mut alone = false;
    while receiver.recv_many(&mut jobs, max_batch).await > 0 {
        // Requests come in bursts. Without this yield, the first request of a burst would run in a
        // batch by itself. The yield is skipped if the previous batch had one request: the runtime
        // wakes another thread for it, which would delay a lone request.
        if !alone {
            tokio::task::yield_now().await;
        }
        while jobs.len() < max_batch
            && let Ok(job) = receiver.try_recv()
        {
            jobs.push(job);
        }
        alone = jobs.len() == 1;
        let count = u64::try_from(jobs.len()).unwrap_or(u64::MAX);
        let (asks, answers): (Vec<_>, Vec<_>) =
            jobs.drain(..).map(|job| (job.ask, job.answer)).unzip();
        // A panic must not end the worker, because every later request of this shard would fail.
        // Dropping the answers reports the failure to this batch's callers.
        let results = AssertUnwindSafe(run(asks)).catch_unwind().await;
        // Count the batch after it ran, so that a counted hint has taken effect.
        tally.batches.fetch_add(1, Ordering::Relaxed);
        tally.operations.fetch_add(count, Ordering::Relaxed);
        if let Ok(results) = results {
            for (answer, result) in answers.into_iter().zip(results) {
                // The caller may have stopped waiting. Its neighbours still get their answers.
                let _ = answer.send(result);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    const SHARDS: ShardSettings =
        ShardSettings { shards: 1, max_batch: 10, waiting: 20, timeout: Duration::from_mins(1) };

    fn gated() -> (Arc<Semaphore>, Coalescer<u32, (u32, usize)>) {
        let gate = Arc::new(Semaphore::new(0));
        let inner = Arc::clone(&gate);
        let coalescer = Coalescer::start(SHARDS, move |batch: Vec<u32>| {
            let gate = Arc::clone(&inner);
            async move {
                gate.acquire().await.unwrap().forget();
                assert!(!batch.contains(&13), "thirteen");
                let size = batch.len();
                batch.into_iter().map(|n| Ok((n, size))).collect()
            }
        });
        (gate, coalescer)
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_requests_share_a_batch_and_answers_find_their_callers() {
        let (gate, coalescer) = gated();
        let first = coalescer.ask(0, 0);
        let rest = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            futures::future::join_all((1..=5).map(|n| coalescer.ask(0, n))).await
        };
        let open = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            gate.add_permits(9);
        };
        let (first, rest, ()) = tokio::join!(first, rest, open);
        assert_eq!(first.unwrap(), (0, 1));
        let rest: Vec<_> = rest.into_iter().map(Result::unwrap).collect();
        assert_eq!(rest, [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_one_batch() {
        let (gate, coalescer) = gated();
        gate.add_permits(9);
        let burst = futures::future::join_all((0..5).map(|n| coalescer.ask(0, n))).await;
        let burst: Vec<_> = burst.into_iter().map(Result::unwrap).collect();
        assert_eq!(burst, [(0, 5), (1, 5), (2, 5), (3, 5), (4, 5)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_leaves_does_not_stop_its_batch() {
        let (gate, coalescer) = gated();
        let leaving = tokio::time::timeout(Duration::from_millis(1), coalescer.ask(0, 1));
        let staying = coalescer.ask(0, 2);
        let open = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            gate.add_permits(9);
        };
        let (left, stayed, ()) = tokio::join!(leaving, staying, open);
        assert!(left.is_err());
        assert_eq!(stayed.unwrap().0, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_shard_and_a_slow_one_report_errors() {
        let (_gate, coalescer) = gated();
        let all = futures::future::join_all((0..40).map(|n| coalescer.ask(0, n))).await;
        let count = |overloaded: bool| {
            all.iter()
                .filter(|answer| match answer {
                    Err(StoreError::Overloaded) => overloaded,
                    Err(StoreError::Unavailable(_)) => !overloaded,
                    _ => false,
                })
                .count()
        };
        assert_eq!((count(true), count(false)), (20, 20));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_costs_one_batch_only() {
        let (gate, coalescer) = gated();
        gate.add_permits(9);
        assert!(matches!(coalescer.ask(0, 13).await, Err(StoreError::Inconsistent(_))));
        assert_eq!(coalescer.ask(0, 14).await.unwrap(), (14, 1));
    }
}
