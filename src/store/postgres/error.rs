//! Classifies the failures of Postgres and of the connection to it, and explains them.
//!
//! Errors hold the SQLSTATE and its meaning. The server's own message of a statement is not passed
//! on, because it may quote values.

use std::io;

use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnectOptions;

use crate::store::StoreError;
use crate::store::connections::Unavailable;

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    pub(super) error: StoreError,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The connection, or its server, is unusable. The statement may or may not have taken effect.
    Broken,
    /// The server cannot be reached now, but may be in a moment: it refuses connections, or starts.
    Starting,
    /// The server refused the login.
    LoginRefused,
    /// The server is read-only and did nothing. Another host may accept writes.
    ReadOnly,
    /// The server rolled the statement back in favour of another one. Retry it.
    Undone,
    /// A prepared statement is outdated and had no effect. Retry it on another connection.
    OutOfDate,
    /// A prepared statement does not exist on this server connection and had no effect, because a
    /// pooler changes connections between our messages.
    StatementLost,
    /// The server cancelled the statement.
    GivenUp,
    /// Another transaction did not release a row lock in time.
    Locked,
    /// The table does not exist.
    TableMissing,
    /// The server refused the statement or its values, or holds data that we cannot read.
    Refused,
}

impl Failure {
    /// Returns whether the connection has to be closed.
    pub(super) const fn breaks_connection(&self) -> bool {
        matches!(
            self.kind,
            Kind::Broken | Kind::Starting | Kind::ReadOnly | Kind::OutOfDate | Kind::StatementLost
        )
    }

    /// Returns whether the attempt certainly had no effect and may succeed the next time.
    pub(super) const fn is_undone(&self) -> bool {
        matches!(self.kind, Kind::Undone | Kind::OutOfDate | Kind::StatementLost | Kind::ReadOnly)
    }

    pub(super) fn unavailable(kind: Kind, why: impl Into<String>) -> Self {
        Self { kind, error: StoreError::Unavailable(why.into()) }
    }

    /// Explains why a connection could not be opened.
    pub(super) fn of_connecting(error: &sqlx::Error, options: &PgConnectOptions) -> Self {
        let (kind, why) = match error {
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default();
                let kind = match &*code {
                    "57P03" => Kind::Starting,
                    code if code.starts_with("28") => Kind::LoginRefused,
                    // PgBouncer's answer to a wrong password.
                    "08P01" if error.message().contains("authentication failed") => {
                        Kind::LoginRefused
                    }
                    _ => Kind::Broken,
                };
                // The words of a pooler are the only cause that it gives. No statement was sent
                // yet, so they quote no value.
                let said = if code.starts_with("08") { error.message() } else { "" };
                let said = if said.is_empty() { String::new() } else { format!(" ({said})") };
                (kind, format!("{}{said}", explain(&code)))
            }
            sqlx::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                let remedy = "is the server running, and are the host and the port right?";
                (Kind::Starting, format!("connection refused; {remedy}"))
            }
            sqlx::Error::Io(error) => (Kind::Broken, explain_io(error, options)),
            sqlx::Error::Tls(error) => (Kind::Broken, explain_tls(&error.to_string())),
            sqlx::Error::Configuration(error) => (Kind::Broken, error.to_string()),
            _ => (Kind::Broken, "the server does not speak Postgres's protocol".into()),
        };
        Self::unavailable(kind, format!("cannot connect to {}: {why}", describe(options)))
    }

    fn of_server(error: &dyn DatabaseError) -> Self {
        let code = error.code().unwrap_or_default();
        let kind = match &*code {
            // A serialization failure, or a deadlock.
            "40001" | "40P01" => Kind::Undone,
            // A change of the schema invalidates a cached plan.
            "0A000" => Kind::OutOfDate,
            "25006" => Kind::ReadOnly,
            "26000" | "42P05" => Kind::StatementLost,
            "57014" => Kind::GivenUp,
            "55P03" => Kind::Locked,
            "42P01" => Kind::TableMissing,
            code if is_of_data(code) => Kind::Refused,
            _ => Kind::Broken,
        };
        match kind {
            Kind::TableMissing | Kind::Refused => {
                Self { kind, error: StoreError::Inconsistent(explain(&code)) }
            }
            Kind::Locked => Self { kind, error: StoreError::Locked },
            _ => Self::unavailable(kind, explain(&code)),
        }
    }
}

/// Names a server, database and role.
pub(super) fn describe(options: &PgConnectOptions) -> String {
    format!("{} as {}", place(options), options.get_username())
}

/// Names a server and database.
pub(super) fn place(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    let (host, port) = (options.get_host(), options.get_port());
    match options.get_socket() {
        Some(folder) => format!("{}/.s.PGSQL.{port} database {database}", folder.display()),
        None if host.contains(':') => format!("[{host}]:{port}/{database}"),
        None => format!("{host}:{port}/{database}"),
    }
}

/// Says what an SQLSTATE means, and what to do.
fn explain(code: &str) -> String {
    let (cause, remedy) = match code {
        "28P01" => {
            ("wrong password", "correct it in the URL, or in the URL's file, which is read again")
        }
        "28000" => (
            "the login was refused",
            "check that the role exists and may log in, and that pg_hba.conf admits it from here \
             (its hostssl lines need sslmode=require)",
        ),
        "3D000" => ("the database does not exist", "create it, or correct its name in the URL"),
        "3F000" => ("the schema does not exist", "run `token-authority migrate`, which creates it"),
        "42501" => (
            "permission denied",
            "GRANT the role what it needs on the schema and its tables, or connect as their owner",
        ),
        "42P01" => (
            "a table is missing",
            "run `token-authority migrate`; for a legacy table, correct its name in the settings",
        ),
        "42703" => (
            "a column is missing",
            "run `token-authority migrate`; for a legacy table, correct the names in the settings",
        ),
        "53100" => ("the server's disk is full", "free space on it"),
        "53200" => ("the server is out of memory", "give it more, or lower its max_connections"),
        "53300" => (
            "too many connections",
            "raise max_connections, or put a pooler in between; a replica holds up to 10",
        ),
        "57P01" | "57P02" => ("the server ended the connection", "look at the server's log"),
        "57P03" => (
            "the server is starting up or shutting down",
            "wait; if it lasts, look at the server's log",
        ),
        "57014" => ("the statement took too long and was cancelled", "look for load and locks"),
        "25006" => (
            "the server is read-only",
            "connect to the primary; with several hosts, set target_session_attrs=read-write",
        ),
        _ => by_class(code.get(..2).unwrap_or_default()),
    };
    format!("{cause} (SQLSTATE {code}); {remedy}")
}

fn by_class(class: &str) -> (&'static str, &'static str) {
    match class {
        "08" => ("the connection failed", "check the address, and the pooler if there is one"),
        "22" | "23" => ("the server refused a value", "report this as a fault"),
        "28" => ("the login was refused", "check the role, its password and pg_hba.conf"),
        "42" => ("the server refused a statement", "check that no one else changed the schema"),
        "53" => ("the server lacks resources", "look at the server's log"),
        "57" | "58" => ("the server failed", "look at the server's log"),
        "XX" => ("the server reports an internal error or damaged data", "look at its log at once"),
        _ => ("the server refused the operation", "look at the server's log"),
    }
}

fn explain_io(error: &io::Error, options: &PgConnectOptions) -> String {
    if let Some(inner) = error.get_ref()
        && inner.to_string().contains("certificate")
    {
        return explain_tls(&inner.to_string());
    }
    if error.kind() == io::ErrorKind::NotFound && options.get_socket().is_some() {
        return "there is no such socket; is the server running, and does it use this folder?"
            .into();
    }
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => "do the files of sslrootcert, sslcert and sslkey exist?",
        io::ErrorKind::InvalidData => "does the server speak TLS, and which certificate has it?",
        io::ErrorKind::PermissionDenied => "may this user read the files and sockets of the URL?",
        _ => "check the host, the port and the network",
    };
    format!("{error}; {remedy}")
}

fn explain_tls(why: &str) -> String {
    let remedy = if why.contains("UnknownIssuer") {
        "name the file of its authority's certificate as sslrootcert"
    } else if why.contains("NotValidForName") || why.contains("not valid for name") {
        "use the name that the certificate is issued for"
    } else if why.contains("does not support TLS") {
        "switch TLS on at the server, or set sslmode=disable on a trusted network"
    } else if why.contains("Expired") || why.contains("expired") {
        "renew the server's certificate"
    } else {
        "check the server's certificate, sslmode and sslrootcert"
    };
    format!("TLS failed: {why}; {remedy}")
}

/// Returns whether an SQLSTATE is about values (class 22), constraints (23), names and types (42)
/// or sizes (54). All others are about the state of the server.
fn is_of_data(code: &str) -> bool {
    let right_missing = "42501";
    code != right_missing && ["22", "23", "42", "54"].iter().any(|class| code.starts_with(class))
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match &error {
            E::Database(error) => Self::of_server(error.as_ref()),
            E::Io(error) => {
                Self::unavailable(Kind::Broken, format!("the connection was lost: {error}"))
            }
            E::Tls(error) => Self::unavailable(Kind::Broken, explain_tls(&error.to_string())),
            E::PoolTimedOut => Self::unavailable(Kind::Broken, "no answer in time"),
            E::Encode(_)
            | E::Decode(_)
            | E::ColumnDecode { .. }
            | E::ColumnNotFound(_)
            | E::ColumnIndexOutOfBounds { .. }
            | E::TypeNotFound { .. }
            | E::InvalidArgument(_) => {
                StoreError::Inconsistent("a column has an unexpected type".into()).into()
            }
            E::BeginFailed => Self::unavailable(Kind::Broken, "a transaction could not begin"),
            _ => Self::unavailable(Kind::Broken, "the server broke the protocol"),
        }
    }
}

impl From<Unavailable> for Failure {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable {
            Unavailable::AllInUse => Self::unavailable(
                Kind::GivenUp,
                "all connections were in use for the whole time limit",
            ),
            Unavailable::Closed => {
                Self::unavailable(Kind::GivenUp, "the connections are being closed")
            }
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { kind: Kind::Refused, error }
    }
}
