//! The settings of a Postgres connection: its URL and its limits.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use super::invalid_url::InvalidPostgresUrl;
use super::trust;
use crate::store::legacy::Identifier;
use crate::store::strict_url::{Host, StrictUrl, UrlError};

/// The settings of a Postgres connection.
#[derive(Clone)]
pub struct Options {
    /// The URL. `pgbouncer=true` states that a transaction pooler is in between, in case it cannot
    /// be detected.
    pub url: String,
    /// The file that holds the URL. It is read again when it changes, and when a login fails.
    pub url_file: Option<PathBuf>,
    /// The schema of the tables. `None`: the first one of the role's `search_path`.
    pub schema: Option<Identifier>,
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
            url_file: None,
            schema: None,
            max_connections: 10,
            acquire_timeout: Duration::from_secs(2),
            timeout: Duration::from_millis(2500),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("url_file", &self.url_file)
            .field("schema", &self.schema)
            .field("max_connections", &self.max_connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A parsed URL.
#[derive(Debug)]
pub(super) struct Settings {
    /// How to connect to each host, in order. At least one.
    pub(super) hosts: Vec<PgConnectOptions>,
    /// Whether only a server that accepts writes is used.
    pub(super) writable_only: bool,
    /// Whether the URL says that a pooler is used.
    pub(super) pooled: bool,
}

/// The parameters that are passed to sqlx. It logs unknown ones with their values, so only these
/// reach it.
const PASSED_ON: [&str; 13] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "ssl-mode",
];

/// Parameters of other clients that need no action here. Only these names are logged: another
/// name may be a piece of a password.
const IGNORED: [&str; 14] = [
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "connection_limit",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_idle",
    "load_balance_hosts",
    "pool_timeout",
    "schema",
    "sslnegotiation",
    "sslsni",
    "tcp_user_timeout",
];

/// Parses a URL.
pub(super) fn read(text: &str) -> Result<Settings, InvalidPostgresUrl> {
    let url = StrictUrl::parse(text, &["postgres", "postgresql"])?;
    let mut read = Reading::default();
    for (name, value) in &url.query {
        read.parameter(name, value)?;
    }
    let hosts = read.hosts(&url)?;
    read.check_trust()?;
    let (mut pooled, mut options) = (read.pooled, Vec::with_capacity(hosts.len()));
    for host in &hosts {
        // The names of Neon's pooled endpoints contain this.
        pooled |= host.as_ref().is_some_and(|host| host.name.contains("-pooler."));
        options.push(read.connect_options(&url, host.as_ref())?);
    }
    Ok(Settings { hosts: options, writable_only: read.writable_only, pooled })
}

/// The parameters of a URL, as far as they are read.
#[derive(Default)]
struct Reading {
    passed_on: Vec<(String, String)>,
    hosts: Option<String>,
    addresses: Option<String>,
    ports: Option<String>,
    mode: Option<PgSslMode>,
    root_certificate: Option<String>,
    writable_only: bool,
    pooled: bool,
}

impl Reading {
    fn parameter(&mut self, name: &str, value: &str) -> Result<(), InvalidPostgresUrl> {
        match name {
            "pgbouncer" => self.pooled = value != "false",
            "host" => self.hosts = Some(value.to_owned()),
            "hostaddr" => self.addresses = Some(value.to_owned()),
            "port" => self.ports = Some(value.to_owned()),
            "target_session_attrs" => match value {
                "any" => self.writable_only = false,
                "read-write" | "primary" => self.writable_only = true,
                _ => return Err(InvalidPostgresUrl::SessionAttributes),
            },
            "sslmode" | "ssl-mode" => {
                let mode = value.parse().map_err(|_| InvalidPostgresUrl::Parameter("sslmode"))?;
                self.mode = Some(mode);
            }
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" => {
                self.root_certificate = Some(value.to_owned());
            }
            _ if PASSED_ON.contains(&name) || name.starts_with("options[") => {
                self.passed_on.push((name.to_owned(), value.to_owned()));
            }
            _ if IGNORED.contains(&name) => {
                tracing::warn!(name, "this parameter of the database URL is ignored");
            }
            _ => tracing::warn!(
                "an unknown parameter of the database URL is ignored; if it is a piece of a \
                 password, percent-encode the password"
            ),
        }
        Ok(())
    }

    /// Returns the hosts, in order. `None` stands for the default of libpq.
    fn hosts(&self, url: &StrictUrl) -> Result<Vec<Option<Host>>, InvalidPostgresUrl> {
        let listed = self.addresses.as_ref().or(self.hosts.as_ref());
        let named: Vec<Host> = match listed {
            Some(names) => names.split(',').map(|name| Host { name: name.into(), port: None }),
            None => return self.with_ports(url.hosts.clone()),
        }
        .collect();
        self.with_ports(named)
    }

    fn with_ports(&self, hosts: Vec<Host>) -> Result<Vec<Option<Host>>, InvalidPostgresUrl> {
        let ports = self.ports.iter().flat_map(|ports| ports.split(','));
        let ports: Vec<u16> = ports
            .map(|port| port.parse().map_err(|_| InvalidPostgresUrl::Parameter("port")))
            .collect::<Result<_, _>>()?;
        if hosts.is_empty() {
            return match ports.as_slice() {
                [] => Ok(vec![None]),
                [port] => {
                    let default = PgConnectOptions::new_without_pgpass();
                    Ok(vec![Some(Host { name: default.get_host().into(), port: Some(*port) })])
                }
                _ => Err(InvalidPostgresUrl::Ports),
            };
        }
        if ports.len() > 1 && ports.len() != hosts.len() {
            return Err(InvalidPostgresUrl::Ports);
        }
        let port = |i: usize| ports.get(i).or(ports.first().filter(|_| ports.len() == 1)).copied();
        let with_port =
            |(i, host): (usize, Host)| Some(Host { port: port(i).or(host.port), ..host });
        Ok(hosts.into_iter().enumerate().map(with_port).collect())
    }

    /// Checks trust as libpq does, and sqlx does not: a root certificate is checked even with
    /// `require`, and the system's trust requires a check of the host's name.
    fn check_trust(&mut self) -> Result<(), InvalidPostgresUrl> {
        let is_system = self.root_certificate.as_deref() == Some("system");
        match (self.mode, is_system) {
            (None | Some(PgSslMode::VerifyFull), true) => self.mode = Some(PgSslMode::VerifyFull),
            (Some(_), true) => return Err(InvalidPostgresUrl::WeakSystemTrust),
            (Some(PgSslMode::Require), false) if self.root_certificate.is_some() => {
                self.mode = Some(PgSslMode::VerifyCa);
            }
            _ => {}
        }
        Ok(())
    }

    fn connect_options(
        &self,
        url: &StrictUrl,
        host: Option<&Host>,
    ) -> Result<PgConnectOptions, InvalidPostgresUrl> {
        let malformed = || InvalidPostgresUrl::Url(UrlError::Malformed);
        let mut plain = Url::parse("postgres:///").map_err(|_| malformed())?;
        {
            let mut pairs = plain.query_pairs_mut();
            let named = [
                ("user", url.username.clone()),
                ("password", url.password.clone()),
                ("dbname", (!url.path.is_empty()).then(|| url.path.clone())),
                ("host", host.map(|host| host.name.clone())),
                ("port", host.and_then(|host| host.port).map(|port| port.to_string())),
            ];
            for (name, value) in named {
                pairs.extend_pairs(value.map(|value| (name, value)));
            }
            pairs.extend_pairs(&self.passed_on);
        }
        let options = PgConnectOptions::from_url(&plain);
        let options =
            options.map_err(|_| InvalidPostgresUrl::Parameter("statement-cache-capacity"))?;
        let options = match self.mode {
            Some(mode) => options.ssl_mode(mode),
            None => options,
        };
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("token-authority"),
        };
        let options = trust::apply(options, self.root_certificate.as_deref())?;
        // PgBouncer refuses `extra_float_digits`, and no column here is a float. Statements are
        // not logged, because operations have spans of their own.
        Ok(options.extra_float_digits(None).disable_statement_logging())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(url: &str) -> PgConnectOptions {
        read(url).unwrap().hosts.remove(0)
    }

    #[test]
    fn a_pooler_is_known_by_its_name_or_by_a_parameter() {
        let pooled = |url| read(url).unwrap().pooled;
        assert!(!pooled("postgres://u@h/d"));
        assert!(!pooled("postgres://u@h/d?pgbouncer=false&sslmode=disable"));
        assert!(pooled("postgres://u@h/d?pgbouncer=true"));
        assert!(pooled("postgres://u@h/d?sslmode=disable&pgbouncer=true"));
        assert!(pooled("postgres://u@ep-a-1-pooler.eu.example.com/d?channel_binding=require"));
    }

    #[test]
    fn parameters_that_sqlx_knows_reach_it() {
        let connect = one("postgres://u:p@h:6543/d?application_name=me&pgbouncer=1&x=y");
        assert_eq!(connect.get_application_name(), Some("me"));
        assert_eq!((connect.get_host(), connect.get_port()), ("h", 6543));
        assert_eq!((connect.get_username(), connect.get_database()), ("u", Some("d")));
        assert_eq!(one("postgres://u@h/d").get_application_name(), Some("token-authority"));
    }

    #[test]
    fn hosts_are_names_addresses_or_sockets() {
        let place = |url: &str| {
            let connect = one(url);
            (connect.get_host().to_owned(), connect.get_port())
        };
        assert_eq!(place("postgres://app@[::1]:5433/db"), ("::1".to_owned(), 5433));
        assert_eq!(place("postgres://app@h/db?hostaddr=::1&port=7"), ("::1".to_owned(), 7));
        let cloud_run = one("postgres://user:pw@/db?host=/cloudsql/project:region:instance");
        let socket = cloud_run.get_socket().and_then(|path| path.to_str());
        assert_eq!(socket, Some("/cloudsql/project:region:instance"));
        assert_eq!(cloud_run.get_database(), Some("db"));
        let encoded = one("postgres://user:pw@%2Fvar%2Frun/db");
        assert_eq!(encoded.get_socket().and_then(|path| path.to_str()), Some("/var/run"));
    }

    #[test]
    fn several_hosts_keep_their_order_and_ports() {
        let several = |url: &str| {
            let settings = read(url).unwrap();
            let place = |host: &PgConnectOptions| (host.get_host().to_owned(), host.get_port());
            (settings.hosts.iter().map(place).collect::<Vec<_>>(), settings.writable_only)
        };
        let expected = vec![("a".to_owned(), 1), ("b".to_owned(), 2)];
        let attrs = "target_session_attrs";
        let of_authority = several(&format!("postgres://u@a:1,b:2/d?{attrs}=read-write"));
        assert_eq!(of_authority, (expected.clone(), true));
        let of_query = several(&format!("postgres://u@/d?host=a,b&port=1,2&{attrs}=any"));
        assert_eq!(of_query, (expected, false));
        let refused = |url: &str| read(url).unwrap_err();
        assert_eq!(refused("postgres://u@a,b,c/d?port=1,2"), InvalidPostgresUrl::Ports);
        let standby = refused("postgres://u@a/d?target_session_attrs=standby");
        assert_eq!(standby, InvalidPostgresUrl::SessionAttributes);
    }

    #[test]
    fn trust_is_never_weaker_than_libpqs() {
        let mode = |url: &str| format!("{:?}", one(url).get_ssl_mode());
        assert_eq!(mode("postgres://u@h/d"), "Prefer");
        assert_eq!(mode("postgres://u@h/d?sslmode=require"), "Require");
        assert_eq!(mode("postgres://u@h/d?sslmode=require&sslrootcert=/ca.pem"), "VerifyCa");
        let weak = read("postgres://u@h/d?sslmode=require&sslrootcert=system").unwrap_err();
        assert_eq!(weak, InvalidPostgresUrl::WeakSystemTrust);
    }

    #[test]
    fn refusals_name_the_parameter_and_no_value() {
        for (url, expected) in [
            ("postgres://u@h:port/d", "not a well-formed URL"),
            ("postgres://u@h/d?sslmode=hunter2", "sslmode"),
            ("postgres://u@h/d?port=hunter2", "port"),
            ("postgres://u:hunter2/x@h/d", "percent-encode"),
        ] {
            let message = read(url).unwrap_err().to_string();
            assert!(message.contains(expected) && !message.contains("hunter2"), "{message}");
        }
        let printed = format!("{:?}", Options::new("postgres://u:hunter2@h/d"));
        assert!(!printed.contains("hunter2"));
    }
}
