//! The key set at an address, fetched when its `max-age` is over or a key is unknown.
//!
//! * An unknown `kid` has it fetched at once, but at most once in the cooldown, whatever the number of
//!   such tokens.
//! * One fetch is under way at a time, and everybody waits for that one.
//! * While it cannot be fetched, the keys that are known go on verifying.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL};
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::keys::{Key, Keys, read_set};

/// A longer key set is none of the service's: a wrong address, perhaps.
const MAX_SET_BYTES: usize = 1 << 20;
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(1);
const DEFAULT_MAX_AGE: u64 = 300;
const MAX_MAX_AGE: u64 = 3600;

/// What came of looking for a key.
#[derive(Debug)]
pub(crate) enum Found {
    Key(Arc<Key>),
    /// The set does not have it.
    Unknown,
    /// The set cannot be fetched, so it may have it.
    Unavailable,
}

/// The key set.
pub(crate) struct RemoteKeySet {
    url: Uri,
    cooldown: Duration,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    keys: RwLock<Keys>,
    /// Held while a fetch is under way.
    fetches: Mutex<Fetches>,
}

impl std::fmt::Debug for RemoteKeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteKeySet").field("url", &self.url).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Fetches {
    tried_at: Option<Instant>,
    stale_at: Option<Instant>,
    has_failed: bool,
    is_loaded: bool,
}

impl RemoteKeySet {
    /// A key set that was not fetched yet.
    pub(crate) fn new(url: Uri, cooldown: Duration) -> std::io::Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let (keys, fetches) = (RwLock::default(), Mutex::default());
        Ok(Self { url, cooldown, client, keys, fetches })
    }

    /// The key of that name, if it is known already.
    pub(crate) fn known(&self, kid: &str) -> Option<Arc<Key>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(kid).cloned()
    }

    /// Looks for a key that is not known, in the set as it is now.
    pub(crate) async fn look_for(&self, kid: &str) -> Found {
        let mut fetches = self.fetches.lock().await;
        // Perhaps somebody else's fetch has brought it while this one waited.
        if let Some(key) = self.known(kid) {
            return Found::Key(key);
        }
        let settled = fetches.is_loaded && !fetches.has_failed;
        let pause = if settled { self.cooldown } else { RETRY_AFTER_FAILURE };
        if fetches.tried_at.is_none_or(|tried_at| tried_at.elapsed() >= pause) {
            self.fetch(&mut fetches).await;
        }
        match self.known(kid) {
            Some(key) => Found::Key(key),
            None if fetches.has_failed || !fetches.is_loaded => Found::Unavailable,
            None => Found::Unknown,
        }
    }

    /// Fetches the set each time its `max-age` is over, for ever.
    pub(crate) async fn keep_fresh(&self) {
        loop {
            let mut fetches = self.fetches.lock().await;
            let now = Instant::now();
            if fetches.stale_at.is_none_or(|stale_at| stale_at <= now) {
                self.fetch(&mut fetches).await;
            }
            let next = fetches.stale_at.filter(|_| !fetches.has_failed);
            drop(fetches);
            let soon = Instant::now() + RETRY_AFTER_FAILURE;
            tokio::time::sleep_until(next.unwrap_or(soon).max(soon)).await;
        }
    }

    async fn fetch(&self, fetches: &mut Fetches) {
        fetches.tried_at = Some(Instant::now());
        if let Ok(Some((keys, max_age))) = timeout(FETCH_TIMEOUT, self.get()).await {
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
            fetches.stale_at = Some(Instant::now() + max_age);
            (fetches.is_loaded, fetches.has_failed) = (true, false);
            return;
        }
        if !fetches.has_failed {
            tracing::warn!(url = %self.url, "the key set cannot be fetched");
        }
        fetches.has_failed = true;
    }

    async fn get(&self) -> Option<(Keys, Duration)> {
        let request = Request::get(self.url.clone()).header(ACCEPT, "application/json");
        let response = self.client.request(request.body(Empty::new()).ok()?).await.ok()?;
        if !response.status().is_success() {
            return None;
        }
        let said = response.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok());
        let max_age = said.and_then(max_age).unwrap_or(DEFAULT_MAX_AGE).clamp(1, MAX_MAX_AGE);
        let body = Limited::new(response.into_body(), MAX_SET_BYTES).collect().await.ok()?;
        let set = serde_json::from_slice(&body.to_bytes()).ok()?;
        Some((read_set(&set)?, Duration::from_secs(max_age)))
    }
}

fn max_age(cache_control: &str) -> Option<u64> {
    let directives = cache_control.split(',').map(str::trim);
    directives.filter_map(|one| one.strip_prefix("max-age=")).find_map(|age| age.parse().ok())
}
