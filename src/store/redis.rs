//! Notifications through Redis or a compatible server, for databases without notifications of their
//! own.
//!
//! A message has no content. If Redis fails, nothing is lost, and Redis never sees a secret.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, RedisError};
use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;

use super::StoreError;
use super::notifier::{CHANNEL, Notifier};

/// The time limit for a connection and for an answer. A higher value delays the next attempt after
/// a failure.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(2);
/// If nothing was received for this long, the server is pinged.
const SILENCE: Duration = Duration::from_secs(10);

/// The address of Redis: `redis://…` or `rediss://…`. It may hold a password, so it does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// Parses a URL. Returns `None` if it is invalid.
    #[must_use]
    pub fn parse(url: &str) -> Option<Self> {
        Client::open(url).is_ok().then(|| Self(url.to_owned()))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl(…)")
    }
}

/// Notifications through a Redis.
pub struct RedisSignal {
    client: Client,
    publisher: Mutex<Option<MultiplexedConnection>>,
}

impl fmt::Debug for RedisSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisSignal")
    }
}

impl RedisSignal {
    /// Uses the Redis at that URL, which need not be running yet.
    ///
    /// # Errors
    /// Returns [`StoreError::Unavailable`] if the URL is invalid, which [`RedisUrl::parse`] rules
    /// out.
    pub fn new(url: &RedisUrl) -> Result<Self, StoreError> {
        let client = Client::open(url.0.as_str()).map_err(|error| failed(&error))?;
        Ok(Self { client, publisher: Mutex::new(None) })
    }

    async fn publisher(&self) -> Result<MultiplexedConnection, StoreError> {
        let mut publisher = self.publisher.lock().await;
        if let Some(connection) = &*publisher {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(NOTIFY_TIMEOUT))
            .set_response_timeout(Some(NOTIFY_TIMEOUT));
        let opening = self.client.get_multiplexed_async_connection_with_config(&config);
        let connection = opening.await.map_err(|error| failed(&error))?;
        Ok(publisher.insert(connection).clone())
    }

    async fn subscribe(&self) -> Result<PubSub, StoreError> {
        let subscribing = async {
            let mut pubsub = self.client.get_async_pubsub().await?;
            pubsub.subscribe(CHANNEL).await?;
            Ok::<_, RedisError>(pubsub)
        };
        timeout(NOTIFY_TIMEOUT, subscribing)
            .await
            .map_err(|_| silent())?
            .map_err(|error| failed(&error))
    }
}

#[async_trait]
impl Notifier for RedisSignal {
    fn name(&self) -> &'static str {
        "redis"
    }

    async fn raise(&self) -> Result<(), StoreError> {
        let mut connection = self.publisher().await?;
        let command = redis::cmd("PUBLISH").arg(CHANNEL).arg("").to_owned();
        let published = command.query_async::<()>(&mut connection).await;
        if published.is_err() {
            // The next notification opens a new connection.
            *self.publisher.lock().await = None;
        }
        published.map_err(|error| failed(&error))
    }

    async fn listen(&self, heard: &Notify) -> Result<(), StoreError> {
        let (mut sink, mut stream) = self.subscribe().await?.split();
        heard.notify_one();
        loop {
            match timeout(SILENCE, stream.next()).await {
                Ok(Some(_)) => heard.notify_one(),
                Ok(None) => return Err(StoreError::Unavailable("the connection was lost".into())),
                // Without this ping, a server that vanished silently would leave us listening for
                // ever.
                Err(_) => timeout(NOTIFY_TIMEOUT, sink.ping::<redis::Value>())
                    .await
                    .map_err(|_| silent())?
                    .map(drop)
                    .map_err(|error| failed(&error))?,
            }
        }
    }
}

fn silent() -> StoreError {
    StoreError::Unavailable("Redis did not answer in time".into())
}

/// Keeps only the kind, because messages may quote the address.
fn failed(error: &RedisError) -> StoreError {
    StoreError::Unavailable(format!("Redis: {:?}", error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_checked_and_does_not_print() {
        let url = RedisUrl::parse("rediss://user:hunter2@h:6380/0").unwrap();
        assert!(!format!("{url:?}").contains("hunter2"));
        assert_eq!(RedisUrl::parse("http://h"), None);
        assert_eq!(RedisUrl::parse("redis://"), None);
    }
}
