//! Connections of subcommands to a service, with TLS or without.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

/// A service.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The name or the IP address of its host.
    pub(super) host: String,
    pub(super) port: u16,
    /// `None`: without TLS.
    pub(super) tls: Option<Tls>,
}

/// How the service's certificate is verified.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    /// The name that the certificate has to have.
    pub(super) name: ServerName<'static>,
}

impl Tls {
    /// Accepts any certificate of a service at this address of this machine.
    pub(super) fn any_certificate(address: IpAddr) -> Result<Self, String> {
        let config = any_certificate(b"h2").map_err(|error| error.to_string())?;
        Ok(Self { config: Arc::new(config), name: address.into() })
    }
}

impl Target {
    /// Returns the address as a URL.
    pub(super) fn address(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.host_and_port())
    }

    fn host_and_port(&self) -> String {
        match self.host.parse::<Ipv6Addr>() {
            Ok(ip) => format!("[{ip}]:{}", self.port),
            Err(_) => format!("{}:{}", self.host, self.port),
        }
    }
}

/// Prepares a connection to gRPC that the first call opens. A lost connection is opened again.
pub(super) fn lazy(target: Target, connect: Duration, call: Duration) -> Result<Channel, String> {
    // The connector adds TLS, so the endpoint must not.
    let endpoint = Endpoint::from_shared(format!("http://{}", target.host_and_port()));
    let endpoint = endpoint.map_err(|error| error.to_string())?;
    let endpoint = endpoint.connect_timeout(connect).timeout(call);
    let Target { host, port, tls } = target;
    let Some(Tls { config, name }) = tls else {
        return Ok(endpoint.connect_lazy());
    };
    let mut config = ClientConfig::clone(&config);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let open = move |_| {
        let (host, name, connector) = (host.clone(), name.clone(), connector.clone());
        async move {
            let stream = TcpStream::connect((host, port)).await?;
            Ok::<_, io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    };
    Ok(endpoint.connect_with_connector_lazy(tower::service_fn(open)))
}

/// Connects to gRPC.
pub(super) async fn grpc(address: SocketAddr, encrypted: bool) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint.map_err(|error| error.to_string())?;
    let channel = if encrypted {
        let connect =
            move |_| async move { Ok::<_, io::Error>(TokioIo::new(tls(address, b"h2").await?)) };
        endpoint.connect_with_connector(tower::service_fn(connect)).await
    } else {
        endpoint.connect().await
    };
    channel.map_err(|_| format!("nothing answers on {address}"))
}

/// Opens an encrypted connection for one protocol (ALPN, RFC 7301).
pub(super) async fn tls(address: SocketAddr, protocol: &[u8]) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let config = any_certificate(protocol).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(address.ip().into(), stream).await
}

/// Returns a TLS configuration that accepts any certificate. The certificate names the host that
/// callers use, not this address. It is only for a service on this machine.
fn any_certificate(protocol: &[u8]) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyName(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

/// Accepts any certificate whose private key the server holds.
#[derive(Debug)]
struct AnyName(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
