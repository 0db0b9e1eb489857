//! Times on pages. The service does not know the reader's time zone, so a page says how long ago.

use super::texts;
use crate::clock::Timestamp;

/// A time as a page shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct When {
    /// The time for programs (RFC 3339).
    pub(crate) moment: String,
    /// The time in words.
    pub(crate) words: String,
}

impl When {
    /// Says when something happened or will happen, seen from `now`.
    pub(crate) fn new(at: Timestamp, now: Timestamp) -> Self {
        let words = if at > now {
            texts::in_the_future(&span(at.since(now).as_secs()))
        } else {
            match now.since(at).as_secs() {
                0..60 => texts::JUST_NOW.to_owned(),
                seconds => texts::in_the_past(&span(seconds)),
            }
        };
        Self { moment: at.rfc3339(), words }
    }
}

/// Returns a length of time in its largest unit, rounded to the nearest.
fn span(seconds: u64) -> String {
    const HALF_MINUTE: u64 = 30;
    let minutes = (seconds + HALF_MINUTE) / 60;
    let hours = (minutes + 30) / 60;
    let days = (hours + 12) / 24;
    match (minutes, hours) {
        (0..60, _) => texts::minutes(minutes.max(1)),
        (_, 0..48) => texts::hours(hours),
        _ => texts::days(days),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_words() {
        let now = Timestamp::from_seconds(1_700_000_000);
        let words =
            |seconds: i64| When::new(Timestamp::from_seconds(1_700_000_000 + seconds), now).words;
        for (seconds, expected) in [
            (0, "just now"),
            (-59, "just now"),
            (-60, "1 minute ago"),
            (-130, "2 minutes ago"),
            (-3_600, "1 hour ago"),
            (-90_000, "25 hours ago"),
            (-3 * 86_400, "3 days ago"),
            (5, "in 1 minute"),
            (3_600, "in 1 hour"),
            (7 * 86_400, "in 7 days"),
            (7 * 86_400 - 60, "in 7 days"),
        ] {
            assert_eq!(words(seconds), expected, "{seconds}");
        }
        assert_eq!(When::new(now, now).moment, "2023-11-14T22:13:20Z");
    }
}
