//! Load: a number of requests in flight for some time, or a number of requests per second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use hdrhistogram::Histogram;
use serde::Serialize;

/// The result of a turn.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    /// Successful requests per second. Failed requests do not count.
    pub(crate) per_second: f64,
    /// Latencies in microseconds.
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    /// Requests that failed.
    pub(crate) failed: u64,
}

/// One request in flight at a time: it makes one request after another. `Err` says why one failed.
pub(crate) type Place = Box<dyn FnMut() -> BoxFuture<'static, Result<(), String>> + Send>;

/// Keeps every place busy for that long.
pub(crate) async fn closed(places: Vec<Place>, turn: Duration) -> Sample {
    let end = Instant::now() + turn;
    let begun = Instant::now();
    let tasks: Vec<_> =
        places.into_iter().map(|place| tokio::spawn(keep_busy(place, end))).collect();
    let mut all = Histogram::<u64>::new(3).unwrap();
    let mut failed = 0;
    for task in tasks {
        let (latencies, failures) = task.await.unwrap();
        all.add(latencies).unwrap();
        failed += failures;
    }
    summarise(&all, failed, begun.elapsed())
}

async fn keep_busy(mut place: Place, end: Instant) -> (Histogram<u64>, u64) {
    let mut latencies = Histogram::<u64>::new(3).unwrap();
    let mut failed = 0;
    while Instant::now() < end {
        let begun = Instant::now();
        match place().await {
            Ok(()) => latencies.record(micros(begun.elapsed())).unwrap(),
            Err(why) => {
                if failed == 0 {
                    println!("    a request failed: {why}");
                }
                failed += 1;
            }
        }
    }
    (latencies, failed)
}

/// Offers `rate` requests per second, whether they succeed or not. Latency counts from the moment a
/// request was due, so that a stalled server cannot hide its queue.
pub(crate) async fn open<F>(rate: f64, turn: Duration, request: F) -> Sample
where
    F: Fn(u64) -> BoxFuture<'static, Result<(), String>>,
{
    let begun = Instant::now();
    let total = (rate * turn.as_secs_f64()) as u64;
    let outcomes = Arc::new(std::sync::Mutex::new((Histogram::<u64>::new(3).unwrap(), 0)));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..total {
        let due = begun + Duration::from_secs_f64(n as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        let (request, outcomes) = (request(n), Arc::clone(&outcomes));
        tasks.spawn(async move {
            let outcome = request.await;
            let mut outcomes = outcomes.lock().unwrap();
            match outcome {
                Ok(()) => outcomes.0.record(micros(due.elapsed())).unwrap(),
                Err(_) => outcomes.1 += 1,
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    let outcomes = outcomes.lock().unwrap();
    summarise(&outcomes.0, outcomes.1, begun.elapsed())
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap().max(1)
}

fn summarise(latencies: &Histogram<u64>, failed: u64, elapsed: Duration) -> Sample {
    Sample {
        per_second: latencies.len() as f64 / elapsed.as_secs_f64(),
        p50: latencies.value_at_quantile(0.5),
        p99: latencies.value_at_quantile(0.99),
        failed,
    }
}

/// Returns the median sample by throughput, with the failures of all samples.
pub(crate) fn median(samples: &[Sample]) -> Sample {
    let mut sorted = samples.to_vec();
    sorted.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    let mut middle = sorted[sorted.len() / 2].clone();
    let mut p99: Vec<_> = samples.iter().map(|sample| sample.p99).collect();
    p99.sort_unstable();
    middle.p99 = p99[p99.len() / 2];
    middle.failed = samples.iter().map(|sample| sample.failed).sum();
    middle
}
