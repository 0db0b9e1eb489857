//! The peer: the other end of a connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::transport::callers::certificate_name::CertificateName;

/// The other end of a connection. Each of its requests carries it as an extension.
#[derive(Debug, Clone)]
pub struct Peer(Arc<End>);

#[derive(Debug)]
struct End {
    address: IpAddr,
    encrypted: bool,
    sans: Vec<CertificateName>,
}

impl Peer {
    /// The peer of a connection in plain text.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self(Arc::new(End { address: address.ip(), encrypted: false, sans: Vec::new() }))
    }

    /// The peer of a TLS connection, with its client certificate if it presented one. The handshake
    /// has verified the certificate; here it is only read.
    #[must_use]
    pub fn over_tls(address: SocketAddr, certificate: Option<&CertificateDer<'_>>) -> Self {
        let sans = certificate.map_or_else(Vec::new, sans);
        Self(Arc::new(End { address: address.ip(), encrypted: true, sans }))
    }

    /// Returns whether the connection uses TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.0.encrypted
    }

    /// Returns the peer's address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.0.address
    }

    /// Returns the DNS names and URIs of its certificate.
    #[must_use]
    pub fn sans(&self) -> &[CertificateName] {
        &self.0.sans
    }
}

fn sans(certificate: &CertificateDer<'_>) -> Vec<CertificateName> {
    let Ok(read) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let dns = read.valid_dns_names().map(CertificateName::dns);
    dns.chain(read.valid_uri_names().map(|uri| CertificateName::Uri(uri.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    #[test]
    fn dns_names_and_uris_are_read() {
        let mut params = CertificateParams::new(["Api.Internal".to_owned()]).unwrap();
        for uri in ["spiffe://prod/Api", "other.internal"] {
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
    }
}
