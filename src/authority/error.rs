//! The errors of the authority by kind. The transport maps each kind to its code in one place.

use crate::store::StoreError;
use crate::token::field::InvalidField;
use crate::token::rotation::Verdict;

/// Why an operation failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthorityError {
    /// A field is missing or out of bounds.
    #[error(transparent)]
    InvalidField(#[from] InvalidField),
    /// The refresh token was refused.
    #[error(transparent)]
    Refresh(#[from] RefreshRefusal),
    /// A device was refused.
    #[error(transparent)]
    Device(#[from] DeviceRefusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a device was neither registered nor recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DeviceRefusal {
    /// Device-bound sessions are switched off.
    #[error("device-bound sessions are switched off")]
    Off,
    /// The proof is malformed, its key is weak, another key signed it, or the session has no device.
    #[error("the proof is malformed, or not one of the session's device")]
    ProofInvalid,
    /// The session is bound to a device already.
    #[error("the session is bound to a device already")]
    AlreadyBound,
}

/// Why a device's proof was refused, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProofRefusal {
    /// It cannot be read, or it uses another algorithm or type.
    Malformed,
    /// Its key is weak, or another key signed it.
    Signature,
    /// Its challenge is old, or another session's.
    Challenge,
    /// There is no live session with a device.
    Session,
    /// The session is bound to a device already.
    Bound,
}

impl ProofRefusal {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::Malformed, Self::Signature, Self::Challenge, Self::Session, Self::Bound];

    /// The reason's name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Signature => "signature",
            Self::Challenge => "challenge",
            Self::Session => "session",
            Self::Bound => "bound",
        }
    }
}

/// Why a refresh token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RefreshRefusal {
    /// It is unknown, malformed or forged. Nothing was changed.
    #[error("the refresh token is unknown, malformed or forged")]
    Invalid,
    /// It has expired.
    #[error("the refresh token has expired")]
    Expired,
    /// Its session was revoked.
    #[error("the refresh token's session was revoked")]
    Revoked,
    /// It is an earlier or displaced token. Its session is now revoked.
    #[error("the refresh token was used before; its session is now revoked")]
    Reused,
    /// It is good, but its session is bound to a device that the request did not show. Nothing was changed.
    #[error("the session is bound to a device, and the request did not show it")]
    Unbound,
}

impl RefreshRefusal {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::Invalid, Self::Expired, Self::Revoked, Self::Reused, Self::Unbound];

    /// The reason's name in metrics and in the browser's answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Reused => "reused",
            Self::Unbound => "unbound",
        }
    }

    /// Returns the reason for which a verdict refuses the token; `None` if the verdict grants it.
    #[must_use]
    pub const fn of(verdict: Verdict) -> Option<Self> {
        match verdict {
            Verdict::Theft => Some(Self::Reused),
            Verdict::Revoked => Some(Self::Revoked),
            Verdict::Expired => Some(Self::Expired),
            Verdict::Invalid => Some(Self::Invalid),
            Verdict::Unbound => Some(Self::Unbound),
            Verdict::Rotate
            | Verdict::Keep
            | Verdict::Young
            | Verdict::Replay
            | Verdict::Remint => None,
        }
    }
}
