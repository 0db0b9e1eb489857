//! How a connection ends, other than by its client.
//!
//! * The service stops: the connection finishes its requests.
//! * It has reached its maximum age: it finishes its requests, and long streams end, so that the
//!   client connects to another replica.
//! * The table needs its place, or the client does not read an answer: it ends at once.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures::future::Either;
use hyper_util::server::graceful::GracefulConnection;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::Connection;

/// How long a connection that must end at once may take to notify its client.
const FAREWELL: Duration = Duration::from_millis(100);

/// How long a retired connection may take for its last requests, in addition to the timeout of a
/// request.
const RETIREMENT: Duration = Duration::from_secs(5);

/// A connection's lifetime.
#[derive(Debug)]
pub(super) struct Lifetime {
    connection: Arc<Connection>,
    max_age: Option<Duration>,
    request_timeout: Duration,
    stop: CancellationToken,
}

impl Lifetime {
    pub(super) fn new(
        connection: &Arc<Connection>,
        max_age: Option<Duration>,
        request_timeout: Duration,
        stop: CancellationToken,
    ) -> Self {
        let connection = Arc::clone(connection);
        let max_age = max_age.map(|age| spread(age, connection.number));
        Self { connection, max_age, request_timeout, stop }
    }

    pub(super) const fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Serves a connection to its end.
    pub(super) async fn run<C>(self, served: C)
    where
        C: GracefulConnection<Error = Box<dyn Error + Send + Sync>>,
    {
        tokio::pin!(served);
        // A client has from one to two periods to read an answer.
        let mut periods = tokio::time::interval(self.request_timeout);
        let retires = self.max_age.map_or(Either::Right(std::future::pending()), |age| {
            Either::Left(tokio::time::sleep(age))
        });
        tokio::pin!(retires);
        let mut ends_at = None;
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                ended = served.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(error, "a connection ended");
                    }
                    return;
                }
                () = self.connection.closing().cancelled() => break,
                () = until(ends_at), if ends_at.is_some() => return,
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    served.as_mut().graceful_shutdown();
                }
                () = retires.as_mut(), if ends_at.is_none() && !stopping => {
                    served.as_mut().graceful_shutdown();
                    self.connection.retiring().cancel();
                    ends_at = Some(Instant::now() + self.request_timeout + RETIREMENT);
                }
                _ = periods.tick() => {
                    if self.connection.next_period() {
                        tracing::debug!("a connection does not read its answers");
                        return;
                    }
                }
            }
        }
        served.as_mut().graceful_shutdown();
        // The descriptor is needed: a client that does not read the farewell cannot hold it.
        let _ = tokio::time::timeout(FAREWELL, served).await;
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// Varies an age by up to a tenth in both directions. If all clients of a replica reconnected at once,
/// they would meet at the next one. Multiples of the golden ratio are spread evenly.
fn spread(age: Duration, number: u64) -> Duration {
    let share = u32::try_from(number % 1000 * 618 % 1000).unwrap_or_default();
    age * (900 + share / 5) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_differ_by_a_tenth_at_most() {
        let ages: Vec<_> = (0..1000).map(|n| spread(Duration::from_mins(5), n)).collect();
        let (least, most) = (ages.iter().min().unwrap(), ages.iter().max().unwrap());
        assert!(*least >= Duration::from_secs(270) && *most <= Duration::from_secs(330));
        assert!(*most > *least + Duration::from_secs(55), "{least:?} to {most:?}");
    }
}
