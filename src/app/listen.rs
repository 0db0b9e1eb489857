//! Opens the ports in two steps, or says which setting names the port and what to do.
//!
//! The addresses are bound before anything else is done, so that a taken port leaves no new database
//! and no generated secret behind. Connections are accepted only when the service is complete: until
//! then, clients and probes see a closed port instead of one that does not answer.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use crate::config::{Config, Environment};

/// Connections that may wait to be accepted. The kernel limits the number further.
const BACKLOG: u32 = 1024;

/// A port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({setting}): {error}; {remedy}")]
pub struct ListenError {
    setting: &'static str,
    address: SocketAddr,
    error: io::Error,
    remedy: String,
}

impl ListenError {
    fn new(setting: &'static str, address: SocketAddr, error: io::Error) -> Self {
        let flag = format!("--{}", setting.to_lowercase().replace('_', "-"));
        let remedy = match error.kind() {
            ErrorKind::AddrInUse => format!(
                "another process uses this port: end it, or choose another port with {setting} or \
                 {flag}"
            ),
            ErrorKind::PermissionDenied => format!(
                "ports below 1024 need a privilege: choose a higher port with {setting} or {flag}"
            ),
            ErrorKind::AddrNotAvailable => format!(
                "this machine does not have this address: choose another one with {setting} or \
                 {flag}"
            ),
            _ => format!("choose another address with {setting} or {flag}"),
        };
        Self { setting, address, error, remedy }
    }
}

/// The bound addresses of the three ports.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) grpc: BoundPort,
    pub(super) http: BoundPort,
    /// `None` in development, if the port is taken: several processes may share one machine there,
    /// and Prometheus scrapes none of them.
    pub(super) metrics: Option<BoundPort>,
}

impl Ports {
    /// Binds the addresses of the settings.
    ///
    /// # Errors
    /// Returns [`ListenError`] with the remedy if the operating system refuses one.
    pub(super) fn bind(config: &Config) -> Result<Self, ListenError> {
        let metrics = match BoundPort::bind("METRICS_ADDR", config.metrics_addr) {
            Err(error) if config.environment == Environment::Development => {
                tracing::warn!("metrics are not served: {error}");
                None
            }
            metrics => Some(metrics?),
        };
        Ok(Self {
            grpc: BoundPort::bind("GRPC_ADDR", config.grpc_addr)?,
            http: BoundPort::bind("HTTP_ADDR", config.http_addr)?,
            metrics,
        })
    }
}

/// An address that is bound and does not accept connections yet.
#[derive(Debug)]
pub(super) struct BoundPort {
    setting: &'static str,
    address: SocketAddr,
    socket: TcpSocket,
}

impl BoundPort {
    fn bind(setting: &'static str, address: SocketAddr) -> Result<Self, ListenError> {
        let bound = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // Without this option, a restart fails while old connections are in TIME_WAIT.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            Ok(socket)
        };
        let socket = bound().map_err(|error| ListenError::new(setting, address, error))?;
        Ok(Self { setting, address, socket })
    }

    /// Accepts connections from now on.
    ///
    /// # Errors
    /// Returns [`ListenError`] if another process was quicker.
    pub(super) fn listen(self) -> Result<TcpListener, ListenError> {
        let Self { setting, address, socket } = self;
        socket.listen(BACKLOG).map_err(|error| ListenError::new(setting, address, error))
    }
}
