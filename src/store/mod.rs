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
//! a [`signal`] through Postgres or Redis only makes them look at once.

mod change;
pub mod coalesce;
mod columns;
pub mod figures;
pub mod inspect;
pub mod keys;
mod lease;
pub mod legacy;
mod lineages;
mod migrations;
pub mod postgres;
pub mod redis;
pub mod rollouts;
pub mod rows;
pub mod sessions;
pub mod signal;
mod span;
pub mod sqlite;
pub mod url;

use crate::clock::Timestamp;
use crate::token::id::{SessionId, UserId};
use crate::token::refresh::RefreshToken;
use crate::token::rollout::Rollout;
use crate::token::rotation::{Candidate, Verdict};
use crate::token::seal::Sealed;
use crate::token::session::{RevocationReason, Session};

pub use figures::Figures;
pub use inspect::Inspect;
pub use keys::KeyRows;
pub use legacy::{LegacyRows, LegacySessions};
pub use rollouts::{RolloutChange, Rollouts};
pub use rows::Rows;
pub use sessions::Store;
pub use signal::Signal;
pub use span::System;

/// Why an operation failed. Nothing of it took effect, unless the database's answer was lost:
/// every operation may be retried.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, or did not answer in time.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// Another transaction holds a row of this operation, and did not let go in time.
    #[error("another transaction holds a session's row")]
    Held,
    /// More operations wait than may.
    #[error("too many operations wait for the database")]
    Overloaded,
    /// The database refused this operation's data, or holds what this version cannot read.
    #[error("the database and this version disagree: {0}")]
    Inconsistent(String),
}

impl StoreError {
    /// Its kind in one word.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Held => "held",
            Self::Overloaded => "overloaded",
            Self::Inconsistent(_) => "inconsistent",
        }
    }
}

/// A login to be stored.
#[derive(Debug, Clone)]
pub struct Open {
    /// The session, its first refresh token being the current one.
    pub session: Session,
    /// Under which a retry finds it again.
    pub request: Option<OpenRequest>,
}

/// A login's first tokens, for its retries.
#[derive(Debug, Clone)]
pub struct OpenRequest {
    /// A hash of the request's id, caller and user: 64 hex digits, unique.
    pub key: String,
    /// The tokens, which the request's id opens.
    pub sealed: Sealed,
}

/// What became of a login.
#[derive(Debug)]
pub enum Opened {
    /// It is stored.
    New,
    /// It was stored before; nothing was stored now.
    Before(Box<OpenedBefore>),
}

/// An earlier login under the same request.
#[derive(Debug)]
pub struct OpenedBefore {
    /// Its session as it stands now.
    pub session: Session,
    /// Its first tokens. `None`: they are kept no longer.
    pub sealed: Option<Sealed>,
}

/// A refresh token presented.
#[derive(Debug, Clone)]
pub struct Refresh {
    /// The token.
    pub presented: RefreshToken,
    /// The random bytes for its successor, should it need one.
    pub candidate: Candidate,
    /// When it was presented.
    pub now: Timestamp,
    /// Who is given which kind of access token now.
    pub rollout: Rollout,
}

/// What became of a presented refresh token.
#[derive(Debug)]
pub struct Refreshed {
    /// The verdict, which took effect.
    pub verdict: Verdict,
    /// The session after it. `None`: there is no such session.
    pub session: Option<Session>,
    /// The token to hold from now on. `None`: none.
    pub token: Option<RefreshToken>,
}

/// An access token seen in use, which proves that the reply that carried it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Proof {
    /// The token's session.
    pub session_id: SessionId,
    /// The generation of the refresh token that it was minted beside.
    pub generation: crate::token::id::Generation,
    /// When it was seen.
    pub seen_at: Timestamp,
}

/// Which sessions to end.
#[derive(Debug, Clone)]
pub enum Revoke {
    /// The session that this token was minted for, if its MAC is right.
    ByToken(RefreshToken),
    /// The session of an access token whose holder revokes it.
    OfToken(SessionId),
    /// The session of that id.
    Session(SessionId),
    /// All of the user's, but for one.
    User {
        /// The user.
        user_id: UserId,
        /// The session to keep.
        except: Option<SessionId>,
    },
}

impl Revoke {
    /// The reason that goes with it.
    #[must_use]
    pub const fn reason(&self) -> RevocationReason {
        match self {
            Self::ByToken(_) | Self::OfToken(_) => RevocationReason::Logout,
            Self::Session(_) => RevocationReason::Admin,
            Self::User { .. } => RevocationReason::User,
        }
    }
}
