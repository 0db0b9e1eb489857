//! A problem with a setting.

/// A setting that cannot be used, with the reason and the remedy. The text never contains a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Problem {
    setting: &'static str,
    text: String,
}

impl Problem {
    /// Creates a problem. The text is a whole sentence, which names the setting.
    pub(super) fn new(setting: &'static str, text: impl Into<String>) -> Self {
        Self { setting, text: text.into() }
    }

    /// Returns the name of the setting.
    #[must_use]
    pub const fn setting(&self) -> &'static str {
        self.setting
    }
}
