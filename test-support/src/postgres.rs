//! A temporary Postgres on a free loopback port, which can be crashed, copied, promoted and
//! restored.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::process::{Supervised, await_no_port, await_port, free_port, unprivileged};
use crate::until::until_blocking;

/// A running cluster, whose user `postgres` needs no password.
#[derive(Debug)]
pub struct Cluster {
    /// The server's processes, one after another. The last one runs.
    servers: Vec<Supervised>,
    folder: PathBuf,
    port: u16,
}

impl Cluster {
    /// Creates an empty cluster and starts it.
    ///
    /// # Panics
    ///
    /// Panics if Postgres is not installed.
    pub fn start() -> Self {
        Self::start_on(free_port())
    }

    /// Does the same as [`Self::start`] on a given port.
    pub fn start_on(port: u16) -> Self {
        let folder = Supervised::folder();
        let data = folder.join("data");
        succeed(
            unprivileged(&program("initdb"))
                .args(["-D", data.to_str().unwrap(), "-U", "postgres", "-A", "trust"])
                .args(["-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]),
        );
        let mut cluster = Self { servers: Vec::new(), folder, port };
        cluster.start_again();
        cluster
    }

    /// Creates a standby. From then on, every commit waits for it.
    pub fn standby(&self) -> Self {
        let folder = Supervised::folder();
        let data = folder.join("data");
        succeed(
            unprivileged(&program("pg_basebackup"))
                .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres"])
                .args(["-D", data.to_str().unwrap()])
                .args(["-R", "-X", "stream", "-C", "-S", "standby", "-c", "fast", "--no-sync"]),
        );
        let mut standby = Self { servers: Vec::new(), folder, port: free_port() };
        standby.start_again();
        for sql in ["ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"] {
            let output = self.tool("psql", &["-d", "postgres", "-q", "-c", sql]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        standby
    }

    /// Starts the server after [`Self::crash`], and waits until it accepts clients.
    pub fn start_again(&mut self) {
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
        // The port is open shortly before the server accepts clients.
        until_blocking(format_args!("Postgres accepts clients: {server}"), || {
            self.tool("pg_isready", &["-q"]).status.success().then_some(())
        });
        self.servers.push(server);
    }

    /// Crashes the server (`pg_ctl stop -m immediate`): nothing is flushed, connections break, and
    /// the next start has to recover.
    pub fn crash(&self) {
        self.server().signal("QUIT");
        await_no_port(self.port);
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        let data = self.folder.join("data");
        succeed(unprivileged(&program("pg_ctl")).args(["promote", "-D", data.to_str().unwrap()]));
    }

    fn server(&self) -> &Supervised {
        self.servers.last().expect("the server was started")
    }

    /// Returns the cluster that the tests of this process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Creates an empty database, and returns its name.
    pub async fn make_database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("CREATE DATABASE {name}")).await;
        name
    }

    /// Runs statements in one of its databases.
    pub async fn execute(&self, database: &str, sql: &str) {
        let mut connection = PgConnection::connect(&self.url(database)).await.unwrap();
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Returns the number that a query in one of its databases returns.
    pub async fn ask(&self, database: &str, sql: &'static str) -> i64 {
        let mut connection = PgConnection::connect(&self.url(database)).await.unwrap();
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
    }

    /// Returns everything in one of its databases as SQL.
    pub fn dump(&self, database: &str) -> String {
        let output = self.tool("pg_dump", &["-d", database]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        // Newer versions of pg_dump write a random word in these lines.
        let lines = text.lines().filter(|line| !line.contains("restrict "));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Restores a dump into one of its databases.
    pub fn restore(&self, database: &str, dump: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), dump).unwrap();
        let path = file.path().to_str().unwrap();
        let output = self.tool("psql", &["-d", database, "-qv", "ON_ERROR_STOP=1", "-f", path]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn tool(&self, name: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program(name));
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres"]);
        command.args(arguments).output().unwrap()
    }

    /// Returns the URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        url(self.port, database)
    }

    /// Returns its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Halts all its processes: they do not answer, and keep their connections open.
    pub fn pause(&self) {
        self.server().signal("STOP");
    }

    /// Lets its processes continue.
    pub fn resume(&self) {
        self.server().signal("CONT");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // End the running one first, because the end of any deletes the folder.
        while self.servers.pop().is_some() {}
    }
}

/// Returns the URL of a database behind a loopback port.
pub fn url(port: u16, database: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/{database}?sslmode=disable")
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Returns the path of one of Postgres's programs, in its newest version.
fn program(name: &str) -> String {
    let versions = Path::new("/usr/lib/postgresql");
    let found = std::fs::read_dir(versions)
        .unwrap_or_else(|_| panic!("Postgres is not installed: {} is missing", versions.display()))
        .map(|version| version.unwrap().path().join("bin").join(name));
    let newest = found.filter(|path| path.exists()).max();
    newest.unwrap_or_else(|| panic!("{name} is not installed")).to_str().unwrap().to_owned()
}
