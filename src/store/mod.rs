//! Sessions that outlast the process: whole operations over rows that a database keeps.
//!
//! [`Store`] is what the authority sees. Each of its operations is atomic and durable before it
//! answers: a refresh is judged and takes effect as one step, and of two at once on one session
//! the second sees the first. Concurrent operations are coalesced into few statements
//! ([`coalesce`]); an operation that nobody else accompanies waits for nobody.
//!
//! [`Rows`] is what a database has to offer: multi-row statements that write each row on a
//! condition, written once for each kind ([`postgres`], [`sqlite`]) and held to one conformance
//! suite (`tests/store`).
//!
//! Every revocation is added to a feed in the very step that makes it. Replicas follow the feed;
//! a [`notifier`] through Postgres or Redis only makes them look at once.

mod change;
pub mod coalesce;
mod columns;
mod connections;
mod error;
pub mod figures;
pub mod inspect;
pub mod keys;
pub mod legacy;
mod lineages;
mod migrations;
pub mod notifier;
mod operations;
pub mod postgres;
pub mod redis;
pub mod rollouts;
pub mod rows;
pub mod sessions;
mod span;
pub mod sqlite;
pub mod url;

pub use error::StoreError;
pub use figures::Figures;
pub use inspect::Inspect;
pub use keys::KeyRows;
pub use legacy::{LegacyRows, LegacySessions};
pub use notifier::Notifier;
pub use operations::{
    Open, OpenRequest, Opened, OpenedBefore, Receipt, Refresh, Refreshed, Revoke,
};
pub use rollouts::{RolloutChange, Rollouts};
pub use rows::Rows;
pub use sessions::Store;
pub use span::System;
