//! The HTTP client of OTLP over HTTP.
//!
//! The SDK exports from a thread of its own, outside of the runtime. The client therefore runs each
//! request on the runtime that it was created on.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::HttpError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;

/// The maximum size of a response. Collectors answer with a few bytes.
const MAX_RESPONSE: usize = 64 * 1024;

/// Sends requests over HTTP/1.1, with TLS or without.
#[derive(Debug)]
pub(super) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Handle,
}

impl HttpClient {
    /// Creates a client that trusts the given root certificates, or else the system's.
    pub(super) fn new(roots: Option<&[u8]>) -> io::Result<Self> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(trusting(roots)?)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), runtime })
    }
}

/// Returns a TLS configuration that trusts the given root certificates, or else the system's.
pub(crate) fn trusting(roots: Option<&[u8]>) -> io::Result<ClientConfig> {
    let mut store = RootCertStore::empty();
    match roots {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                store.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
            }
        }
        // The system may have some unreadable certificates. If there is none at all, https fails
        // and the failure is logged.
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(config.with_root_certificates(store).with_no_client_auth())
}

#[async_trait]
impl opentelemetry_http::HttpClient for HttpClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let response = client.request(request.map(Full::new)).await?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MAX_RESPONSE).collect().await?.to_bytes();
            Ok(Response::from_parts(parts, body))
        });
        sent.await?
    }
}
