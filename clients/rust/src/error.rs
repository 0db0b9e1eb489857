//! What goes wrong: a token that is refused, and a call that the service refuses.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::v1;

/// Why a token is refused, or that it cannot be judged now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Not a token at all, or one that says nothing to rely on.
    Malformed,
    /// The signature does not fit, or its algorithm is not the key's own.
    BadSignature,
    /// The token's time is over.
    Expired,
    /// The token's time has not come yet.
    NotYetValid,
    /// The token's session was revoked.
    Revoked,
    /// The token is sound, but not an access token.
    WrongType,
    /// The token is not meant for the audience that was asked for.
    WrongAudience,
    /// The token names a key that is not known.
    UnknownKey,
    /// A session token that belongs to no session.
    NotFound,
    /// The session lives, but its grant was changed after the token was issued: refresh.
    Stale,
    /// A reason that only a newer service knows.
    Other(Cow<'static, str>),
    /// Nothing is said about the token: what is needed to judge it is out of reach. Answer 503, never
    /// 401, so that nobody is logged out.
    Unavailable,
}

impl Reason {
    /// Its name: that of the service's `InactiveReason` in lower case with hyphens, or `unavailable`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Malformed => "malformed",
            Self::BadSignature => "bad-signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::Revoked => "revoked",
            Self::WrongType => "wrong-type",
            Self::WrongAudience => "wrong-audience",
            Self::UnknownKey => "unknown-key",
            Self::NotFound => "not-found",
            Self::Stale => "stale",
            Self::Other(name) => name,
            Self::Unavailable => "unavailable",
        }
    }

    /// The reason of that number in the service's answer.
    pub(crate) fn of(number: i32) -> Self {
        use v1::InactiveReason as Theirs;
        match Theirs::try_from(number) {
            Ok(Theirs::Malformed) => Self::Malformed,
            Ok(Theirs::BadSignature) => Self::BadSignature,
            Ok(Theirs::Expired) => Self::Expired,
            Ok(Theirs::NotYetValid) => Self::NotYetValid,
            Ok(Theirs::Revoked) => Self::Revoked,
            Ok(Theirs::WrongType) => Self::WrongType,
            Ok(Theirs::WrongAudience) => Self::WrongAudience,
            Ok(Theirs::UnknownKey) => Self::UnknownKey,
            Ok(Theirs::NotFound) => Self::NotFound,
            Ok(Theirs::Stale) => Self::Stale,
            _ => Self::Other("inactive".into()),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An access token is refused, or cannot be judged now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the token is refused: {reason}")]
pub struct TokenError {
    /// Why.
    pub reason: Reason,
}

impl TokenError {
    /// Whether the token could not be judged, as opposed to being refused.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.reason == Reason::Unavailable
    }
}

impl From<Reason> for TokenError {
    fn from(reason: Reason) -> Self {
        Self { reason }
    }
}

/// A call failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The session is over: the refresh token is `invalid`, `expired`, `revoked` or `reused`.
    #[error("the refresh token is refused: {0}")]
    RefreshToken(String),
    /// The service refuses the call.
    #[error("the authority refuses the call: {message} ({reason})")]
    Refused {
        /// The gRPC status code.
        code: Code,
        /// The name in the service's `ErrorInfo`, such as `CALLER_FORBIDDEN`; empty: there is none.
        reason: String,
        /// What it says. Never holds a token or a secret.
        message: String,
        /// The fields of the request that are missing or out of bounds.
        fields: Vec<String>,
    },
    /// The service cannot answer. Try again.
    #[error("the authority cannot answer: {message}")]
    Unavailable {
        /// The details.
        message: String,
        /// After how long another try may succeed.
        retry_after: Duration,
    },
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
        let message = status.message().to_owned();
        if let Some(refused) = reason.strip_prefix("REFRESH_TOKEN_") {
            return Self::RefreshToken(refused.to_lowercase().replace('_', "-"));
        }
        match status.code() {
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Internal
            | Code::Unknown
            | Code::ResourceExhausted => {
                let said = details.retry_info().and_then(|info| info.retry_delay);
                Self::Unavailable { message, retry_after: said.unwrap_or(Duration::from_secs(1)) }
            }
            code => {
                let violations = details.bad_request().map(|bad| bad.field_violations.as_slice());
                let fields = violations.unwrap_or_default().iter().map(|one| one.field.clone());
                Self::Refused { code, reason, message, fields: fields.collect() }
            }
        }
    }
}
