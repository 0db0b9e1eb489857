//! Deadlines: a request may take as long as its caller allows (`grpc-timeout`), and never longer than
//! the service allows.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

/// The caller's timeout. As a constant it is not parsed for each request.
static GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Returns the shorter of the caller's timeout and `most`.
#[must_use]
pub fn of(headers: &HeaderMap, most: Duration) -> Duration {
    asked(headers).map_or(most, |asked| asked.min(most))
}

/// Reads `grpc-timeout`: up to eight digits and a unit. An unreadable value counts as absent.
fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(&GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> u128 {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", text.parse().unwrap());
        of(&headers, Duration::from_secs(10)).as_millis()
    }

    #[test]
    fn callers_may_ask_for_less_and_not_for_more() {
        assert_eq!(of(&HeaderMap::new(), Duration::from_secs(10)), Duration::from_secs(10));
        for (text, expected) in
            [("250m", 250), ("2S", 2000), ("1H", 10_000), ("1M", 10_000), ("3000u", 3), ("0S", 0)]
        {
            assert_eq!(millis(text), expected, "{text}");
        }
        for bad in ["", "S", "1", "123456789m", "-1S", "1x", "é"] {
            assert_eq!(millis(bad), 10_000, "{bad}");
        }
    }
}
