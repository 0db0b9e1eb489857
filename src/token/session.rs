//! A session: one login on one device. It has one row for its whole life.

use std::time::Duration;

use super::client::ClientInfo;
use super::device::DeviceBinding;
use super::grant::Grant;
use super::id::{Epoch, Generation, SessionId, UserId};
use super::lifetimes::Lifetimes;
use super::method::AuthMethod;
use super::refresh::{LineageKey, RefreshToken, TokenHash};
use super::seal::Sealed;
use crate::clock::{MAX_CLOCK_SKEW, Timestamp};

/// The longest lifetime of an access token that the settings allow. `MAX_ACCESS_RETENTION` has to
/// grow with it.
pub const MAX_ACCESS_LIFETIME: Duration = Duration::from_hours(24);
/// The longest concurrency window that the settings allow. `MAX_ACCESS_RETENTION` has to grow with it.
pub const MAX_CONCURRENCY_WINDOW: Duration = Duration::from_hours(1);
/// The longest leeway that the settings allow, which other verifiers may grant as well. With a lower
/// value, a verifier could accept a token whose revocation was dropped.
pub const MAX_LEEWAY: Duration = Duration::from_mins(5);

/// How long an access token may be accepted after its session's row was last written by a version
/// that did not record the end of access tokens: the longest lifetime, window and leeway, rounded up.
/// The migration and the statements of both databases contain this value.
pub const MAX_ACCESS_RETENTION: Duration = Duration::from_hours(26);

/// How long after its end a session can still be revoked. The clocks of the revoking replica and of a
/// verifier may each differ from the database's by [`MAX_CLOCK_SKEW`], so a session that has expired
/// here may be live there.
pub const REVOCABLE_AFTER_END: Duration = Duration::from_secs(2 * MAX_CLOCK_SKEW.as_secs());

/// A session.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The user who logged in.
    pub user_id: UserId,
    /// The audience, scopes and claims of its access tokens.
    pub grant: Grant,
    /// The device that logged in.
    pub client: ClientInfo,
    /// When the user logged in.
    pub created_at: Timestamp,
    /// When its refresh token was last rotated or replaced.
    pub last_used_at: Timestamp,
    /// When it expires unless it is refreshed.
    pub expires_at: Timestamp,
    /// The moment after which no verifier accepts an access token of the session, whatever settings
    /// and clock the issuing replica had. A revocation is kept until then.
    pub access_ends_at: Timestamp,
    /// When and why it was revoked. `None`: it was not.
    pub revoked: Option<Revoked>,
    /// Its refresh tokens.
    pub lineage: Lineage,
    /// The kind of its last access token.
    pub auth_method: AuthMethod,
    /// The lifetimes that its login asked for.
    pub lifetimes: Lifetimes,
    /// Whether a browser keeps the refresh token's cookie when it is closed.
    pub persistent: bool,
    /// How often its access tokens were declared stale. New ones carry it.
    pub epoch: Epoch,
    /// The device that it is bound to. `None`: it is not, or it was revoked.
    pub device: Option<DeviceBinding>,
}

/// A session's refresh tokens: the current one, its predecessor, and what is known about their
/// receipt. Only hashes are stored. All earlier tokens are recognized by their MAC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// The key that authenticates every refresh token of the session.
    pub key: LineageKey,
    /// The current token's generation.
    pub generation: Generation,
    /// The current token's hash.
    pub current: TokenHash,
    /// The hash of the token that was exchanged for the current one. `None`: the current token is
    /// the session's first.
    pub predecessor: Option<TokenHash>,
    /// The hash of the token that the last change set aside: the successor that a re-mint displaced, or
    /// the predecessor of the predecessor after a rotation. Presenting it is not a theft
    /// yet, because a late message may still carry it. `None`: there is none, or an earlier version wrote the row.
    pub set_aside: Option<TokenHash>,
    /// The current token's random bytes, sealed under its predecessor.
    pub sealed: Option<Sealed>,
    /// When the current token was last sent to a client.
    pub handed_out_at: Timestamp,
    /// When a client was first seen to hold the current token for good: it presented an access token
    /// from the same response so late that its refresh token is on disk
    /// ([`Policy::proves_receipt`](super::rotation::Policy::proves_receipt)). `None`: the response may
    /// have been lost.
    pub proven_at: Option<Timestamp>,
}

impl Lineage {
    /// Creates the lineage of a new session whose first token is `first`.
    #[must_use]
    pub fn begin(key: LineageKey, first: &RefreshToken, now: Timestamp) -> Self {
        Self {
            key,
            generation: first.generation(),
            current: first.hash(),
            predecessor: None,
            set_aside: None,
            sealed: None,
            handed_out_at: now,
            proven_at: None,
        }
    }

    /// Returns whether a token is the successor that the last re-mint displaced and that is acceptable
    /// beside the current token. Its generation tells it from a predecessor's predecessor, also if a
    /// version that does not know tokens set aside has minted another one since.
    #[must_use]
    pub fn is_beside(&self, token: &RefreshToken) -> bool {
        self.set_aside == Some(token.hash()) && token.generation().next() == self.generation
    }
}

/// When and why a session was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// When it was revoked, by the clock of the replica that revoked it.
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
    /// A refresh token was reused (RFC 9700 section 4.14.2).
    Reuse,
    /// The user logged in on more devices than the settings allow, and this session was the least
    /// recently used one.
    Evicted,
}

/// The access tokens of a session that a revocation refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// All: the session is over.
    All(RevocationReason),
    /// Those of an earlier epoch: the session lives on, and its client has to refresh.
    Before(Epoch),
}

impl Refused {
    /// Returns whether this refuses more than `other` does.
    #[must_use]
    pub fn exceeds(self, other: Self) -> bool {
        match (self, other) {
            (_, Self::All(_)) => false,
            (Self::All(_), Self::Before(_)) => true,
            (Self::Before(epoch), Self::Before(other)) => epoch > other,
        }
    }
}

/// A revocation as verifiers receive it: they refuse access tokens with this `sid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The session.
    pub session_id: SessionId,
    /// The session's user. `None`: the user was erased, or the revocation does not need one.
    pub user_id: Option<UserId>,
    /// When it was revoked.
    pub revoked_at: Timestamp,
    /// The moment after which no refused access token can be accepted. The revocation may be dropped then.
    pub expires_at: Timestamp,
    /// The access tokens that it refuses.
    pub refused: Refused,
}

impl Session {
    /// Returns the revocation for verifiers. Returns `None` if the session is not revoked.
    ///
    /// It ends when the last access token of the session has expired. It is visible for at least
    /// `min_retention`, so that watchers are notified even if all tokens have expired.
    #[must_use]
    pub fn revocation(&self, min_retention: Duration) -> Option<Revocation> {
        self.revoked.map(|revoked| Revocation {
            session_id: self.id,
            user_id: self.owner().cloned(),
            revoked_at: revoked.at,
            expires_at: self.access_ends_at.max(revoked.at + min_retention),
            refused: Refused::All(revoked.reason),
        })
    }

    /// Returns the revocation of the access tokens that were minted in earlier epochs of the session. `now`
    /// is the moment of the revocation.
    #[must_use]
    pub fn stale_tokens(&self, now: Timestamp, min_retention: Duration) -> Revocation {
        Revocation {
            session_id: self.id,
            user_id: None,
            revoked_at: now,
            expires_at: self.access_ends_at.max(now + min_retention),
            refused: Refused::Before(self.epoch),
        }
    }

    /// Ends the session, and removes its client's description, its device and its grant: no later answer
    /// needs them.
    pub fn revoke(&mut self, at: Timestamp, reason: RevocationReason) {
        self.revoked = Some(Revoked { at, reason });
        self.client = ClientInfo::default();
        self.grant = Grant::default();
        self.device = None;
    }

    /// Returns whether a refresh token of the session is refused without its device.
    #[must_use]
    pub const fn is_device_bound(&self) -> bool {
        self.device.is_some()
    }

    /// Returns the session's user. `None`: the user was erased.
    #[must_use]
    pub fn owner(&self) -> Option<&UserId> {
        Some(&self.user_id).filter(|user_id| **user_id != UserId::erased(self.id))
    }

    /// Returns whether a revocation at `now` can matter to any verifier.
    #[must_use]
    pub fn is_revocable(&self, now: Timestamp) -> bool {
        now < self.expires_at + REVOCABLE_AFTER_END
    }
}

impl RevocationReason {
    /// Every reason.
    pub const ALL: [Self; 5] = [Self::Logout, Self::Admin, Self::User, Self::Reuse, Self::Evicted];

    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Admin => "admin",
            Self::User => "user",
            Self::Reuse => "reuse",
            Self::Evicted => "evicted",
        }
    }

    /// Its name in the database for versions that know only the first four reasons.
    #[must_use]
    pub const fn known_to_all(self) -> &'static str {
        match self {
            Self::Evicted => Self::User.as_str(),
            known => known.as_str(),
        }
    }

    /// Parses a stored name.
    #[must_use]
    pub fn from_stored(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_retention_of_unrecorded_tokens_covers_what_the_settings_allow() {
        assert!(MAX_ACCESS_RETENTION >= MAX_ACCESS_LIFETIME + MAX_CONCURRENCY_WINDOW + MAX_LEEWAY);
    }
}
