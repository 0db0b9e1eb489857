//! The operations of the store: what each one takes, and what it answers.

use crate::clock::Timestamp;
use crate::token::id::{Generation, SessionId, UserId};
use crate::token::refresh::RefreshToken;
use crate::token::rollout::Rollout;
use crate::token::rotation::{SuccessorSeed, Verdict};
use crate::token::seal::Sealed;
use crate::token::session::{RevocationReason, Session};

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
    pub seed: SuccessorSeed,
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
pub struct Receipt {
    /// The token's session.
    pub session_id: SessionId,
    /// The generation of the refresh token that it was minted beside.
    pub generation: Generation,
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
