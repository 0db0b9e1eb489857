//! A name in a client certificate: a DNS name or a URI (RFC 5280 section 4.2.1.6).

/// A subject alternative name. The kind is part of the name: a certificate for the URI
/// `api.internal` must not pass for the DNS name `api.internal`, because a certificate authority
/// that checks domains need not check URIs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CertificateName {
    /// A DNS name, in lower case.
    Dns(String),
    /// A URI, as it is written.
    Uri(String),
}

impl CertificateName {
    /// Makes the DNS name of this text. DNS names are compared without regard to case.
    #[must_use]
    pub fn dns(text: &str) -> Self {
        Self::Dns(text.to_ascii_lowercase())
    }

    /// Reads a name from the callers' file: a text with a colon is a URI, because a DNS name
    /// cannot hold one and a URI begins with its scheme (RFC 3986 section 3).
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text.contains(':') { Self::Uri(text.to_owned()) } else { Self::dns(text) }
    }

    /// Returns the text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Dns(text) | Self::Uri(text) => text,
        }
    }
}
