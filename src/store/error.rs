//! Why an operation of the store fails, by kind.

/// Why an operation failed. Nothing of it took effect, unless the database's answer was lost:
/// every operation may be retried.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, or did not answer in time.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// Another transaction holds a row of this operation, and did not let go in time.
    #[error("another transaction holds a session's row")]
    Locked,
    /// More operations wait than may.
    #[error("too many operations wait for the database")]
    Overloaded,
    /// The database refused this operation's data, or holds what this version cannot read.
    #[error("the database and this version disagree: {0}")]
    Inconsistent(String),
}

impl StoreError {
    /// Its kind in one word.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Locked => "held",
            Self::Overloaded => "overloaded",
            Self::Inconsistent(_) => "inconsistent",
        }
    }
}
