//! One login on one device, as stored: one row for its whole life.

use std::time::Duration;

use super::client::ClientInfo;
use super::grant::Grant;
use super::id::{Generation, SessionId, UserId};
use super::method::AuthMethod;
use super::refresh::{LineageKey, RefreshToken, TokenHash};
use super::seal::Sealed;
use crate::clock::Timestamp;

/// A session.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// What its access tokens carry.
    pub grant: Grant,
    /// The device that logged in.
    pub client: ClientInfo,
    /// When the user logged in.
    pub created_at: Timestamp,
    /// When its refresh token was last rotated, or replaced.
    pub last_used_at: Timestamp,
    /// When its refresh token ends if it is not used.
    pub expires_at: Timestamp,
    /// Since when and why it is over, if it is.
    pub revoked: Option<Revoked>,
    /// Its refresh tokens.
    pub lineage: Lineage,
    /// What kind of access token it was last given.
    pub auth_method: AuthMethod,
}

/// A session's refresh tokens: the current one, the one before it, and what is known of their
/// holders. Tokens are kept as hashes; all earlier ones are recognised by their MAC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// Authenticates every token of the session.
    pub key: LineageKey,
    /// The current token's place in the history.
    pub generation: Generation,
    /// The current token.
    pub current: TokenHash,
    /// The token that the current one was given in exchange for. `None`: the current one is the
    /// login's own.
    pub predecessor: Option<TokenHash>,
    /// The current token's random bytes, which its predecessor opens.
    pub sealed: Option<Sealed>,
    /// When the current token was last sent to a client.
    pub handed_out_at: Timestamp,
    /// When someone was first seen to hold the current token: it was presented, or an access
    /// token minted beside it was validated. `None`: its reply may have been lost.
    pub proven_at: Option<Timestamp>,
}

impl Lineage {
    /// The history of a login whose first token is `first`.
    #[must_use]
    pub fn begin(key: LineageKey, first: &RefreshToken, now: Timestamp) -> Self {
        Self {
            key,
            generation: first.generation(),
            current: first.hash(),
            predecessor: None,
            sealed: None,
            handed_out_at: now,
            proven_at: None,
        }
    }
}

/// Since when and why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// When it was revoked.
    pub at: Timestamp,
    /// Why.
    pub reason: RevocationReason,
}

/// Why a session was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RevocationReason {
    /// The client logged out, or revoked its token (RFC 7009).
    Logout,
    /// The session was ended by its id.
    Admin,
    /// All sessions of the user were ended.
    User,
    /// A refresh token was used again (RFC 9700 section 4.14.2).
    Reuse,
}

/// What the world is told of a revoked session: refuse every access token whose `sid` it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The session.
    pub session_id: SessionId,
    /// Whose it was.
    pub user_id: UserId,
    /// When it was revoked.
    pub revoked_at: Timestamp,
    /// When its last access token has certainly expired, and the revocation may be forgotten.
    pub expires_at: Timestamp,
    /// Why it was revoked.
    pub reason: RevocationReason,
}

impl Session {
    /// What the world is told, if the session is revoked. `revocation_retention` is how long after a revocation
    /// an access token of the session can still be in use.
    #[must_use]
    pub fn revocation(&self, revocation_retention: Duration) -> Option<Revocation> {
        self.revoked.map(|revoked| Revocation {
            session_id: self.id,
            user_id: self.user_id.clone(),
            revoked_at: revoked.at,
            expires_at: revoked.at + revocation_retention,
            reason: revoked.reason,
        })
    }
}

impl RevocationReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Logout, Self::Admin, Self::User, Self::Reuse];

    /// Its stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Admin => "admin",
            Self::User => "user",
            Self::Reuse => "reuse",
        }
    }

    /// Reads a stored name.
    #[must_use]
    pub fn from_stored(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}
