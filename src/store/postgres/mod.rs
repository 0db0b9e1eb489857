//! Sessions in Postgres, or in a database with its protocol.
//!
//! Nothing is required that poolers and distributed databases lack: no advisory lock, sequence,
//! notification or session setting. The database need not be running when [`connect`] is called.
//!
//! * [`settings`](Options): the URL and the limits
//! * `target`: the servers that the URL names, and how a connection is opened
//! * `trust`: the certificates that a server's certificate is checked against
//! * `reload`: a URL from a file that changes
//! * `client`: the connections
//! * `probe`: the detection of a pooler, and the settings of a connection
//! * `sql`, `user_sql`, `statements`: the statements
//! * `rows`: [`Rows`](super::Rows)
//! * `bounded`: logins of users who may have a limited number of sessions
//! * `erasure`: the erasure of a user
//! * `feed`: reading the revocation feed
//! * `events`: [`EventRows`](super::EventRows)
//! * `notifier`: notifying other replicas, if the database supports it
//! * `rollouts`: [`Rollouts`](super::Rollouts) and [`Figures`](super::Figures)
//! * `inspect`: [`Inspect`](super::Inspect)
//! * `keys`: [`KeyRows`](super::KeyRows)
//! * `legacy`: [`LegacyRows`](super::LegacyRows)
//! * `migrate`: the schema
//! * `error`: the meaning of failures

mod bounded;
mod client;
mod erasure;
mod error;
mod events;
mod feed;
mod inspect;
mod invalid_url;
mod keys;
mod legacy;
mod migrate;
mod notifier;
mod probe;
mod reload;
mod rollouts;
mod rows;
mod settings;
mod sql;
mod statements;
mod target;
mod trust;
mod user_sql;
mod write_probe;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use invalid_url::InvalidPostgresUrl;
pub use settings::Options;

/// Sessions in a Postgres.
#[derive(Debug)]
pub struct PgRows {
    client: client::Client,
    feed: feed::Reading,
    /// Whether the token column of the legacy table has the type uuid.
    legacy_tokens_are_uuids: AtomicBool,
}

impl PgRows {
    /// Returns whether a pooler is between this service and the database, so that nothing may
    /// depend on a connection, such as a `LISTEN`. A session pooler counts as well, because it
    /// looks the same at first. Known after the first successful operation; before that, only if
    /// the URL says so.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.client.is_pooled()
    }
}

/// Checks that the text is a URL of a Postgres.
///
/// # Errors
/// Returns an error if the URL is malformed.
pub fn check_url(url: &str) -> Result<(), InvalidPostgresUrl> {
    settings::read(url).map(drop)
}

/// Returns the sessions in the Postgres that `options` name. It connects at the first operation, so
/// a database that is down does not prevent the start.
///
/// # Errors
/// Returns an error if the URL is malformed.
pub fn connect(options: Options) -> Result<Arc<PgRows>, InvalidPostgresUrl> {
    let client = client::Client::new(options)?;
    let feed = feed::Reading::default();
    Ok(Arc::new(PgRows { client, feed, legacy_tokens_are_uuids: AtomicBool::new(false) }))
}
