//! Notifications through Redis or a compatible server, for databases without notifications of their
//! own.
//!
//! A message has no content. If Redis fails, nothing is lost, and Redis never sees a secret.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError};
use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;

use super::StoreError;
use super::notifier::{CHANNEL, Notifier};
use super::strict_url::{StrictUrl, UrlError, read_url_file};

/// The time limit for a connection and for an answer. A higher value delays the next attempt after
/// a failure.
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(2);
/// What to do about a refused login.
const CORRECT_URL: &str = "correct REDIS_URL, or the file of REDIS_URL_FILE, which is read again";
/// If nothing was received for this long, the server is pinged.
const SILENCE: Duration = Duration::from_secs(10);

/// The address of Redis: `redis://…` or `rediss://…`. It may hold a password, so it does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// Returns an error if the URL is malformed, or if a password in it is not percent-encoded.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let is_socket = url.starts_with("unix:") || url.starts_with("redis+unix:");
        if !is_socket {
            StrictUrl::parse(url, &["redis", "rediss"])?;
        }
        Client::open(url).map_err(|_| UrlError::Malformed)?;
        Ok(Self(url.to_owned()))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl(…)")
    }
}

/// Notifications through a Redis.
pub struct RedisSignal {
    /// The file that holds the URL. It is read again before each connection and while listening.
    url_file: Option<PathBuf>,
    state: Mutex<State>,
}

struct State {
    url: RedisUrl,
    client: Client,
    publisher: Option<MultiplexedConnection>,
}

impl fmt::Debug for RedisSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisSignal")
    }
}

impl RedisSignal {
    /// Uses the Redis at that URL, which need not be running yet. With a file, its content replaces
    /// the URL when it changes.
    ///
    /// # Errors
    /// Returns [`StoreError::Unavailable`] if the URL is invalid, which [`RedisUrl::parse`] rules
    /// out.
    pub fn new(url: &RedisUrl, url_file: Option<PathBuf>) -> Result<Self, StoreError> {
        // The text of this error could quote the URL.
        let invalid = |_| StoreError::Unavailable("the Redis URL is invalid".into());
        let client = Client::open(url.0.as_str()).map_err(invalid)?;
        let state = State { url: url.clone(), client, publisher: None };
        Ok(Self { url_file, state: Mutex::new(state) })
    }

    async fn publisher(&self) -> Result<MultiplexedConnection, StoreError> {
        let file = self.read_file().await;
        let mut state = self.state.lock().await;
        state.adopt(file);
        if let Some(connection) = &state.publisher {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(NOTIFY_TIMEOUT))
            .set_response_timeout(Some(NOTIFY_TIMEOUT));
        let opening = state.client.get_multiplexed_async_connection_with_config(&config);
        let connection = opening.await.map_err(|error| failed(&place(&state.client), &error))?;
        Ok(state.publisher.insert(connection).clone())
    }

    /// Returns the client for the current URL, and the URL.
    async fn current(&self) -> (Client, RedisUrl) {
        let file = self.read_file().await;
        let mut state = self.state.lock().await;
        state.adopt(file);
        (state.client.clone(), state.url.clone())
    }

    /// Reads the URL's file. `None` if there is none, or if it cannot be used now.
    async fn read_file(&self) -> Option<RedisUrl> {
        let path = self.url_file.clone()?;
        let read = tokio::task::spawn_blocking(move || read_url_file(&path)).await;
        RedisUrl::parse(&read.ok()?.ok()?).ok()
    }

    async fn subscribe(&self, client: &Client) -> Result<PubSub, StoreError> {
        let subscribing = async {
            let mut pubsub = client.get_async_pubsub().await?;
            pubsub.subscribe(CHANNEL).await?;
            Ok::<_, RedisError>(pubsub)
        };
        timeout(NOTIFY_TIMEOUT, subscribing)
            .await
            .map_err(|_| silent(&place(client)))?
            .map_err(|error| failed(&place(client), &error))
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
        let Err(error) = published else { return Ok(()) };
        let mut state = self.state.lock().await;
        // The next notification opens a new connection.
        state.publisher = None;
        Err(failed(&place(&state.client), &error))
    }

    async fn listen(&self, heard: &Notify) -> Result<(), StoreError> {
        let (client, url) = self.current().await;
        let (mut sink, mut stream) = self.subscribe(&client).await?.split();
        heard.notify_one();
        loop {
            match timeout(SILENCE, stream.next()).await {
                Ok(Some(_)) => heard.notify_one(),
                Ok(None) => return Err(StoreError::Unavailable("the connection was lost".into())),
                Err(_) => {
                    if self.current().await.1 != url {
                        return Err(StoreError::Unavailable("Redis: the URL has changed".into()));
                    }
                    // Without this ping, a server that vanished silently would leave us listening
                    // for ever.
                    timeout(NOTIFY_TIMEOUT, sink.ping::<redis::Value>())
                        .await
                        .map_err(|_| silent(&place(&client)))?
                        .map(drop)
                        .map_err(|error| failed(&place(&client), &error))?;
                }
            }
        }
    }
}

impl State {
    /// Uses another URL from now on.
    fn adopt(&mut self, url: Option<RedisUrl>) {
        let Some(url) = url.filter(|url| *url != self.url) else { return };
        if let Ok(client) = Client::open(url.0.as_str()) {
            tracing::info!("the Redis URL has changed and is in use");
            *self = Self { url, client, publisher: None };
        }
    }
}

fn silent(place: &str) -> StoreError {
    StoreError::Unavailable(format!("Redis at {place}: no answer in time"))
}

/// Returns the server that a client connects to, without credentials.
fn place(client: &Client) -> String {
    client.get_connection_info().addr().to_string()
}

/// Says what failed and what to do. The server's own text is left out: an old Redis quotes the
/// command that it does not know, which may be the login with its password.
fn failed(place: &str, error: &RedisError) -> StoreError {
    let (cause, remedy) = match (error.kind(), error.code()) {
        (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS")) => {
            ("wrong user or password".into(), CORRECT_URL)
        }
        (_, Some("NOAUTH")) => ("it asks for a password".into(), CORRECT_URL),
        (_, Some("NOPERM")) => (
            "the user may not publish or subscribe".into(),
            "allow it PUBLISH and SUBSCRIBE on the channel token_authority_revocations",
        ),
        (ErrorKind::Io, _) => (error.to_string(), "check that it runs and can be reached"),
        (kind, code) => (format!("{kind:?} {}", code.unwrap_or_default()), "see its log"),
    };
    StoreError::Unavailable(format!("Redis at {place}: {cause}; {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_checked_and_does_not_print() {
        let url = RedisUrl::parse("rediss://user:hunter2@h:6380/0").unwrap();
        assert!(!format!("{url:?}").contains("hunter2"));
        assert_eq!(RedisUrl::parse("http://h").unwrap_err(), UrlError::Scheme);
        for raw in ["redis://:a#b@h", "redis://:a/b@h:6379", "rediss://u:a@b@h", "redis://:p%@h"] {
            assert_eq!(RedisUrl::parse(raw).unwrap_err(), UrlError::PercentEncode, "{raw}");
        }
    }
}
