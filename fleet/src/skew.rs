//! The clocks of the replicas. Those of the common replicas differ a little, which the documented bounds
//! allow.

use std::time::Duration;

use token_authority::clock::Timestamp;

use crate::group::{APART, COMMON_REPLICAS, Excess};
use crate::settings::CLOCKS_DIFFER;

/// How far a replica's clock is ahead or behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skew {
    Ahead(Duration),
    Behind(Duration),
}

impl Skew {
    /// Returns the time that the clock shows.
    pub(crate) fn shown(self, at: Timestamp) -> Timestamp {
        match self {
            Self::Ahead(by) => at + by,
            Self::Behind(by) => at - by,
        }
    }
}

/// Returns the skew of a replica.
pub(crate) fn skew_of(replica: usize) -> Skew {
    match replica.checked_sub(COMMON_REPLICAS) {
        None if replica == 1 => Skew::Ahead(CLOCKS_DIFFER / 2),
        None if replica == 2 => Skew::Behind(CLOCKS_DIFFER / 2),
        None => Skew::Ahead(Duration::ZERO),
        Some(apart) => match APART[apart / 2] {
            Excess::Clocks(differ) if apart % 2 == 0 => Skew::Ahead(differ / 2),
            Excess::Clocks(differ) => Skew::Behind(differ / 2),
            _ => Skew::Ahead(Duration::ZERO),
        },
    }
}
