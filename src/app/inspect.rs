//! The parts of the doctor's inspection that need concrete types. They change nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::database::connect;
use super::{AppError, legacy};
use crate::config::Config;
use crate::doctor::{CallerSeen, CallersSeen, CertificateSeen};
use crate::store::inspect::Place;
use crate::store::url::DatabaseUrl;
use crate::store::{Inspect, LegacyRows, sqlite};
use crate::transport::callers::file::CallersFile;
use crate::transport::callers::roles::{METRICS, Role};
use crate::transport::serve::tls::Tls;

/// How long to wait for the process on this machine.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum size of a metrics page. Another program at this port may send without end.
const MAX_PAGE: usize = 4 << 20;

/// Opens the database that the settings name for inspection. Nothing is created or changed, not even a
/// missing SQLite file.
///
/// # Errors
/// Returns [`AppError::Url`] if the URL is invalid.
pub fn database(config: &Config) -> Result<Arc<dyn Inspect>, AppError> {
    Ok(match &config.database {
        DatabaseUrl::Sqlite(path) => Arc::new(sqlite::SqliteInspection::new(path)),
        DatabaseUrl::Postgres(url) => connect(config, url)?,
    })
}

/// Opens the database of legacy sessions for inspection. `None`: none are configured.
///
/// # Errors
/// Returns [`AppError::Url`] if the URL is invalid.
pub fn legacy_rows(config: &Config) -> Result<Option<Arc<dyn LegacyRows>>, AppError> {
    config.legacy.as_ref().map(|settings| legacy::inspect(config, settings)).transpose()
}

/// Returns the place of the legacy sessions if they are in another Postgres than our own sessions.
///
/// # Errors
/// Returns [`AppError::Url`] if the URL is invalid.
pub fn legacy_place(config: &Config) -> Result<Option<Place>, AppError> {
    legacy::place(config)
}

/// Reads the callers file. `None`: there is none, or it cannot be read.
#[must_use]
pub fn callers(config: &Config) -> Option<CallersSeen> {
    let path = config.network.callers_file.as_deref()?;
    let file = CallersFile::read(path).ok()?;
    let seen = file.callers.into_iter().map(|caller| CallerSeen {
        roles: (caller.roles.len(), Role::ALL.len()),
        name: caller.name,
        keys_sha256: caller.keys_sha256,
    });
    Some(CallersSeen {
        path: path.display().to_string(),
        mode: path.metadata().ok()?.mode() & 0o777,
        callers: seen.collect(),
    })
}

/// Reads the certificate of the ports. `None`: there is none, or it cannot be loaded.
#[must_use]
pub fn certificate(config: &Config) -> Option<CertificateSeen> {
    let tls = Tls::load(config.network.tls.clone()?).ok()?;
    let (begins, ends) = tls.validity();
    Some(CertificateSeen { begins, ends })
}

/// Reads the metrics of the process that listens on `METRICS_ADDR` of this machine. `None`: none
/// answers.
pub async fn own_metrics(config: &Config) -> Option<String> {
    let address = reachable(config.metrics_addr);
    tokio::time::timeout(INSPECT_TIMEOUT, page(address)).await.ok()?
}

async fn page(address: SocketAddr) -> Option<String> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut client, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let driving = tokio::spawn(connection);
    let request = Request::get(METRICS.path()).header(header::HOST, address.to_string());
    let answer = client.send_request(request.body(Empty::<Bytes>::new()).ok()?).await.ok()?;
    let is_good = answer.status().is_success();
    let body = Limited::new(answer.into_body(), MAX_PAGE).collect().await.ok()?.to_bytes();
    driving.abort();
    String::from_utf8(body.to_vec()).ok().filter(|_| is_good)
}

/// Returns the address at which a process on this machine reaches a listener on every interface.
#[must_use]
pub fn reachable(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        // Such a listener also accepts IPv4. A pod without IPv6 has no ::1.
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}

#[cfg(test)]
mod tests {
    use super::reachable;

    #[test]
    fn a_listener_on_every_interface_is_reached_on_loopback() {
        let of = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(of("0.0.0.0:50051"), "127.0.0.1:50051");
        assert_eq!(of("[::]:50051"), "127.0.0.1:50051");
        assert_eq!(of("10.0.0.1:50051"), "10.0.0.1:50051");
    }
}
