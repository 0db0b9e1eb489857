//! The errors of the store, by kind.

/// Why an operation failed. A failed operation had no effect, unless the database's answer was
/// lost. Every operation may be retried.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, cannot be written to, or did not answer in time.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Another transaction holds a lock on a row of this operation, and did not release it in
    /// time.
    #[error("another transaction holds a lock on the session's row")]
    Locked,
    /// Too many operations wait for the database already.
    #[error("too many operations wait for the database already")]
    Overloaded,
    /// The database refused this operation's data, or holds data that this version cannot read.
    #[error("the database refused the operation or holds unexpected data: {0}")]
    Inconsistent(String),
}

impl StoreError {
    /// Returns the kind in one word, for spans.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Locked => "locked",
            Self::Overloaded => "overloaded",
            Self::Inconsistent(_) => "inconsistent",
        }
    }

    /// Returns the error for a batch whose answers do not fit its questions.
    pub(super) fn mixed_up() -> Self {
        Self::Inconsistent("a batch returned the wrong kind of answer".into())
    }

    /// Returns the cause without the words that are common to the kind.
    pub(super) fn cause(&self) -> String {
        match self {
            Self::Unavailable(why) | Self::Inconsistent(why) => why.clone(),
            Self::Locked | Self::Overloaded => self.to_string(),
        }
    }

    /// Adds where it happened, unless the cause says so already.
    pub(super) fn at(self, place: &str) -> Self {
        let located = |why: String| {
            if why.contains(place) { why } else { format!("{place}: {why}") }
        };
        match self {
            Self::Unavailable(why) => Self::Unavailable(located(why)),
            Self::Inconsistent(why) => Self::Inconsistent(located(why)),
            other => other,
        }
    }
}
