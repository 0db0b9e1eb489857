//! `token-authority health`: asks the process on this machine whether it serves.

use std::io;
use std::net::SocketAddr;
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
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::app::inspect::reachable;
use crate::config::Config;

const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) async fn run(config: Config) -> Result<(), String> {
    let address = reachable(config.grpc_addr);
    let encrypted = config.network.tls.is_some();
    let asked = tokio::time::timeout(PROBE_TIMEOUT, ask(address, encrypted)).await;
    asked.unwrap_or_else(|_| Err("no answer in time".into()))
}

async fn ask(address: SocketAddr, encrypted: bool) -> Result<(), String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint.map_err(|error| error.to_string())?;
    let channel = if encrypted {
        let tls = Arc::new(own_tls()?);
        let connect = move |_| encrypted_stream(address, Arc::clone(&tls));
        endpoint.connect_with_connector(tower::service_fn(connect)).await
    } else {
        endpoint.connect().await
    };
    let channel = channel.map_err(|_| format!("nothing answers on {address}"))?;
    let request = HealthCheckRequest { service: String::new() };
    let answer = HealthClient::new(channel).check(request).await;
    let answer = answer.map_err(|status| format!("{address}: {}", status.code()))?.into_inner();
    match answer.status() {
        ServingStatus::Serving => Ok(()),
        status => Err(format!("{address}: {}", status.as_str_name())),
    }
}

async fn encrypted_stream(
    address: SocketAddr,
    tls: Arc<ClientConfig>,
) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(address).await?;
    let stream = TlsConnector::from(tls).connect(address.ip().into(), stream).await?;
    Ok(TokioIo::new(stream))
}

/// TLS that asks for no name: the process is on this machine, is asked nothing secret and told
/// nothing secret, and its certificate is for the name that others call it by.
fn own_tls() -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyName(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Takes any certificate, if its holder proves to hold it.
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
