//! Sessions in Postgres, or in what speaks its protocol.
//!
//! Nothing is required that poolers and distributed databases lack: no advisory lock, sequence,
//! notification or session setting. The database need not be there when [`connect`] is called.
//!
//! * [`settings`](Options): the URL and the limits
//! * `client`: the pool, and whether a pooler is in between
//! * `sql`, `statements`: what is sent
//! * `rows`: [`Rows`](super::Rows)
//! * `feed`: reading the revocation feed
//! * `signal`: telling other replicas of it at once, where the database can
//! * `rollouts`: [`Rollouts`](super::Rollouts) and [`Figures`](super::Figures)
//! * `inspect`: [`Inspect`](super::Inspect)
//! * `keys`: [`KeyRows`](super::KeyRows)
//! * `legacy`: [`LegacyRows`](super::LegacyRows)
//! * `migrate`: the schema
//! * `error`: what a failure means

mod client;
mod error;
mod feed;
mod inspect;
mod keys;
mod legacy;
mod migrate;
mod notifier;
mod rollouts;
mod rows;
mod settings;
mod sql;
mod statements;

use std::sync::Arc;

pub use settings::{MalformedUrl, Options};

/// Sessions in a Postgres.
#[derive(Debug)]
pub struct PgRows {
    client: client::Client,
    feed: feed::Reading,
}

impl PgRows {
    /// Whether a pooler is between this service and the database, so that nothing can be kept that
    /// belongs to a connection, such as a `LISTEN`. One that pools sessions counts, too: it looks
    /// the same at first. Known from the first successful operation on; before, only if the URL
    /// says so.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.client.is_pooled()
    }
}

/// Whether that is a URL of a Postgres.
///
/// # Errors
/// Where it is malformed.
pub fn check_url(url: &str) -> Result<(), MalformedUrl> {
    settings::read(url).map(drop)
}

/// Sessions in the Postgres that `options` name. Connects at the first operation, so a database
/// that is down fails that one and not its caller's start.
///
/// # Errors
/// Where the URL is malformed.
pub fn connect(options: Options) -> Result<Arc<PgRows>, MalformedUrl> {
    let (connect, pooled) = settings::read(&options.url)?;
    let client = client::Client::new(options, connect, pooled);
    Ok(Arc::new(PgRows { client, feed: feed::Reading::default() }))
}
