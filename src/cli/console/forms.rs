//! What the forms of the console ask for, and what they have done.

use super::texts;
use crate::transport::http::Form;
use crate::transport::proto::v1::GetRolloutResponse;

/// What the last `POST` has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Ended,
    AllEnded,
    Set,
}

impl Said {
    const ALL: [Self; 3] = [Self::Ended, Self::AllEnded, Self::Set];

    /// Returns its name in a page's address.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::AllEnded => "all-ended",
            Self::Set => "set",
        }
    }

    /// Returns what happened, in words.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Ended => texts::SAID_ENDED,
            Self::AllEnded => texts::SAID_ALL_ENDED,
            Self::Set => texts::SAID_SET,
        }
    }

    /// Reads a name.
    pub(super) fn read(form: &Form) -> Option<Self> {
        let code = form.one("said")?;
        Self::ALL.into_iter().find(|said| said.code() == code)
    }
}

/// A change of the roll-out that the operator is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RolloutForm {
    pub(super) percentage: i32,
    pub(super) jwt_enabled: bool,
}

impl RolloutForm {
    /// Reads a change from the fields with these names.
    pub(super) fn read(form: &Form, percentage: &str, jwt: &str) -> Option<Self> {
        let percentage = form.one(percentage)?.parse().ok();
        let percentage = percentage.filter(|number| (0..=100).contains(number))?;
        let jwt_enabled = match form.one(jwt)? {
            "on" => true,
            "off" => false,
            _ => return None,
        };
        Some(Self { percentage, jwt_enabled })
    }

    /// Returns the change that leaves everything as it is.
    pub(super) const fn none(rollout: &GetRolloutResponse) -> Self {
        Self { percentage: rollout.percentage, jwt_enabled: rollout.jwt_enabled }
    }

    /// Returns the value of the form's field for the switch.
    pub(super) const fn jwt(self) -> &'static str {
        if self.jwt_enabled { "on" } else { "off" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_whole_or_none() {
        let read = |text: &str| RolloutForm::read(&Form::parse(text.as_bytes()), "to", "jwt");
        let change = |percentage, jwt_enabled| Some(RolloutForm { percentage, jwt_enabled });
        assert_eq!(read("to=0&jwt=off"), change(0, false));
        assert_eq!(read("to=100&jwt=on"), change(100, true));
        for none in
            ["", "to=1", "jwt=on", "to=101&jwt=on", "to=-1&jwt=on", "to=x&jwt=on", "to=1&jwt=1"]
        {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
