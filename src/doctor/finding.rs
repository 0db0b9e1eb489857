//! The result of a check.

use serde::Serialize;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The check passed.
    Ok,
    /// Information.
    Info,
    /// It works, but something is risky or harms users.
    Warn,
    /// It does not work or is not safe.
    Error,
}

impl Severity {
    /// Returns its name in the report.
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

/// A finding. It never contains a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its severity.
    pub severity: Severity,
    /// What was checked, as `part.aspect`. The name is stable, for use by programs.
    pub name: &'static str,
    /// The observation and the remedy, for people.
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
