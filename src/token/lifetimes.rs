//! The lifetimes that a login asks for its own session, below those of the settings.

use std::time::Duration;

use super::field::InvalidField;
use crate::clock::Timestamp;

/// A session's own lifetimes, in whole seconds. `None`: the settings' lifetime applies.
///
/// The settings' lifetimes bound them at all times: if the settings are lowered later, the lower value
/// counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lifetimes {
    /// How long the session lives after its last refresh, at most.
    pub refresh: Option<Duration>,
    /// How long the session lives after its login, at most.
    pub max: Option<Duration>,
}

impl Lifetimes {
    /// Returns this with whole seconds. A fraction of a second is dropped.
    ///
    /// # Errors
    /// Returns [`InvalidField`] if a lifetime is less than a second, or longer than the settings'
    /// lifetimes `longest`.
    pub fn checked(self, longest: (Duration, Duration)) -> Result<Self, InvalidField> {
        let (longest_refresh, longest_max) = longest;
        let rule = "must be 1 second to the lifetime that JWT_REFRESH_TOKEN_EXPIRE_DAYS sets";
        let refresh = check(self.refresh, longest_refresh, "refresh_lifetime", rule)?;
        let rule = "must be 1 second to the lifetime that SESSION_MAX_LIFETIME_DAYS sets";
        let max = check(self.max, longest_max, "max_lifetime", rule)?;
        Ok(Self { refresh, max })
    }

    /// Returns when a session with these lifetimes ends at the latest. `None`: it has no lifetime of
    /// its own.
    ///
    /// A version that does not know these lifetimes extends a session by the settings. So the end is
    /// computed again whenever a session is read.
    #[must_use]
    pub fn end(&self, created_at: Timestamp, last_used_at: Timestamp) -> Option<Timestamp> {
        let refresh = self.refresh.map(|refresh| last_used_at + refresh);
        let max = self.max.map(|max| created_at + max);
        refresh.into_iter().chain(max).min()
    }
}

fn check(
    asked: Option<Duration>,
    longest: Duration,
    field: &'static str,
    rule: &'static str,
) -> Result<Option<Duration>, InvalidField> {
    let Some(asked) = asked else { return Ok(None) };
    let whole = Duration::from_secs(asked.as_secs());
    if whole.is_zero() || asked > longest {
        return Err(InvalidField::new(field, rule));
    }
    Ok(Some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_lifetime_is_a_second_to_the_settings() {
        let asked = |refresh: Option<Duration>, max: Option<Duration>| {
            Lifetimes { refresh, max }.checked((HOUR, HOUR * 2)).map_err(|error| error.field)
        };
        assert_eq!(asked(None, None), Ok(Lifetimes::default()));
        let whole = Lifetimes { refresh: Some(HOUR), max: Some(HOUR * 2) };
        assert_eq!(asked(whole.refresh, whole.max), Ok(whole));
        let cut = asked(Some(Duration::from_millis(1900)), None).unwrap();
        assert_eq!(cut.refresh, Some(Duration::from_secs(1)));
        for bad in [Duration::ZERO, Duration::from_millis(999), HOUR + Duration::from_nanos(1)] {
            assert_eq!(asked(Some(bad), None).unwrap_err(), "refresh_lifetime", "{bad:?}");
        }
        let long = HOUR * 2 + Duration::from_secs(1);
        assert_eq!(asked(None, Some(long)).unwrap_err(), "max_lifetime");
    }

    #[test]
    fn the_earlier_end_counts() {
        let (created_at, used_at) = (Timestamp::from_seconds(100), Timestamp::from_seconds(4000));
        let end = |refresh, max| Lifetimes { refresh, max }.end(created_at, used_at);
        assert_eq!(end(None, None), None);
        assert_eq!(end(Some(HOUR), None), Some(Timestamp::from_seconds(7600)));
        assert_eq!(end(Some(HOUR), Some(HOUR)), Some(Timestamp::from_seconds(3700)));
    }
}
