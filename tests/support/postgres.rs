//! A throw-away Postgres on a free loopback port.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::supervised::{Supervised, await_no_port, await_port, free_port, unprivileged};

/// A running cluster, whose user `postgres` needs no password.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// The server's processes, one after the other; the last one runs.
    servers: Vec<Supervised>,
    folder: PathBuf,
    port: u16,
}

impl Cluster {
    /// Makes and starts a cluster.
    ///
    /// # Panics
    /// Where Postgres is not installed.
    pub(crate) fn start() -> Self {
        Self::start_on(free_port())
    }

    /// As [`Self::start`], on a port that was found before.
    pub(crate) fn start_on(port: u16) -> Self {
        let folder = Supervised::folder();
        let data = folder.join("data");
        let data = data.to_str().unwrap();
        let made = unprivileged(&program("initdb"))
            .args(["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"])
            .args(["--no-sync", "--no-instructions"])
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        let mut cluster = Self { servers: Vec::new(), folder, port };
        cluster.start_again();
        cluster
    }

    /// Starts its server after [`Self::stop_at_once`].
    pub(crate) fn start_again(&mut self) {
        let data = self.folder.join("data");
        let (program, text) = (program("postgres"), self.port.to_string());
        let mut command = vec![program.as_str(), "-D", data.to_str().unwrap(), "-p", &text];
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=200",
            "fsync=off",
            "autovacuum=off",
        ] {
            command.extend(["-c", setting]);
        }
        // INT is Postgres's fast shutdown.
        let server = Supervised::start(&self.folder, "INT", &command);
        await_port(self.port, &server);
        self.servers.push(server);
    }

    /// Ends it without any farewell, as a crash would (`pg_ctl stop -m immediate`).
    pub(crate) fn stop_at_once(&self) {
        let server = self.server();
        server.signal("QUIT");
        await_no_port(self.port, server);
    }

    fn server(&self) -> &Supervised {
        self.servers.last().expect("one was started")
    }

    /// The cluster that this process's tests share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Makes an empty database. Its name.
    pub(crate) async fn make_database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        // The port is open a little before the server lets anyone in.
        let mut connection = loop {
            match PgConnection::connect(&self.url("postgres")).await {
                Ok(connection) => break connection,
                Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("57P03") => {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}: {}", self.server().log()),
            }
        };
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        connection.execute(sqlx::raw_sql(create)).await.unwrap();
        connection.close().await.unwrap();
        name
    }

    /// Runs statements in one of its databases.
    pub(crate) async fn execute(&self, database: &str, sql: &str) {
        let mut connection = PgConnection::connect(&self.url(database)).await.unwrap();
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Everything in one of its databases, as SQL.
    pub(crate) fn dump(&self, database: &str) -> String {
        let output =
            std::process::Command::new(program("pg_dump")).arg(self.url(database)).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        // Newer versions of pg_dump put a random word there.
        let lines = text.lines().filter(|line| !line.contains("restrict "));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The URL of one of its databases.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Halts all its processes, so that it neither answers nor hangs up.
    pub(crate) fn pause(&self) {
        self.server().signal("STOP");
    }

    /// Lets them go on.
    pub(crate) fn resume(&self) {
        self.server().signal("CONT");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The last one first: whoever ends deletes the folder.
        while self.servers.pop().is_some() {}
    }
}

fn program(name: &str) -> String {
    let versions = Path::new("/usr/lib/postgresql");
    let mut found: Vec<PathBuf> = std::fs::read_dir(versions)
        .unwrap_or_else(|_| panic!("Postgres is not installed: {} is missing", versions.display()))
        .map(|version| version.unwrap().path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    let newest = found.pop().unwrap_or_else(|| panic!("Postgres's {name} is not installed"));
    newest.to_str().unwrap().to_owned()
}
