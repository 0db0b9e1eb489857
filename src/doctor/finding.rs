//! What a check finds.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It was looked at and is good.
    Ok,
    /// Worth knowing.
    Info,
    /// It works, but hurts or endangers someone.
    Warn,
    /// It does not work, or is not safe.
    Error,
}

impl Severity {
    /// Its name, as the report has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Something found. Holds nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was looked at, as `part.aspect`: stable, for machines.
    pub name: &'static str,
    /// What was seen and what to do, for people.
    pub message: String,
}

impl Finding {
    pub(super) fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Ok, name, message: message.into() }
    }

    pub(super) fn info(name: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Info, name, message: message.into() }
    }

    pub(super) fn warn(name: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warn, name, message: message.into() }
    }

    pub(super) fn error(name: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, name, message: message.into() }
    }
}
