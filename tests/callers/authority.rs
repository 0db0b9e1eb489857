//! The service as a child process, and its command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_token-authority");

/// Ends the child when the pipe from this process closes, however the test ends.
const SHELL: &str = r#""$@" </dev/null 2>"$LOG" >/dev/null & child=$!
cat >/dev/null; kill -s TERM "$child" 2>/dev/null; wait "$child""#;

/// A folder with a callers' file and whatever else a server needs.
#[derive(Debug)]
pub(crate) struct House {
    folder: TempDir,
}

impl House {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Runs the command line, in an environment that holds nothing but these settings.
    pub(crate) fn run(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
        let mut command = Command::new(BINARY);
        command.args(arguments).env_clear().envs(settings.iter().copied());
        command.env("DATA_DIR", self.path("data")).current_dir(self.folder.path());
        command.output().unwrap()
    }

    /// Runs `callers …` on this house's file. What it printed.
    pub(crate) fn callers(&self, arguments: &[&str]) -> String {
        let file = self.text("callers.json");
        let arguments: Vec<_> = ["callers"].iter().chain(arguments).copied().collect();
        let output = self.run(&arguments, &[("CALLERS_FILE", &file)]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Adds a caller. Its key.
    pub(crate) fn add(&self, name: &str, role: &str) -> String {
        self.callers(&["add", name, "--role", role]).trim().to_owned()
    }

    /// Starts the service with this house's callers.
    pub(crate) fn start(&self, settings: &[(&str, &str)]) -> Authority {
        let file = self.text("callers.json");
        let all: Vec<_> =
            [("CALLERS_FILE", file.as_str())].iter().chain(settings).copied().collect();
        self.start_with(&all)
    }

    /// Starts the service with nothing but these settings.
    pub(crate) fn start_with(&self, settings: &[(&str, &str)]) -> Authority {
        let log = self.path("log");
        let shell = Command::new("sh")
            .args(["-c", SHELL, "supervisor", BINARY])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LOG", &log)
            .env("DATA_DIR", self.path("data"))
            .env("GRPC_ADDR", "127.0.0.1:0")
            .env("HTTP_ADDR", "127.0.0.1:0")
            .env("METRICS_ADDR", "127.0.0.1:0")
            .env("LOG_FORMAT", "json")
            .env("SHUTDOWN_DELAY_SECONDS", "0")
            .env("SHUTDOWN_GRACE_SECONDS", "1")
            .envs(settings.iter().copied())
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        Authority::serving(shell, &log)
    }
}

/// A running service.
#[derive(Debug)]
pub(crate) struct Authority {
    shell: Child,
    log: PathBuf,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
}

impl Authority {
    fn serving(mut shell: Child, log: &Path) -> Self {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let line = until("the service serves", || {
            let lines = lines(log);
            let ended = shell.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {lines:?}");
            lines.into_iter().find(|line| line["message"] == "serving")
        });
        let address = |name: &str| line[name].as_str().unwrap().parse().unwrap_or(nowhere);
        let (grpc, http) = (address("grpc"), address("http"));
        Self { shell, log: log.to_owned(), grpc, http }
    }

    /// The lines that it has logged.
    pub(crate) fn log(&self) -> Vec<Value> {
        lines(&self.log)
    }

    /// The lines that it has logged, once that one is among them: a request does not wait for its
    /// line to be written.
    pub(crate) fn log_with(&self, is_it: impl Fn(&Value) -> bool) -> Vec<Value> {
        until("the line is there", || {
            let log = self.log();
            log.iter().any(&is_it).then_some(log)
        })
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // A test that fails already has its own message.
        let _ = self.shell.wait();
    }
}

fn lines(log: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Asks again and again until there is an answer.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
