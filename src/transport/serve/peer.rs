//! Who is at the other end of a connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The other end of a connection. Found among the extensions of each request that it makes.
#[derive(Debug, Clone)]
pub struct Peer(Arc<End>);

#[derive(Debug)]
struct End {
    address: IpAddr,
    encrypted: bool,
    sans: Vec<String>,
}

impl Peer {
    /// At the other end of a connection in plain text.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self(Arc::new(End { address: address.ip(), encrypted: false, sans: Vec::new() }))
    }

    /// At the other end of TLS, with the certificate that it proved to hold, where it showed one.
    /// The certificate has been verified during the handshake; here it is only read.
    #[must_use]
    pub fn over_tls(address: SocketAddr, certificate: Option<&CertificateDer<'_>>) -> Self {
        let sans = certificate.map_or_else(Vec::new, sans);
        Self(Arc::new(End { address: address.ip(), encrypted: true, sans }))
    }

    /// Whether the connection is TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.0.encrypted
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.0.address
    }

    /// The subject alternative names of its certificate: DNS names in lower case, URIs as they
    /// are.
    #[must_use]
    pub fn sans(&self) -> &[String] {
        &self.0.sans
    }
}

fn sans(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(read) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let dns = read.valid_dns_names().map(str::to_ascii_lowercase);
    dns.chain(read.valid_uri_names().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    #[test]
    fn dns_names_and_uris_are_read() {
        let mut params = CertificateParams::new(["Api.Internal".to_owned()]).unwrap();
        let uri = SanType::URI("spiffe://prod/Api".try_into().unwrap());
        params.subject_alt_names.push(uri);
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let peer = Peer::over_tls(([127, 0, 0, 1], 7).into(), Some(made.der()));
        assert_eq!(peer.sans(), ["api.internal", "spiffe://prod/Api"]);
        let garbage = CertificateDer::from(vec![1, 2, 3]);
        assert!(Peer::over_tls(([127, 0, 0, 1], 7).into(), Some(&garbage)).sans().is_empty());
    }
}
