//! Why a callers' file cannot be used. Messages contain only names, roles and positions.

use std::io;
use std::path::{Path, PathBuf};

use super::roles::UnknownRole;

/// Why a callers' file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CallersFileError {
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// The text is not JSON of the file's form.
    #[error("{0}")]
    Syntax(#[from] serde_json::Error),
    /// An entry names a role that does not exist.
    #[error("{0}")]
    Role(#[from] UnknownRole),
    /// A caller's name has the wrong form.
    #[error("a caller's name is 1 to 64 letters, digits, `-`, `_` and `.`")]
    Name,
    /// A caller has a name that the service itself uses.
    #[error("the name {0} is reserved for the service itself")]
    ReservedName(String),
    /// Two callers have the same name.
    #[error("{0} appears twice")]
    DuplicateName(String),
    /// A caller has no role.
    #[error("{0} has no role")]
    NoRole(String),
    /// A caller cannot prove itself.
    #[error("{0} has neither a key nor a certificate name")]
    NoCredential(String),
    /// The hash of a caller's key has the wrong form.
    #[error("{0}: keys_sha256 must be 64 hex digits each")]
    KeyHash(String),
    /// A key appears twice, in two callers or in one.
    #[error("{0} has a key that appears twice")]
    DuplicateKey(String),
    /// A certificate name has the wrong form.
    #[error("{caller}: `{name}` is neither a DNS name nor a URI")]
    CertificateName {
        /// The caller.
        caller: String,
        /// The name in the file.
        name: String,
    },
    /// A certificate name appears twice, in two callers or in one.
    #[error("the certificate name {0} appears twice")]
    DuplicateCertificateName(String),
    /// The file at this path cannot be used.
    #[error("{}: {cause}", path.display())]
    At {
        /// The file.
        path: PathBuf,
        /// The fault.
        #[source]
        cause: Box<Self>,
    },
}

impl CallersFileError {
    /// Adds the file's path.
    pub(super) fn at(self, path: &Path) -> Self {
        Self::At { path: path.to_owned(), cause: Box::new(self) }
    }
}
