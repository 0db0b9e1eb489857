//! The real binary as a child process: free ports, an empty environment, a folder of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use token_authority::transport::proto::v1::session_service_client::SessionServiceClient;
use token_authority::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use tonic::transport::{Channel, Endpoint};

use super::http::Http;

/// How long anything that ought to happen soon may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What keeps tests apart: free ports, and a log to parse.
const APART: [(&str, &str); 4] = [
    ("GRPC_ADDR", "127.0.0.1:0"),
    ("HTTP_ADDR", "127.0.0.1:0"),
    ("METRICS_ADDR", "127.0.0.1:0"),
    ("LOG_FORMAT", "json"),
];

/// How the binary is to be started. Several may be started from one, on the same data.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    folder: Arc<TempDir>,
    environment: BTreeMap<String, String>,
    wrapper: Vec<String>,
}

impl Setup {
    /// An empty environment but for what keeps tests apart. The data lie under the working
    /// directory, a new folder.
    pub(crate) fn new() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let setup = Self { folder, environment: BTreeMap::new(), wrapper: Vec::new() };
        APART.iter().fold(setup, |setup, (name, value)| setup.set(name, value))
    }

    /// Without what keeps tests apart.
    pub(crate) fn bare(mut self) -> Self {
        self.environment.retain(|name, _| !APART.iter().any(|(apart, _)| apart == name));
        self
    }

    /// With another variable in its environment.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Started by another program, such as `prlimit`, which has to become it (`exec`).
    pub(crate) fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&part| part.to_owned()).collect();
        self
    }

    /// Its working directory.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The secret that it made for itself.
    pub(crate) fn secret(&self) -> String {
        std::fs::read_to_string(self.folder().join("data/jwt_secret")).unwrap()
    }

    /// The command with those arguments.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        // Ends with the test, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).args(&self.wrapper);
        command.arg(env!("CARGO_BIN_EXE_token-authority")).args(arguments);
        command.env_clear().envs(&self.environment).current_dir(self.folder());
        command.stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts it and waits until it serves.
    ///
    /// # Panics
    /// Where it ends, or does not serve in time.
    pub(crate) async fn start(&self) -> Service {
        self.start_with(&[]).await
    }

    /// As [`Self::start`], with arguments.
    pub(crate) async fn start_with(&self, arguments: &[&str]) -> Service {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let file = |name: &str| self.folder().join(format!("{number}.{name}"));
        let (log, out) = (file("stderr"), file("stdout"));
        let mut command = self.command(arguments);
        command.stderr(File::create(&log).unwrap()).stdout(File::create(&out).unwrap());
        let mut service = Service {
            child: command.spawn().expect("setpriv is installed"),
            log,
            out,
            grpc: SocketAddr::from(([127, 0, 0, 1], 0)),
            http: SocketAddr::from(([127, 0, 0, 1], 0)),
            metrics: SocketAddr::from(([127, 0, 0, 1], 0)),
            _folder: Arc::clone(&self.folder),
        };
        service.await_serving().await;
        service
    }
}

/// A running service. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    log: PathBuf,
    out: PathBuf,
    grpc: SocketAddr,
    http: SocketAddr,
    metrics: SocketAddr,
    _folder: Arc<TempDir>,
}

impl Service {
    async fn await_serving(&mut self) {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(addresses) = self.log().lines().find_map(read_serving) {
                [self.grpc, self.http, self.metrics] = addresses;
                return;
            }
            let ended = self.child.try_wait().unwrap();
            let late = Instant::now() > deadline;
            assert!(ended.is_none() && !late, "it does not serve ({ended:?}): {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Where gRPC is served.
    pub(crate) fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Where HTTP is served.
    pub(crate) fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// Where metrics are served.
    pub(crate) fn metrics_addr(&self) -> SocketAddr {
        self.metrics
    }

    /// Its metrics as text.
    pub(crate) async fn metrics(&self) -> String {
        Http::new(self.metrics).get("/metrics").await.body
    }

    /// A client of its HTTP port.
    pub(crate) fn http(&self) -> Http {
        Http::new(self.http)
    }

    /// A connection to its gRPC port, made when it is first used.
    pub(crate) fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap().connect_lazy()
    }

    /// A client of its tokens.
    pub(crate) fn tokens(&self) -> TokenAuthorityServiceClient<Channel> {
        TokenAuthorityServiceClient::new(self.channel())
    }

    /// A client of its sessions.
    pub(crate) fn sessions(&self) -> SessionServiceClient<Channel> {
        SessionServiceClient::new(self.channel())
    }

    /// Waits until it says that it is ready.
    ///
    /// # Panics
    /// Where it does not in time.
    pub(crate) async fn ready(&self) {
        let deadline = Instant::now() + SOON;
        while self.http().get("/readyz").await.status != 200 {
            assert!(Instant::now() < deadline, "it is not ready: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard error.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// What it has written to standard output.
    pub(crate) fn out(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap()
    }

    /// Sends it a signal, such as `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status().unwrap();
        assert!(sent.success(), "it is gone: {}", self.log());
    }

    /// Kills it at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// Where it goes on for longer than `patience`.
    pub(crate) async fn ended(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it goes on: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Service {
    #[expect(clippy::print_stderr, reason = "a failed test shows what the service said")]
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the service's log ends:\n{}", tail(&self.log()));
        }
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// The addresses of the line that says that it serves, in JSON or as text.
fn read_serving(line: &str) -> Option<[SocketAddr; 3]> {
    let names = ["grpc", "http", "metrics"];
    let read = |value: &str| value.parse().ok();
    if let Ok(line) = serde_json::from_str::<serde_json::Value>(line) {
        let serving = line["message"] == "serving";
        return serving.then(|| all(names.map(|name| line[name].as_str().and_then(read))))?;
    }
    let (_, fields) = line.split_once(" serving ")?;
    let value = |name: &str| {
        let found = fields.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        found.map(|value| value.trim_matches('"')).and_then(read)
    };
    all(names.map(value))
}

fn all(found: [Option<SocketAddr>; 3]) -> Option<[SocketAddr; 3]> {
    let [grpc, http, metrics] = found;
    Some([grpc?, http?, metrics?])
}
