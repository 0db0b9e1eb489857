//! Replicas of the service over one database: real processes, on ports of their own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use token_authority::transport::proto::v1::rollout_service_client::RolloutServiceClient;
use token_authority::transport::proto::v1::session_service_client::SessionServiceClient;
use token_authority::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use tonic::transport::{Channel, Endpoint};

use crate::support::http::Http;

/// A secret that is none.
pub(crate) const SECRET: &str = "rollout-tests-kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa";

/// How long a replica may take to start on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// What replicas have in common.
#[derive(Debug, Clone)]
pub(crate) struct Deployment {
    folder: Arc<TempDir>,
    environment: BTreeMap<String, String>,
}

impl Deployment {
    /// On the embedded database, until `DATABASE_URL` is set.
    pub(crate) fn new() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let environment = [
            ("GRPC_ADDR", "127.0.0.1:0"),
            ("HTTP_ADDR", "127.0.0.1:0"),
            ("METRICS_ADDR", "127.0.0.1:0"),
            ("LOG_FORMAT", "json"),
            ("LOG_LEVEL", "warn,token_authority::cli=info,token_authority::authority=info"),
            ("JWT_SECRET", SECRET),
            ("USER", "tester"),
        ];
        let environment =
            environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Self { folder, environment }
    }

    /// With another setting.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        // Ends with the test, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_token-authority")]);
        command.args(arguments).env_clear().envs(&self.environment);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs a subcommand to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("setpriv is installed")
    }

    /// Runs a subcommand that has to succeed; what it printed.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a replica and waits until it serves.
    pub(crate) async fn start(&self) -> Replica {
        let log = tempfile::Builder::new().tempfile_in(self.folder.path()).unwrap();
        let (_, path) = log.keep().unwrap();
        let mut command = self.command(&[]);
        command.stderr(File::create(&path).unwrap()).stdout(Stdio::null());
        let child = command.spawn().expect("setpriv is installed");
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let folder = Arc::clone(&self.folder);
        let (grpc, http, metrics) = (nowhere, nowhere, nowhere);
        let mut replica = Replica { child, log: path, grpc, http, metrics, _folder: folder };
        let deadline = Instant::now() + SOON;
        while !replica.read_addresses() {
            let ended = replica.child.try_wait().unwrap();
            let told = replica.log();
            assert!(ended.is_none() && Instant::now() < deadline, "it does not serve: {told}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        replica
    }
}

/// A running replica. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Replica {
    child: Child,
    log: PathBuf,
    grpc: SocketAddr,
    http: SocketAddr,
    metrics: SocketAddr,
    /// Its data lie there.
    _folder: Arc<TempDir>,
}

impl Replica {
    fn read_addresses(&mut self) -> bool {
        let read = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            let address = |name: &str| line[name].as_str()?.parse().ok();
            let all = (address("grpc")?, address("http")?, address("metrics")?);
            (line["message"] == "serving").then_some(all)
        };
        let found = self.log().lines().find_map(read);
        if let Some((grpc, http, metrics)) = found {
            (self.grpc, self.http, self.metrics) = (grpc, http, metrics);
        }
        found.is_some()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// A client of its HTTP port.
    pub(crate) fn http(&self) -> Http {
        Http::new(self.http)
    }

    /// Where its RPCs are.
    pub(crate) fn grpc_addr(&self) -> SocketAddr {
        self.grpc
    }

    /// Where its metrics are.
    pub(crate) fn metrics_addr(&self) -> SocketAddr {
        self.metrics
    }

    /// A connection to it.
    pub(crate) fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap();
        endpoint.tcp_nodelay(true).connect_lazy()
    }

    pub(crate) fn tokens(&self) -> TokenAuthorityServiceClient<Channel> {
        TokenAuthorityServiceClient::new(self.channel())
    }

    pub(crate) fn sessions(&self) -> SessionServiceClient<Channel> {
        SessionServiceClient::new(self.channel())
    }

    pub(crate) fn rollout(&self) -> RolloutServiceClient<Channel> {
        RolloutServiceClient::new(self.channel())
    }

    /// Its metrics as text.
    pub(crate) fn scrape(&self) -> String {
        let mut stream = TcpStream::connect(self.metrics).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200"), "{head}");
        body.to_owned()
    }

    /// The value of one series, named as in the text.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        value(&self.scrape(), series)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The value of one series in a page of metrics.
pub(crate) fn value(page: &str, series: &str) -> f64 {
    let found = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {series}")).parse().unwrap()
}
