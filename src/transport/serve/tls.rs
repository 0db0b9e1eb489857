//! TLS: the server's certificate, and the roots of clients' certificates.
//!
//! Every handshake reads the current configuration. A replaced certificate is used from the next
//! connection on, and no connection is dropped.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use x509_parser::parse_x509_certificate;

use crate::clock::Timestamp;

/// A TLS file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", path.display())]
pub struct TlsError {
    /// The file.
    path: PathBuf,
    #[source]
    cause: TlsCause,
}

/// Why a TLS file cannot be used.
#[derive(Debug, thiserror::Error)]
enum TlsCause {
    #[error("{0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    #[error("holds no certificate")]
    Empty,
    #[error("{0}")]
    Certificate(#[from] x509_parser::nom::Err<x509_parser::error::X509Error>),
    #[error("{0}")]
    Unusable(#[from] rustls::Error),
    #[error("{0}")]
    Roots(#[from] rustls::server::VerifierBuilderError),
}

impl TlsCause {
    fn of(path: &Path) -> impl Fn(Self) -> TlsError + Copy {
        move |cause| TlsError { path: path.to_owned(), cause }
    }
}

/// The PEM files of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, followed by its intermediate certificates.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The roots of clients' certificates. `None`: the server does not ask clients for one.
    pub client_ca: Option<PathBuf>,
}

/// The configuration that handshakes use.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    current: ArcSwap<Loaded>,
    /// Changes with every reload.
    reloads: watch::Sender<()>,
}

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    /// Verifies clients' certificates.
    clients: Arc<dyn ClientCertVerifier>,
    /// The time from which all certificates of the chain are valid, and when the first one expires.
    validity: (Timestamp, Timestamp),
}

impl Tls {
    /// Loads the files.
    ///
    /// # Errors
    /// Returns [`TlsError`] with the path if a file cannot be used.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let current = ArcSwap::from_pointee(Loaded::new(&files)?);
        Ok(Self { files, current, reloads: watch::Sender::new(()) })
    }

    /// Loads the files again, for new connections.
    ///
    /// # Errors
    /// Returns [`TlsError`] with the path if a file cannot be used. Then nothing changes.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(Arc::new(Loaded::new(&self.files)?));
        self.reloads.send_replace(());
        Ok(())
    }

    /// Returns when the first certificate of the chain expires.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        self.validity().1
    }

    /// Returns the time from which all certificates of the chain are valid, and when the first one
    /// expires.
    #[must_use]
    pub fn validity(&self) -> (Timestamp, Timestamp) {
        self.current.load().validity
    }

    /// Returns the files' paths.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let TlsFiles { certificate, key, client_ca } = &self.files;
        [Some(certificate), Some(key), client_ca.as_ref()]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }

    /// Waits until a client's certificate is no longer trusted, because the roots were replaced or it
    /// has expired by the time of a reload.
    pub(super) async fn distrusted(&self, chain: &[CertificateDer<'_>]) {
        let mut reloads = self.reloads.subscribe();
        while self.trusts(chain) {
            if reloads.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn trusts(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some((own, intermediates)) = chain.split_first() else { return true };
        let clients = Arc::clone(&self.current.load().clients);
        clients.verify_client_cert(own, intermediates, UnixTime::now()).is_ok()
    }

    /// Returns an acceptor with the current configuration.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.load().config))
    }
}

impl Loaded {
    fn new(files: &TlsFiles) -> Result<Self, TlsError> {
        let at_certificate = |cause| TlsCause::of(&files.certificate)(cause);
        let chain = certificates(&files.certificate).map_err(at_certificate)?;
        let validity = validity(&chain).map_err(at_certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.key);
        let key = key.map_err(|error| TlsCause::of(&files.key)(error.into()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients = verifier(files.client_ca.as_deref(), Arc::clone(&provider))?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| {
                config.with_client_cert_verifier(Arc::clone(&clients)).with_single_cert(chain, key)
            });
        let mut config = config.map_err(|error| at_certificate(error.into()))?;
        // RFC 7301. The gRPC port serves gRPC-Web over HTTP/1.1, too.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), clients, validity })
    }
}

/// Client certificates are optional, because a caller may use an API key instead.
fn verifier(
    client_ca: Option<&Path>,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let Some(path) = client_ca else { return Ok(Arc::new(NoClientAuth)) };
    let build = || -> Result<Arc<dyn ClientCertVerifier>, TlsCause> {
        let mut roots = RootCertStore::empty();
        for root in certificates(path)? {
            roots.add(root)?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(builder.allow_unauthenticated().build()?)
    };
    build().map_err(TlsCause::of(path))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsCause> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)?.collect::<Result<_, _>>()?;
    if chain.is_empty() { Err(TlsCause::Empty) } else { Ok(chain) }
}

fn validity(chain: &[CertificateDer<'_>]) -> Result<(Timestamp, Timestamp), TlsCause> {
    let read = |certificate: &CertificateDer<'_>| {
        let (_, read) = parse_x509_certificate(certificate)?;
        let (begins, ends) = (read.validity().not_before, read.validity().not_after);
        Ok([begins, ends].map(|moment| Timestamp::from_seconds(moment.timestamp())))
    };
    let all: Vec<_> = chain.iter().map(read).collect::<Result<_, TlsCause>>()?;
    let all = all
        .into_iter()
        .reduce(|[begins, ends], [later, sooner]| [begins.max(later), ends.min(sooner)]);
    all.map(|[begins, ends]| (begins, ends)).ok_or(TlsCause::Empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    fn write(folder: &Path, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let made = params.self_signed(&key).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), made.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        (made.pem(), key.serialize_pem())
    }

    #[test]
    fn a_broken_replacement_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "one");
        let (other_certificate, other_key) = write(folder.path(), "other");
        let (certificate, key) = (folder.path().join("one.pem"), folder.path().join("one.key"));
        let files =
            TlsFiles { certificate: certificate.clone(), key: key.clone(), client_ca: None };
        let tls = Tls::load(files).unwrap();
        let before = Arc::as_ptr(&tls.current.load());
        for broken in ["", "no certificate", &other_certificate] {
            std::fs::write(&certificate, broken).unwrap();
            let problem = tls.reload().unwrap_err().to_string();
            assert!(problem.contains("one.pem"), "{problem}");
            assert_eq!(Arc::as_ptr(&tls.current.load()), before);
        }
        std::fs::write(&key, other_key).unwrap();
        tls.reload().unwrap();
        assert_ne!(Arc::as_ptr(&tls.current.load()), before);
    }

    #[test]
    fn the_certificate_that_expires_first_counts() {
        let folder = tempfile::tempdir().unwrap();
        let mut chain = String::new();
        let mut pem = |year| {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            chain.push_str(&params.self_signed(&key).unwrap().pem());
            key.serialize_pem()
        };
        let (key, _) = (pem(2050), pem(2040));
        let files = TlsFiles {
            certificate: folder.path().join("chain.pem"),
            key: folder.path().join("chain.key"),
            client_ca: None,
        };
        std::fs::write(&files.certificate, chain).unwrap();
        std::fs::write(&files.key, key).unwrap();
        // date -u -d 2040-01-01 +%s
        let expected = Timestamp::from_seconds(2_208_988_800);
        assert_eq!(Tls::load(files).unwrap().ends(), expected);
    }
}
