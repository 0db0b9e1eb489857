//! Why a text is not a usable Postgres URL.

use crate::store::strict_url::UrlError;

/// Why a text is not a Postgres URL. Never holds a piece of the text, which may be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPostgresUrl {
    /// The text cannot be parsed.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A parameter has a value that it cannot have.
    #[error("has an invalid value of the parameter {0}")]
    Parameter(&'static str),
    /// The number of ports does not match the number of hosts.
    #[error("needs one port for all hosts, or one for each host")]
    Ports,
    /// The URL asks for a server that this service cannot work with.
    #[error(
        "asks for target_session_attrs other than any, read-write or primary, but this service \
         writes"
    )]
    SessionAttributes,
    /// `sslrootcert=system` with a mode that does not check the host's name.
    #[error(
        "combines sslrootcert=system with a weaker sslmode than verify-full: everyone can get a \
         certificate of a public authority for a name of their own"
    )]
    WeakSystemTrust,
    /// The operating system has no trusted certificates.
    #[error(
        "says sslrootcert=system, but no trusted certificates were found: install \
         ca-certificates, or set SSL_CERT_FILE"
    )]
    NoSystemTrust,
}
