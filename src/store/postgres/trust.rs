//! The certificates that a Postgres's certificate is checked against.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::invalid_url::InvalidPostgresUrl;

/// Adds the root certificates: those of a file, or those of the operating system. The latter are
/// used for `system`, and if the mode checks certificates and the URL names no file. sqlx itself
/// only knows the public authorities that were compiled in, not a company's own.
pub(super) fn apply(
    options: PgConnectOptions,
    root_certificate: Option<&str>,
) -> Result<PgConnectOptions, InvalidPostgresUrl> {
    let checks = matches!(options.get_ssl_mode(), PgSslMode::VerifyCa | PgSslMode::VerifyFull);
    match root_certificate {
        Some("system") => match system() {
            Some(pem) => Ok(options.ssl_root_cert_from_pem(pem)),
            None => Err(InvalidPostgresUrl::NoSystemTrust),
        },
        Some(path) => Ok(options.ssl_root_cert(path)),
        None if checks && std::env::var_os("PGSSLROOTCERT").is_none() => Ok(match system() {
            Some(pem) => options.ssl_root_cert_from_pem(pem),
            None => options,
        }),
        None => Ok(options),
    }
}

/// The operating system's trusted certificates as PEM. `None` if there are none. A certificate
/// that rustls cannot read is left out, because it would fail the whole connection.
fn system() -> Option<Vec<u8>> {
    let mut readable = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs().certs;
    let found = found.into_iter().filter(|certificate| readable.add(certificate.clone()).is_ok());
    let pem: String = found.map(|certificate| as_pem(&certificate)).collect();
    (!pem.is_empty()).then(|| pem.into_bytes())
}

fn as_pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut lines = String::new();
    // RFC 7468 section 2: lines of 64 characters.
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        lines.push_str(line);
        lines.push('\n');
        rest = after;
    }
    format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
}
