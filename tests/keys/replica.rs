//! The real binary: one replica of several over one database.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use token_authority::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use token_authority::transport::proto::v1::{
    IssueTokensRequest, IssueTokensResponse, RefreshAccessTokenRequest, RefreshAccessTokenResponse,
    ValidateTokenRequest, ValidateTokenResponse,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// How long anything that ought to happen soon may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Secrets that nobody typed.
pub(crate) const SECRET: &str = "kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=";
pub(crate) const OTHER: &str = "Zx3LqW8nB1vK6yTe0RmUo5JpGh7dSc2fAi9XwNbQkEs=";
pub(crate) const AUTHORITY: &str = "pV4cN7tXq9zGs2Hw6LbYk8Rm1JdFu3Ea5oTiB0WnQxM=";

/// What a replica is started with.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    folder: Arc<TempDir>,
    environment: BTreeMap<String, String>,
}

impl Setup {
    /// An embedded database in a folder of its own, and free ports.
    pub(crate) fn new() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let setup = Self { folder, environment: BTreeMap::new() };
        ["GRPC_ADDR", "HTTP_ADDR", "METRICS_ADDR"]
            .iter()
            .fold(setup, |setup, name| setup.with(name, "127.0.0.1:0"))
            .with("LOG_FORMAT", "json")
    }

    /// As [`Self::new`], but over that database.
    pub(crate) fn over(database: &str) -> Self {
        Self::new().with("DATABASE_URL", database)
    }

    /// With another setting.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Without a setting.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.environment.remove(name);
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
        self.command(arguments).output().unwrap()
    }

    /// Runs a subcommand that has to succeed. What it prints.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a replica and waits until it serves.
    pub(crate) async fn start(&self) -> Replica {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let log = self.folder.path().join(format!("{number}.log"));
        let mut command = self.command(&["serve"]);
        command.stderr(File::create(&log).unwrap()).stdout(Stdio::null());
        let child = command.spawn().expect("setpriv is installed");
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let folder = Arc::clone(&self.folder);
        let mut replica = Replica { child, log, grpc: nowhere, http: nowhere, _folder: folder };
        replica.await_serving().await;
        replica
    }
}

/// A running replica. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Replica {
    child: Child,
    log: PathBuf,
    grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    _folder: Arc<TempDir>,
}

impl Replica {
    async fn await_serving(&mut self) {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some((grpc, http)) = self.log().lines().find_map(read_serving) {
                (self.grpc, self.http) = (grpc, http);
                return;
            }
            let ended = self.child.try_wait().unwrap();
            let late = Instant::now() > deadline;
            assert!(ended.is_none() && !late, "it does not serve ({ended:?}): {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// A client of its own.
    pub(crate) fn client(&self) -> Client {
        let channel = Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap();
        let channel = channel.connect_timeout(Duration::from_secs(2)).connect_lazy();
        Client(TokenAuthorityServiceClient::new(channel))
    }

    /// An answer of its HTTP port: head and JSON body.
    pub(crate) fn get(&self, path: &str) -> (String, Value) {
        let (head, body) = get(self.http, path);
        let json = serde_json::from_str(&body);
        (head, json.unwrap_or_else(|_| panic!("{path}: {body}")))
    }

    /// The names of the keys that it publishes.
    pub(crate) fn published(&self) -> Vec<String> {
        let (_, set) = self.get("/.well-known/jwks.json");
        let keys = set["keys"].as_array().unwrap().iter();
        keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    /// Has it end, and waits for that.
    pub(crate) async fn end(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
        let deadline = Instant::now() + SOON;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it goes on: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().filter(|line| !line.contains("\"rpc\"")).collect();
            eprintln!("--- a replica's log but for its calls:\n{}", lines.join("\n"));
        }
    }
}

fn read_serving(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = |name: &str| line[name].as_str()?.parse().ok();
    (line["message"] == "serving").then(|| Some((address("grpc")?, address("http")?)))?
}

/// An answer over HTTP/1.0: head and body.
pub(crate) fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

/// A client of the token service.
#[derive(Debug, Clone)]
pub(crate) struct Client(TokenAuthorityServiceClient<Channel>);

impl Client {
    /// Logs a user in.
    pub(crate) async fn issue(&self, user_id: &str) -> Result<IssueTokensResponse, Status> {
        let ask = IssueTokensRequest { user_id: user_id.into(), ..Default::default() };
        Ok(self.0.clone().issue_tokens(ask).await?.into_inner())
    }

    /// Renews.
    pub(crate) async fn refresh(
        &self,
        refresh_token: &str,
    ) -> Result<RefreshAccessTokenResponse, Status> {
        let ask = RefreshAccessTokenRequest { refresh_token: refresh_token.into() };
        Ok(self.0.clone().refresh_access_token(ask).await?.into_inner())
    }

    /// Asks whether a token is good.
    pub(crate) async fn validate(&self, token: &str) -> Result<ValidateTokenResponse, Status> {
        let ask = ValidateTokenRequest { token: token.into(), audience: String::new() };
        Ok(self.0.clone().validate_token(ask).await?.into_inner())
    }
}

/// Whether a call failed because the replica is going away: a balancer would try another one.
pub(crate) fn is_away(status: &Status) -> bool {
    // What has a source is no answer of a replica, but the connection's own failure.
    status.code() == Code::Unavailable || std::error::Error::source(status).is_some()
}

/// A part of a token's header.
pub(crate) fn header(token: &str, name: &str) -> String {
    use base64::Engine as _;
    let first = token.split('.').next().unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(first).unwrap();
    let header: Value = serde_json::from_slice(&bytes).unwrap();
    header[name].as_str().unwrap().to_owned()
}
