//! The peer: the other end of a connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;
use webpki::EndEntityCert;

use super::open_stream::OpenStream;
use crate::transport::callers::certificate_name::CertificateName;

/// The other end of a connection. Each of its requests carries it as an extension, together with what
/// the service holds for the request.
#[derive(Debug, Clone)]
pub struct Peer {
    end: Arc<End>,
    stream: Option<Arc<OpenStream>>,
}

#[derive(Debug)]
struct End {
    address: IpAddr,
    encrypted: bool,
    sans: Vec<CertificateName>,
    /// Cancelled when the certificate is no longer trusted, because the roots were replaced.
    distrusted: CancellationToken,
}

impl Peer {
    /// The peer of a connection in plain text.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self::of(address, false, Vec::new())
    }

    /// The peer of a TLS connection, with its client certificate if it presented one. The handshake
    /// has verified the certificate; here it is only read.
    #[must_use]
    pub fn over_tls(address: SocketAddr, certificate: Option<&CertificateDer<'_>>) -> Self {
        let sans = certificate.map_or_else(Vec::new, sans);
        Self::of(address, true, sans)
    }

    fn of(address: SocketAddr, encrypted: bool, sans: Vec<CertificateName>) -> Self {
        let distrusted = CancellationToken::new();
        let end = End { address: address.ip(), encrypted, sans, distrusted };
        Self { end: Arc::new(end), stream: None }
    }

    /// Returns the peer with one of its requests.
    pub(super) fn with(&self, stream: Arc<OpenStream>) -> Self {
        Self { end: Arc::clone(&self.end), stream: Some(stream) }
    }

    /// Returns what the service holds for this request. `None` in tests without a connection.
    #[must_use]
    pub fn stream(&self) -> Option<&Arc<OpenStream>> {
        self.stream.as_ref()
    }

    /// Marks the certificate as no longer trusted.
    pub(super) fn distrust(&self) {
        self.end.distrusted.cancel();
    }

    /// Returns when the certificate is no longer trusted.
    #[must_use]
    pub fn distrusted(&self) -> &CancellationToken {
        &self.end.distrusted
    }

    /// Returns whether the connection uses TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.end.encrypted
    }

    /// Returns the peer's address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.end.address
    }

    /// Returns the DNS names and URIs of its certificate. There are none once the certificate is no longer
    /// trusted.
    #[must_use]
    pub fn sans(&self) -> &[CertificateName] {
        if self.end.distrusted.is_cancelled() { &[] } else { &self.end.sans }
    }
}

fn sans(certificate: &CertificateDer<'_>) -> Vec<CertificateName> {
    let Ok(read) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let dns = read.valid_dns_names().map(CertificateName::dns);
    // An empty URI names nobody.
    let uris = read.valid_uri_names().filter(|uri| !uri.is_empty());
    dns.chain(uris.map(|uri| CertificateName::Uri(uri.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    #[test]
    fn dns_names_and_uris_are_read() {
        let mut params = CertificateParams::new(["Api.Internal".to_owned()]).unwrap();
        for uri in ["spiffe://prod/Api", "", "other.internal"] {
            params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        }
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let peer = Peer::over_tls(([127, 0, 0, 1], 7).into(), Some(made.der()));
        let uri = |text: &str| CertificateName::Uri(text.to_owned());
        let expected =
            [CertificateName::dns("api.internal"), uri("spiffe://prod/Api"), uri("other.internal")];
        assert_eq!(peer.sans(), expected);
        let garbage = CertificateDer::from(vec![1, 2, 3]);
        assert!(Peer::over_tls(([127, 0, 0, 1], 7).into(), Some(&garbage)).sans().is_empty());
        peer.distrust();
        assert!(peer.sans().is_empty());
    }
}
