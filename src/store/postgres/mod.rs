//! Sessions in Postgres, or in what speaks its protocol.
//!
//! Nothing is required that poolers and distributed databases lack: no advisory lock, sequence,
//! notification or session setting. The database need not be there when [`connect`] is called.
//!
//! * [`settings`](Options): the URL and the limits
//! * `link`: the pool, and whether a transaction pooler is in between
//! * `sql`, `statements`: what is sent
//! * `rows`: [`Rows`](super::Rows)
//! * `inspect`: [`Inspect`](super::Inspect)
//! * `migrate`: the schema
//! * `error`: what a failure means

mod error;
mod inspect;
mod link;
mod migrate;
mod rows;
mod settings;
mod sql;
mod statements;

use std::sync::Arc;

pub use settings::Options;

use super::url::InvalidUrl;

/// Sessions in a Postgres.
#[derive(Debug)]
pub struct PgRows {
    link: link::Link,
}

impl PgRows {
    /// Whether a transaction pooler is between this service and the database, so that nothing can
    /// be kept that belongs to a connection, such as a `LISTEN`. Known from the first successful
    /// operation on; before, only if the URL says so.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.link.is_pooled()
    }
}

/// Sessions in the Postgres that `options` name. Connects at the first operation, so a database
/// that is down fails that one and not its caller's start.
///
/// # Errors
/// Where the URL is malformed.
pub fn connect(options: Options) -> Result<Arc<PgRows>, InvalidUrl> {
    let (connect, pooled) = settings::read(&options.url)?;
    Ok(Arc::new(PgRows { link: link::Link::new(options, connect, pooled) }))
}
