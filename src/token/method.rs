//! The two kinds of access token.

/// A kind of access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthMethod {
    /// A signed JWT. A verifier checks it without the database.
    Jwt,
    /// An opaque session token. It is looked up in the database.
    Session,
}

impl AuthMethod {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Jwt, Self::Session];

    /// Its name in the database and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::Session => "session",
        }
    }

    /// Parses a stored name.
    #[must_use]
    pub fn from_stored(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }

    /// The other kind.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Jwt => Self::Session,
            Self::Session => Self::Jwt,
        }
    }
}
