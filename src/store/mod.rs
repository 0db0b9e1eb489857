//! Durable sessions: whole operations over rows in a database.
//!
//! [`Store`] is the authority's interface. Each operation is atomic, and durable before it returns.
//! A refresh is judged and applied in one step, and of two concurrent refreshes of one session the
//! second one sees the first. Concurrent operations are coalesced into few statements
//! ([`coalesce`]). A lone operation waits for no other one.
//!
//! [`Rows`] is the interface of a database: statements for many rows, with a condition for each
//! row. It is implemented for [`postgres`] and [`sqlite`], and one conformance suite tests both
//! (`tests/store`).
//!
//! Every revocation is added to a feed in the same statement that makes it. Replicas follow the
//! feed. A [`notifier`] through Postgres or Redis only makes them read it sooner.

mod batches;
mod bind;
mod change;
pub mod coalesce;
mod columns;
mod connections;
mod error;
pub mod events;
pub mod figures;
pub mod inspect;
pub mod keys;
pub mod legacy;
mod lineages;
mod logins;
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
pub mod strict_url;
pub mod url;
mod write_health;

pub use error::StoreError;
pub use events::{Audit, EventPosition, EventRows, EventsOf};
pub use figures::Figures;
pub use inspect::Inspect;
pub use keys::KeyRows;
pub use legacy::{LegacyRows, LegacySample, LegacySessions};
pub use notifier::Notifier;
pub use operations::{
    Bind, Bound, Ended, Open, OpenRequest, Opened, OpenedBefore, Receipt, Refresh, Refreshed,
    Revoke, Update, Updated,
};
pub use rollouts::{RolloutChange, Rollouts};
pub use rows::Rows;
pub use sessions::Store;
pub use span::System;
