//! Calls that were never sent, which are safe to repeat.
//!
//! The service ends connections after a while, with GOAWAY (RFC 9113 section 6.8): the requests that it
//! has received are answered, and new ones need a new connection. A call that waited inside this process
//! for the old connection at that moment fails, although no byte of it left. gRPC's own libraries repeat
//! such a call by themselves ("transparent retry"); tonic leaves that to its callers.

use std::error::Error;

use tonic::Status;

/// Returns whether the call certainly never left this process. `false`: the service may have received it.
pub(crate) fn was_never_sent(status: &Status) -> bool {
    let sources = std::iter::successors(status.source(), |error| (*error).source());
    // hyper cancels a request only if it still holds it when the connection ends.
    let mut hyper = sources.filter_map(|error| error.downcast_ref::<hyper::Error>());
    hyper.any(hyper::Error::is_canceled)
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
