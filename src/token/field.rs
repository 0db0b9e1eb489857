//! What a caller got wrong: a field, and the rule that it broke.

/// A value that breaks its field's rule. Says which rule, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct InvalidField {
    /// The field's name in the contract, such as `user_id`.
    pub field: &'static str,
    /// The rule that it broke, to end the sentence "`user_id` …".
    pub rule: &'static str,
}

impl InvalidField {
    /// Says that `field` breaks `rule`.
    #[must_use]
    pub const fn new(field: &'static str, rule: &'static str) -> Self {
        Self { field, rule }
    }
}

/// Checks that a text has 1 to `most` bytes and no control character (Unicode Cc, so that NUL,
/// line ends and escapes can reach neither a log nor a database).
pub(crate) fn bounded(
    field: &'static str,
    text: &str,
    most: usize,
    rule: &'static str,
) -> Result<(), InvalidField> {
    if text.is_empty() || text.len() > most || text.chars().any(char::is_control) {
        return Err(InvalidField::new(field, rule));
    }
    Ok(())
}
