//! The operations of the store: their inputs and their results.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::token::device::{DeviceKey, Registration, Shown};
use crate::token::grant::GrantChange;
use crate::token::id::{Generation, SessionId, UserId};
use crate::token::refresh::RefreshToken;
use crate::token::rollout::Rollout;
use crate::token::rotation::{SuccessorSeed, Verdict};
use crate::token::seal::Sealed;
use crate::token::session::{Revocation, RevocationReason, Session};

/// A login to store.
#[derive(Debug, Clone)]
pub struct Open {
    /// The session. Its first refresh token is the current one.
    pub session: Session,
    /// The identity of the login request, by which a retry finds the session. `None` if the login
    /// cannot be retried.
    pub request: Option<OpenRequest>,
}

/// The first tokens of a login, kept for its retries.
#[derive(Debug, Clone)]
pub struct OpenRequest {
    /// A hash of the request's id, caller and user: 64 hex digits, unique.
    pub key: String,
    /// The tokens, encrypted so that only the request's id opens them.
    pub sealed: Sealed,
}

/// The result of a login.
#[derive(Debug)]
pub enum Opened {
    /// The session is stored now.
    New,
    /// The session is stored now, and these sessions of its user were revoked for it.
    Evicting(Vec<Ended>),
    /// The session was stored by an earlier attempt, and nothing was stored now.
    Before(Box<OpenedBefore>),
}

/// A session that has been ended, and the revocation that verifiers learn of.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// The session in its new state.
    pub session: Session,
    /// The revocation that the store added to the feed.
    pub revocation: Revocation,
}

impl Ended {
    /// Returns `None` if the session has not been ended. The revocation is kept for `retention` at
    /// least.
    pub(super) fn of(session: Session, retention: Duration) -> Option<Self> {
        let revocation = session.revocation(retention)?;
        Some(Self { session, revocation })
    }

    /// Returns those of the sessions that have been ended.
    pub(super) fn all(sessions: Vec<Session>, retention: Duration) -> Vec<Self> {
        sessions.into_iter().filter_map(|session| Self::of(session, retention)).collect()
    }
}

/// An earlier attempt of the same login.
#[derive(Debug)]
pub struct OpenedBefore {
    /// The session as it is now.
    pub session: Session,
    /// Its first tokens. `None` if they are no longer kept.
    pub sealed: Option<Sealed>,
}

/// A change of a session's grant.
#[derive(Debug, Clone)]
pub struct Update {
    /// The session.
    pub session_id: SessionId,
    /// The new audience, scopes and claims.
    pub change: GrantChange,
    /// Whether the access tokens that were issued before are refused from now on.
    pub refresh_now: bool,
    /// When the change was asked for.
    pub now: Timestamp,
    /// The caller that asked for it. Empty: unknown.
    pub actor: String,
}

/// The result of a change of a session's grant.
#[derive(Debug, Clone, PartialEq)]
pub struct Updated {
    /// The session after the change.
    pub session: Session,
    /// The feed entry that refuses the earlier access tokens. `None`: they stay valid.
    pub stale: Option<Revocation>,
}

/// A presented refresh token.
#[derive(Debug, Clone)]
pub struct Refresh {
    /// The token.
    pub presented: RefreshToken,
    /// The random bytes for a successor, in case one is needed.
    pub seed: SuccessorSeed,
    /// The time of presentation.
    pub now: Timestamp,
    /// The roll-out, which decides the kind of access token.
    pub rollout: Rollout,
    /// What the request showed of its device.
    pub shown: Shown,
}

/// The registration of a device for the session of a refresh token.
#[derive(Debug, Clone)]
pub struct Bind {
    /// The token, which must be the session's current one to register a new device.
    pub presented: RefreshToken,
    /// The device's key.
    pub key: DeviceKey,
    /// The time of the registration.
    pub now: Timestamp,
    /// The caller that asked for it. Empty: unknown.
    pub actor: String,
}

/// The result of a registration.
#[derive(Debug)]
pub struct Bound {
    /// The verdict on the refresh token. A theft has been applied, any other verdict has not.
    pub verdict: Verdict,
    /// The session after the registration. `None` if there is no such session.
    pub session: Option<Session>,
    /// What became of the registration.
    pub outcome: Registration,
    /// The session's revocation, if it has been revoked, now or before.
    pub revocation: Option<Revocation>,
}

/// The result of a presented refresh token.
#[derive(Debug)]
pub struct Refreshed {
    /// The verdict, which has been applied.
    pub verdict: Verdict,
    /// The session after the change. `None` if there is no such session.
    pub session: Option<Session>,
    /// The refresh token that the client holds from now on. `None` if it gets none.
    pub token: Option<RefreshToken>,
    /// The session's revocation, if it has been revoked, now or before.
    pub revocation: Option<Revocation>,
}

/// An access token in use. It proves that the client received the response that carried it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// The token's session.
    pub session_id: SessionId,
    /// The generation of the refresh token from the same response.
    pub generation: Generation,
    /// When the token was seen.
    pub seen_at: Timestamp,
}

/// The sessions to end.
#[derive(Debug, Clone)]
pub enum Revoke {
    /// The session of this refresh token, if the token's MAC is correct.
    ByToken(RefreshToken),
    /// The session that its own user ends: the session of an access token that its holder revokes,
    /// or one of the user's other sessions.
    OfToken(SessionId),
    /// The session with this id.
    Session(SessionId),
    /// All sessions of a user, except one.
    User {
        /// The user.
        user_id: UserId,
        /// The session to keep.
        except: Option<SessionId>,
    },
}

impl Revoke {
    /// Returns the reason to record.
    #[must_use]
    pub const fn reason(&self) -> RevocationReason {
        match self {
            Self::ByToken(_) | Self::OfToken(_) => RevocationReason::Logout,
            Self::Session(_) => RevocationReason::Admin,
            Self::User { .. } => RevocationReason::User,
        }
    }
}
