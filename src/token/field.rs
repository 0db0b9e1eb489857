//! The error for a request field whose value breaks a rule.

use std::borrow::Cow;

/// A field whose value breaks a rule. Names the field and the rule, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct InvalidField {
    /// The field's name or path in the contract, such as `user_id` or `claims.roles[2]`.
    pub field: Cow<'static, str>,
    /// The rule that it broke, to end the sentence "`user_id` …".
    pub rule: &'static str,
}

impl InvalidField {
    /// Creates the error for `field`, which breaks `rule`.
    #[must_use]
    pub const fn new(field: &'static str, rule: &'static str) -> Self {
        Self { field: Cow::Borrowed(field), rule }
    }

    /// Creates the error for a value inside a field, which breaks `rule`.
    #[must_use]
    pub const fn at(path: String, rule: &'static str) -> Self {
        Self { field: Cow::Owned(path), rule }
    }
}

/// Checks that a text has 1 to `most` bytes and no control character (Unicode category Cc). NUL,
/// line breaks and escape sequences must not reach a log or a database.
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
