//! The settings of a Postgres connection: its URL and its limits.

use std::fmt;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

/// The text is not a Postgres URL. The error never holds the text, which may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a well-formed Postgres URL")]
pub struct MalformedUrl;

/// The settings of a Postgres connection.
#[derive(Clone)]
pub struct Options {
    /// The URL. `pgbouncer=true` states that a transaction pooler is in between, in case it cannot
    /// be detected.
    pub url: String,
    /// The maximum number of connections.
    pub max_connections: u32,
    /// The time to wait until a connection becomes free or is opened.
    pub acquire_timeout: Duration,
    /// The time limit of an operation, retries included.
    pub timeout: Duration,
}

impl Options {
    /// Returns the defaults: 10 connections, 2 s to get one, and 2.5 s for an operation, which is
    /// below [`STATEMENT_TIMEOUT`](crate::store::sessions::STATEMENT_TIMEOUT).
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            max_connections: 10,
            acquire_timeout: Duration::from_secs(2),
            timeout: Duration::from_millis(2500),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("max_connections", &self.max_connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("patience", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The URL parameters that sqlx knows. Others are not passed on, because sqlx logs them with their
/// values.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Parses a URL. Returns the connection options, and whether the URL says that a pooler is used.
pub(super) fn read(url: &str) -> Result<(PgConnectOptions, bool), MalformedUrl> {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut kept, mut pooled) = (Vec::new(), false);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name == "pgbouncer" {
            pooled = value != "false";
        } else if PARAMETERS.contains(&name) || name.starts_with("options[") {
            kept.push(pair);
        } else {
            tracing::warn!(name, "the database URL has a parameter that means nothing here");
        }
    }
    let url = format!("{place}?{}", kept.join("&"));
    let connect: PgConnectOptions = url.parse().map_err(|_| MalformedUrl)?;
    // The names of Neon's pooled endpoints contain this.
    pooled |= connect.get_host().contains("-pooler.");
    let connect = match connect.get_application_name() {
        Some(_) => connect,
        None => connect.application_name("token-authority"),
    };
    // PgBouncer refuses `extra_float_digits`, and no column here is a float. Statements are not
    // logged, because operations have spans of their own.
    Ok((connect.extra_float_digits(None).disable_statement_logging(), pooled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pooler_is_known_by_its_name_or_by_a_parameter() {
        let pooled = |url| read(url).unwrap().1;
        assert!(!pooled("postgres://u@h/d"));
        assert!(!pooled("postgres://u@h/d?pgbouncer=false&sslmode=disable"));
        assert!(pooled("postgres://u@h/d?pgbouncer=true"));
        assert!(pooled("postgres://u@h/d?sslmode=disable&pgbouncer=true"));
        assert!(pooled("postgres://u@ep-a-1-pooler.eu.example.com/d?channel_binding=require"));
    }

    #[test]
    fn parameters_that_sqlx_knows_reach_it() {
        let (connect, _) =
            read("postgres://u:p@h:6543/d?application_name=me&pgbouncer=1&x=y").unwrap();
        assert_eq!(connect.get_application_name(), Some("me"));
        assert_eq!((connect.get_host(), connect.get_port()), ("h", 6543));
        let (connect, _) = read("postgres://u@h/d").unwrap();
        assert_eq!(connect.get_application_name(), Some("token-authority"));
        assert_eq!(read("postgres://u@h:port/d").unwrap_err(), MalformedUrl);
        assert_eq!(read("postgres://u@h/d?sslmode=no").unwrap_err(), MalformedUrl);
    }

    #[test]
    fn options_do_not_print_the_url() {
        let printed = format!("{:?}", Options::new("postgres://u:hunter2@h/d"));
        assert!(!printed.contains("hunter2"));
    }
}
