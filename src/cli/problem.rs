//! Why an authority did not do what an operator asked for, and what the operator can do.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    /// Nothing answers, or not in time.
    #[error(
        "the authority {0} cannot be reached: check that it runs, and that the address and its \
         certificate are right"
    )]
    Unreachable(String),
    /// The authority does not know the caller.
    #[error(
        "the authority does not know this caller: pass the API key of a caller with the role admin \
         with --api-key-file, or set TOKEN_AUTHORITY_API_KEY"
    )]
    Unauthenticated,
    /// The caller may not do this.
    #[error(
        "this caller lacks the role admin: an operator gives it with `token-authority callers set NAME \
         --role admin`"
    )]
    Forbidden,
    /// The authority answers, but its database does not.
    #[error("the authority cannot reach its database: `token-authority doctor` checks it")]
    NoDatabase,
    /// The authority is older than this command.
    #[error("the authority does not know this call: it runs an earlier version than this command")]
    TooOld,
    /// The authority refuses the request.
    #[error("the authority refuses this: {0}")]
    Refused(String),
}

impl Problem {
    /// Reads the answer of the authority at that address.
    pub(super) fn of(address: &str, status: &Status) -> Self {
        let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        match (status.code(), reason.as_str()) {
            (Code::Unavailable, "STORE_UNAVAILABLE") => Self::NoDatabase,
            // Without a reason, the client has made the status itself, or a proxy has.
            (Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::Unknown, "") => {
                Self::Unreachable(address.to_owned())
            }
            (Code::Unauthenticated, _) => Self::Unauthenticated,
            (Code::PermissionDenied, _) => Self::Forbidden,
            (Code::Unimplemented, _) => Self::TooOld,
            _ => Self::Refused(status.message().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn what_the_service_says_is_told_apart_from_what_the_network_does() {
        let with_reason = |code, reason: &str| {
            let details = ErrorDetails::with_error_info(reason, "token-authority", []);
            Problem::of("https://a", &Status::with_error_details(code, "why", details))
        };
        assert_eq!(with_reason(Code::Unavailable, "STORE_UNAVAILABLE"), Problem::NoDatabase);
        let unreachable = Problem::of("https://a", &Status::unavailable("tcp connect error"));
        assert_eq!(unreachable, Problem::Unreachable("https://a".into()));
        assert!(!unreachable.to_string().contains("tcp connect error"));
        assert_eq!(with_reason(Code::PermissionDenied, "CALLER_FORBIDDEN"), Problem::Forbidden);
        let refused = with_reason(Code::InvalidArgument, "INVALID_FIELD");
        assert_eq!(refused, Problem::Refused("why".into()));
    }
}
