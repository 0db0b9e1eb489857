//! Rules of the real code, broken on purpose: by a setting, or by an adapter between the store and its
//! database. Nothing in `src/` knows of this. The tests check that each makes the numbers move.

use std::time::Duration;

use token_authority::token::rotation::Policy;

/// A broken rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Plant {
    /// None: the real rules.
    Nothing,
    /// The concurrency window is zero.
    NoWindow,
    /// Receipts are never stored.
    NoReceipts,
    /// An access token proves its receipt as soon as it is used.
    EarlyReceipts,
    /// The token that a change sets aside is forgotten.
    NothingSetAside,
    /// The window counts from the rotation, not from the last hand-out.
    WindowFromRotation,
    /// A theft is refused, but the session is not revoked.
    NoRevocation,
    /// Every answer sets the cookie, also an unchanged one.
    CookieAlways,
}

impl Plant {
    /// Returns the rules by which the store judges.
    pub(crate) fn policy(self, real: Policy) -> Policy {
        match self {
            Self::NoWindow => Policy { window: Duration::ZERO, ..real },
            _ => real,
        }
    }

    /// Returns the rules by which the authority takes an access token for a receipt.
    pub(crate) fn policy_for_receipts(self, real: Policy) -> Policy {
        match self {
            Self::EarlyReceipts => Policy { window: Duration::ZERO, ..real },
            _ => real,
        }
    }

    /// Returns whether every answer sets the cookie.
    pub(crate) fn stores_always(self) -> bool {
        self == Self::CookieAlways
    }
}
