//! Why a signature is not accepted.

/// Why a signature is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyError {
    /// The token names a key that this service does not hold.
    UnknownKey,
    /// The signature does not fit, or its algorithm is not the key's own.
    BadSignature,
}
