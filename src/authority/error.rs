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
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
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
}

impl RefreshRefusal {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Invalid, Self::Expired, Self::Revoked, Self::Reused];

    /// The reason's name in metrics and in the browser's answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Reused => "reused",
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
            Verdict::Rotate
            | Verdict::Keep
            | Verdict::Young
            | Verdict::Replay
            | Verdict::Remint => None,
        }
    }
}
