//! The contract's times in the words of the command line.

use crate::clock::Timestamp;

/// Converts a time of the contract.
pub(super) fn timestamp(at: prost_types::Timestamp) -> Timestamp {
    let micros = i64::from(at.nanos) / 1000;
    Timestamp::from_micros(at.seconds.saturating_mul(1_000_000).saturating_add(micros))
}

/// Returns a time as text (RFC 3339). `absent` replaces a time that is not set.
pub(super) fn shown(at: Option<prost_types::Timestamp>, absent: &str) -> String {
    at.map_or_else(|| absent.to_owned(), |at| timestamp(at).rfc3339())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_to_the_microsecond() {
        let at = prost_types::Timestamp { seconds: 1_700_000_000, nanos: 500_000_000 };
        assert_eq!(timestamp(at), Timestamp::from_micros(1_700_000_000_500_000));
        assert_eq!(shown(None, "never"), "never");
    }
}
