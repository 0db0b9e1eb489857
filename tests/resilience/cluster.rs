//! A Postgres that can be crashed, copied, promoted and restored.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};

use crate::support::supervised::{Supervised, await_port, free_port, unprivileged};

/// A running Postgres.
#[derive(Debug)]
pub(crate) struct Postgres {
    folder: PathBuf,
    port: u16,
    settings: Vec<String>,
    /// Every process that was started, the first of which owns the folder.
    processes: Vec<Supervised>,
}

impl Postgres {
    /// Makes an empty cluster and starts it.
    pub(crate) fn start() -> Self {
        let folder = Supervised::folder();
        let data = data(&folder);
        succeed(
            unprivileged(&program("initdb"))
                .args(["-D", data.to_str().unwrap(), "-U", "postgres", "-A", "trust"])
                .args(["-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]),
        );
        Self::run(folder, &[])
    }

    /// A standby of this one, which from then on waits for it with every commit.
    pub(crate) fn standby(&mut self) -> Self {
        let folder = Supervised::folder();
        succeed(
            unprivileged(&program("pg_basebackup"))
                .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres"])
                .args(["-D", data(&folder).to_str().unwrap()])
                .args(["-R", "-X", "stream", "-C", "-S", "standby", "-c", "fast", "--no-sync"]),
        );
        let standby = Self::run(folder, &["hot_standby=on"]);
        self.execute("ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.execute("SELECT pg_reload_conf()");
        standby
    }

    fn run(folder: PathBuf, settings: &[&str]) -> Self {
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut cluster = Self { folder, port: free_port(), settings, processes: Vec::new() };
        cluster.start_again();
        cluster
    }

    /// Starts it where it was, and waits until it lets clients in.
    pub(crate) fn start_again(&mut self) {
        // The first process owns the folder with the data; the later ones have their own for logs.
        let folder =
            if self.processes.is_empty() { self.folder.clone() } else { Supervised::folder() };
        let data = data(&self.folder);
        let (program, port) = (program("postgres"), self.port.to_string());
        let mut command = vec![program.as_str(), "-D", data.to_str().unwrap(), "-p", &port];
        let own = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"];
        for setting in own.into_iter().chain(self.settings.iter().map(String::as_str)) {
            command.extend(["-c", setting]);
        }
        let process = Supervised::start(&folder, "INT", &command);
        await_port(self.port, &process);
        self.processes.push(process);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.tool("pg_isready", &["-q"]).status.success() {
            assert!(Instant::now() < deadline, "{}", self.processes.last().unwrap().log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Crashes it: nothing is written out, connections break, and a start has to recover.
    pub(crate) fn crash(&self) {
        let data = data(&self.folder);
        succeed(unprivileged(&program("pg_ctl")).args([
            "stop",
            "-m",
            "immediate",
            "-D",
            data.to_str().unwrap(),
        ]));
    }

    /// Makes a standby the primary.
    pub(crate) fn promote(&self) {
        let data = data(&self.folder);
        succeed(unprivileged(&program("pg_ctl")).args(["promote", "-D", data.to_str().unwrap()]));
    }

    /// Everything in its database, as SQL.
    pub(crate) fn dump(&self) -> Vec<u8> {
        let output = self.tool("pg_dump", &["-d", "postgres"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Restores a dump.
    pub(crate) fn restore(&self, dump: &[u8]) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), dump).unwrap();
        let path = file.path().to_str().unwrap();
        let output =
            self.tool("psql", &["-d", "postgres", "-q", "-v", "ON_ERROR_STOP=1", "-f", path]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn execute(&self, sql: &str) {
        let output = self.tool("psql", &["-d", "postgres", "-q", "-c", sql]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn tool(&self, name: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program(name));
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres"]);
        command.args(arguments).output().unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        url(self.port)
    }

    /// What a query says.
    pub(crate) async fn ask(&self, sql: &'static str) -> i64 {
        let mut connection = PgConnection::connect(&self.url()).await.unwrap();
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The newest first: the first one's end deletes the data.
        while let Some(process) = self.processes.pop() {
            drop(process);
        }
    }
}

/// The URL of the database behind a port.
pub(crate) fn url(port: u16) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable")
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Postgres's newest program of that name.
fn program(name: &str) -> String {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("Postgres is not installed");
    let found = versions.map(|version| version.unwrap().path().join("bin").join(name));
    let newest = found.filter(|path| path.exists()).max();
    newest.unwrap_or_else(|| panic!("{name} is not installed")).to_str().unwrap().to_owned()
}
