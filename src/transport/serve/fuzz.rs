//! Fuzz targets of connections.

use rustls::pki_types::CertificateDer;

use super::flood_guard::FrameScanner;
use super::peer::Peer;
use crate::transport::callers::certificate_name::CertificateName;

/// The same frames are found, however the bytes are cut.
pub(crate) fn frames(data: &[u8]) {
    let (size, data) = data.split_first().map_or((0, data), |(first, rest)| (*first, rest));
    let scan = |size: usize| {
        let (mut scanner, mut found) = (FrameScanner::default(), Vec::new());
        for part in data.chunks(size) {
            scanner.scan(part, |frame| found.push(frame));
        }
        (found, scanner.is_at_boundary())
    };
    let (whole, ends) = scan(data.len().max(1));
    assert_eq!((whole.clone(), ends), scan(usize::from(size) + 1));
    let length: usize = whole.iter().map(|frame| frame.length + 9).sum();
    assert!(!ends || length == data.len());
}

/// The names of a certificate are of their kind.
pub(crate) fn certificate(data: &[u8]) {
    let peer = Peer::over_tls(([127, 0, 0, 1], 7).into(), Some(&CertificateDer::from(data)));
    for name in peer.sans() {
        assert!(!name.as_str().is_empty());
        if let CertificateName::Dns(text) = name {
            // The callers' file can name it, and means no URI.
            assert_eq!(CertificateName::parse(text), *name);
        }
    }
}
