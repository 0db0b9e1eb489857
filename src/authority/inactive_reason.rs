//! Why an access token is not accepted. `ValidateToken` answers it as data, not as an error.

use crate::keys::VerifyError;
use crate::token::jws::Malformed;

/// Why a token is not active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InactiveReason {
    /// It is not a token, or its claims cannot be used.
    Malformed,
    /// The token names a key that this service does not have.
    UnknownKey,
    /// The signature does not fit, or its algorithm is not the key's own.
    BadSignature,
    /// The token has expired.
    Expired,
    /// The token's validity period begins later.
    NotYetValid,
    /// The token's signature fits, but it is not an access token.
    WrongType,
    /// The token's `aud` does not name the required audience.
    WrongAudience,
    /// The token's session was revoked.
    Revoked,
    /// There is no session for the session token.
    NotFound,
    /// What the session's access tokens carry was changed after this one was issued. The session lives.
    Stale,
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
