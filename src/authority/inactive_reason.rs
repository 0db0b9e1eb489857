//! Why an access token is not accepted. `ValidateToken` answers it as data, not as an error.

use crate::keys::VerifyError;
use crate::token::jws::Malformed;

/// Why a token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InactiveReason {
    /// Not a token at all, or one that says nothing we can rely on.
    Malformed,
    /// The token names a key that we do not have.
    UnknownKey,
    /// The signature does not fit, or its algorithm is not the key's own.
    BadSignature,
    /// The token's time is over.
    Expired,
    /// The token's time has not come yet.
    NotYetValid,
    /// The token is sound but not an access token.
    WrongType,
    /// The token is not meant for the audience that was asked for.
    WrongAudience,
    /// The token's session was revoked.
    Revoked,
    /// The session token belongs to no session.
    NotFound,
}

impl From<Malformed> for InactiveReason {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<VerifyError> for InactiveReason {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::UnknownKey => Self::UnknownKey,
            VerifyError::BadSignature => Self::BadSignature,
        }
    }
}
