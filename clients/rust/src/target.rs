//! Where the service is, and who calls.

use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the service is, and who calls.
#[derive(Debug, Clone)]
pub struct Target {
    endpoint: Endpoint,
    credential: Option<MetadataValue<Ascii>>,
}

/// An address or a caller's key that is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The address cannot be read, or TLS cannot be set up.
    #[error("the authority's address cannot be used: {0}")]
    Address(#[from] tonic::transport::Error),
    /// The caller's key holds a character that no header may hold.
    #[error("the caller's key is no header's value")]
    ApiKey,
}

impl Target {
    /// A service's gRPC address: `host:port`, `http://host:port`, or `https://host:port` for TLS with the
    /// system's roots.
    ///
    /// # Errors
    /// Returns [`TargetError::Address`] if the address cannot be read.
    pub fn new(address: &str) -> Result<Self, TargetError> {
        let has_scheme = address.contains("://");
        let url = if has_scheme { address.to_owned() } else { format!("http://{address}") };
        let is_secure = url.starts_with("https://");
        let endpoint = Endpoint::from_shared(url)?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .tcp_nodelay(true);
        let target = Self { endpoint, credential: None };
        if is_secure { target.tls(ClientTlsConfig::new().with_native_roots()) } else { Ok(target) }
    }

    /// The same, with another configuration of TLS: a root of your own, a client certificate.
    ///
    /// # Errors
    /// Returns [`TargetError::Address`] if the configuration cannot be used.
    pub fn tls(self, config: ClientTlsConfig) -> Result<Self, TargetError> {
        Ok(Self { endpoint: self.endpoint.tls_config(config)?, ..self })
    }

    /// The same, as the caller who has this key.
    ///
    /// # Errors
    /// Returns [`TargetError::ApiKey`] if it is no header's value.
    pub fn api_key(self, key: &str) -> Result<Self, TargetError> {
        let credential: Result<MetadataValue<Ascii>, _> = format!("Bearer {key}").parse();
        let mut credential = credential.map_err(|_| TargetError::ApiKey)?;
        credential.set_sensitive(true);
        Ok(Self { credential: Some(credential), ..self })
    }

    /// A connection of its own, made with the first call.
    pub(crate) fn connect(&self) -> Channel {
        self.endpoint.connect_lazy()
    }

    pub(crate) fn credential(&self) -> Credential {
        Credential(self.credential.clone())
    }
}

/// Adds the caller's key to each call.
#[derive(Debug, Clone)]
pub(crate) struct Credential(Option<MetadataValue<Ascii>>);

impl tonic::service::Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(credential) = &self.0 {
            request.metadata_mut().insert("authorization", credential.clone());
        }
        Ok(request)
    }
}
