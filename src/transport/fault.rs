//! Maps every error to its gRPC code, HTTP status and reason, in this one place.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::response::IntoResponse as _;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::callers::denied::Denied;
use super::proto::v1::ErrorReason;
use crate::authority::revocations::watch::Ended;
use crate::authority::{AuthorityError, DeviceRefusal, RefreshRefusal};
use crate::store::StoreError;
use crate::token::field::InvalidField;

/// The `domain` of every `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "token-authority";

/// How long a caller waits before it retries after the database could not be reached.
const RETRY: Duration = Duration::from_secs(1);

/// Returns an error's name on the wire: the [`ErrorReason`] without its prefix.
#[must_use]
pub fn wire_name(reason: ErrorReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("ERROR_REASON_").unwrap_or(name)
}

fn details(reason: ErrorReason) -> ErrorDetails {
    ErrorDetails::with_error_info(wire_name(reason), DOMAIN, [])
}

impl From<InvalidField> for Status {
    fn from(invalid: InvalidField) -> Self {
        let mut details = details(ErrorReason::InvalidField);
        details.add_bad_request_violation(invalid.field.clone(), invalid.rule);
        Self::with_error_details(Code::InvalidArgument, invalid.to_string(), details)
    }
}

/// Returns the status of a request that does not decode as its message.
#[must_use]
pub fn undecodable() -> Status {
    let details = details(ErrorReason::InvalidField);
    let message = "the request does not decode as the protobuf message of its RPC";
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// Returns the status of a batch whose answer would be larger than clients take. `fits` is the number
/// of tokens that fits.
pub(super) fn answer_too_large(fits: usize) -> Status {
    let mut details = details(ErrorReason::InvalidField);
    let rule = format!("make an answer above 4 MiB: send at most {fits} of these tokens at once");
    details.add_bad_request_violation("tokens", rule.clone());
    Status::with_error_details(Code::InvalidArgument, format!("tokens: {rule}"), details)
}

/// Returns the status of a refused refresh token.
fn refused(refusal: RefreshRefusal) -> Status {
    let details = details(reason_of(refusal));
    Status::with_error_details(Code::Unauthenticated, refusal.to_string(), details)
}

/// Returns the name of a refusal on the wire.
const fn reason_of(refusal: RefreshRefusal) -> ErrorReason {
    match refusal {
        RefreshRefusal::Invalid => ErrorReason::RefreshTokenInvalid,
        RefreshRefusal::Expired => ErrorReason::RefreshTokenExpired,
        RefreshRefusal::Revoked => ErrorReason::RefreshTokenRevoked,
        RefreshRefusal::Reused => ErrorReason::RefreshTokenReused,
        RefreshRefusal::Unbound => ErrorReason::DeviceBindingRequired,
    }
}

/// Returns the status of a refused device.
fn device_refused(refusal: DeviceRefusal) -> Status {
    let (code, reason) = match refusal {
        // Callers cannot tell it from a version without device-bound sessions.
        DeviceRefusal::Off => return Denied::Unknown.into(),
        DeviceRefusal::ProofInvalid => (Code::Unauthenticated, ErrorReason::DeviceProofInvalid),
        DeviceRefusal::AlreadyBound => (Code::FailedPrecondition, ErrorReason::DeviceAlreadyBound),
    };
    Status::with_error_details(code, refusal.to_string(), details(reason))
}

/// Returns whether the error says that a device's proof was refused.
#[must_use]
pub fn is_refused_proof(error: &Status) -> bool {
    let details = error.get_error_details();
    let name = details.error_info().map(|info| info.reason.as_str());
    name == Some(wire_name(ErrorReason::DeviceProofInvalid))
}

/// Returns the status of a failure of the store. The cause goes to the log, never to the caller.
pub(super) fn store(error: &StoreError) -> Status {
    match error {
        StoreError::Unavailable(_) => {
            tracing::warn!(%error, "the store is unavailable");
            unavailable("the database cannot be reached")
        }
        StoreError::Locked => {
            tracing::warn!(%error, "another transaction locks a session's row");
            unavailable("another transaction locks the session; try again")
        }
        StoreError::Overloaded => {
            tracing::warn!(%error, "the store is overloaded");
            unavailable("too many requests wait for the database")
        }
        StoreError::Inconsistent(_) => {
            tracing::error!(%error, "the store is inconsistent");
            Status::internal("internal error")
        }
    }
}

impl From<Ended> for Status {
    fn from(ended: Ended) -> Self {
        let message = ended.to_string();
        match ended {
            Ended::TooSlow | Ended::Overflowing => {
                let mut details = details(ErrorReason::RateLimited);
                details.set_retry_info(Some(RETRY));
                Self::with_error_details(Code::ResourceExhausted, message, details)
            }
            // The store works; the client should try again, and may reach another replica.
            Ended::NotLoaded | Ended::Closing => unavailable(&message),
        }
    }
}

/// Returns the status of a stream that ends because its connection ends. The client resumes it on a
/// new connection.
pub(super) fn resume_elsewhere() -> Status {
    unavailable("the connection has reached its maximum age: resume the stream on a new one")
}

fn unavailable(message: &str) -> Status {
    let mut details = details(ErrorReason::StoreUnavailable);
    details.set_retry_info(Some(RETRY));
    Status::with_error_details(Code::Unavailable, message, details)
}

impl From<AuthorityError> for Status {
    fn from(error: AuthorityError) -> Self {
        match error {
            AuthorityError::InvalidField(invalid) => invalid.into(),
            AuthorityError::Refresh(refusal) => refused(refusal),
            AuthorityError::Device(refusal) => device_refused(refusal),
            AuthorityError::Store(error) => store(&error),
        }
    }
}

impl From<Denied> for Status {
    fn from(refusal: Denied) -> Self {
        let limited = |wait, message: &str| {
            let mut details = details(ErrorReason::RateLimited);
            details.set_retry_info(Some(wait));
            Self::with_error_details(Code::ResourceExhausted, message, details)
        };
        match refusal {
            Denied::Unauthenticated => Self::with_error_details(
                Code::Unauthenticated,
                "the caller has no valid API key or client certificate",
                details(ErrorReason::CallerUnauthenticated),
            ),
            Denied::Forbidden(role) => Self::with_error_details(
                Code::PermissionDenied,
                format!("the caller lacks the role {role}"),
                details(ErrorReason::CallerForbidden),
            ),
            Denied::Limited(wait) => limited(wait, "too many requests"),
            Denied::Overloaded => limited(RETRY, "too many requests are in flight"),
            Denied::Late => Self::deadline_exceeded("the request exceeded its deadline"),
            Denied::Unknown => Self::unimplemented("there is no such method"),
        }
    }
}

/// Returns the answer to a request on the gRPC port that is not gRPC ("gRPC over HTTP/2", section
/// "Requests"). With an HTTP error status, other clients do not mistake it for a success.
pub(super) fn unsupported_media_type() -> Response<tonic::body::Body> {
    let mut answer = Response::new(tonic::body::Body::empty());
    *answer.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    answer
}

/// Returns the answer to a rejected HTTP request, in the form of RFC 6749 section 5.2.
#[must_use]
pub fn http_denied(refusal: Denied) -> Response<Body> {
    let status = Status::from(refusal);
    let HttpFault { status: code, retry_after, .. } = to_http(&status);
    let error = match refusal {
        Denied::Unauthenticated => "invalid_client",
        Denied::Forbidden(_) => "unauthorized_client",
        Denied::Limited(_) | Denied::Overloaded => "rate_limited",
        Denied::Late => "temporarily_unavailable",
        Denied::Unknown => "not_found",
    };
    let body = json!({ "error": error, "error_description": status.message() });
    let mut response = (code, Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if refusal == Denied::Unauthenticated {
        for challenge in ["Bearer realm=\"token-authority\"", "Basic realm=\"token-authority\""] {
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
    }
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// An error as HTTP shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpFault {
    /// The status.
    pub status: StatusCode,
    /// The refusal of the refresh token, if that is the cause; it is the `reason` in the body.
    pub reason: Option<RefreshRefusal>,
    /// The number of seconds after which to try again.
    pub retry_after: Option<u64>,
}

/// Converts an RPC's error to its HTTP form.
#[must_use]
pub fn to_http(error: &Status) -> HttpFault {
    let details = error.get_error_details();
    let name = details.error_info().map(|info| info.reason.as_str());
    let is = |refusal: &RefreshRefusal| name == Some(wire_name(reason_of(*refusal)));
    let reason = RefreshRefusal::ALL.into_iter().find(is);
    let status = match error.code() {
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound | Code::Unimplemented => StatusCode::NOT_FOUND,
        Code::FailedPrecondition => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let asked = details.retry_info().and_then(|info| info.retry_delay);
    let retry_after =
        matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
            .then(|| asked.map_or(1, whole_seconds));
    HttpFault { status, reason, retry_after }
}

/// Rounds up to whole seconds, at least one, so that a retry is never too early.
const fn whole_seconds(delay: Duration) -> u64 {
    let begun = if delay.subsec_nanos() > 0 { 1 } else { 0 };
    let seconds = delay.as_secs() + begun;
    if seconds == 0 { 1 } else { seconds }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::callers::roles::Role;

    #[test]
    fn every_error_has_its_code_reason_and_status() {
        let unavailable = || AuthorityError::Store(StoreError::Unavailable("x".into()));
        let invalid = AuthorityError::InvalidField(InvalidField::new("user_id", "is required"));
        let refused = AuthorityError::Refresh;
        for (error, code, name, status) in [
            (invalid, Code::InvalidArgument, "INVALID_FIELD", 400),
            (unavailable(), Code::Unavailable, "STORE_UNAVAILABLE", 503),
            (refused(RefreshRefusal::Invalid), Code::Unauthenticated, "REFRESH_TOKEN_INVALID", 401),
            (refused(RefreshRefusal::Expired), Code::Unauthenticated, "REFRESH_TOKEN_EXPIRED", 401),
            (refused(RefreshRefusal::Revoked), Code::Unauthenticated, "REFRESH_TOKEN_REVOKED", 401),
            (refused(RefreshRefusal::Reused), Code::Unauthenticated, "REFRESH_TOKEN_REUSED", 401),
            (
                refused(RefreshRefusal::Unbound),
                Code::Unauthenticated,
                "DEVICE_BINDING_REQUIRED",
                401,
            ),
            (
                DeviceRefusal::ProofInvalid.into(),
                Code::Unauthenticated,
                "DEVICE_PROOF_INVALID",
                401,
            ),
            (
                DeviceRefusal::AlreadyBound.into(),
                Code::FailedPrecondition,
                "DEVICE_ALREADY_BOUND",
                409,
            ),
        ] {
            let answer = Status::from(error);
            let details = answer.get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (name, DOMAIN));
            assert_eq!(answer.code(), code);
            assert_eq!(to_http(&answer).status, status);
        }
        let http = to_http(&Status::from(unavailable()));
        assert_eq!((http.retry_after, http.reason), (Some(1), None));
    }

    #[test]
    fn every_refusal_has_its_code_reason_and_status() {
        let (wait, role) = (Duration::from_millis(1200), Role::Admin);
        for (refusal, code, name, status) in [
            (Denied::Unauthenticated, Code::Unauthenticated, Some("CALLER_UNAUTHENTICATED"), 401),
            (Denied::Forbidden(role), Code::PermissionDenied, Some("CALLER_FORBIDDEN"), 403),
            (Denied::Limited(wait), Code::ResourceExhausted, Some("RATE_LIMITED"), 429),
            (Denied::Overloaded, Code::ResourceExhausted, Some("RATE_LIMITED"), 429),
            (Denied::Late, Code::DeadlineExceeded, None, 503),
            (Denied::Unknown, Code::Unimplemented, None, 404),
        ] {
            let answer = Status::from(refusal);
            assert_eq!(answer.code(), code);
            let details = answer.get_error_details();
            assert_eq!(details.error_info().map(|info| info.reason.as_str()), name);
            let response = http_denied(refusal);
            assert_eq!(response.status(), status);
            let challenged = response.headers().contains_key(header::WWW_AUTHENTICATE);
            assert_eq!(challenged, status == 401);
        }
        let limited = Status::from(Denied::Limited(wait));
        assert_eq!(limited.get_error_details().retry_info().unwrap().retry_delay, Some(wait));
        assert_eq!(
            to_http(&limited).retry_after,
            Some(2),
            "rounded up, so that the retry is not too early"
        );
    }

    #[test]
    fn the_cause_stays_inside() {
        let cause = "postgres://user:password@host";
        for error in [StoreError::Unavailable(cause.into()), StoreError::Inconsistent(cause.into())]
        {
            assert!(!format!("{:?}", store(&error)).contains("password"));
        }
    }
}
