//! Calls that were never sent, which are safe to repeat.
//!
//! The service ends connections after a while, with GOAWAY (RFC 9113 section 6.8): the requests that it
//! has received are answered, and new ones need a new connection. A call that waited inside this process
//! for the old connection at that moment fails, although no byte of it left. gRPC's own libraries repeat
//! such a call by themselves ("transparent retry"); tonic leaves that to its callers.

use std::error::Error;

use tonic::Status;

/// Returns whether the service certainly did not process a failed call, so that it can be repeated.
/// `false`: it may have processed it. [`Client`](crate::Client) repeats such calls itself; callers of the
/// generated clients in [`v1`](crate::v1) can use this function.
#[must_use]
pub fn was_never_sent(status: &Status) -> bool {
    let mut sources = std::iter::successors(status.source(), |error| (*error).source());
    sources.any(|error| {
        // hyper cancels a request only if it still holds it when the connection ends.
        let is_held = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled);
        // A request gets the GOAWAY itself as its error only if it is newer than the last stream that
        // the service has processed.
        let is_too_new = error.downcast_ref::<h2::Error>().is_some_and(|error| {
            error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
        });
        is_held || is_too_new
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_service_was_sent() {
        for status in [Status::cancelled("operation was canceled"), Status::unavailable("")] {
            assert!(!was_never_sent(&status));
        }
    }
}
