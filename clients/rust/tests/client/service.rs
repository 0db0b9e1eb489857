//! The real service as a child process on free loopback ports.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use token_authority_client::{Client, Target, Verifier, VerifierBuilder};

pub(crate) const SECRET: &str = "of the tests of the Rust kit: no secret at all";
const SOON: Duration = Duration::from_secs(20);

/// A service of a test's own. Dropped, it is killed.
pub(crate) struct Service {
    folder: TempDir,
    environment: BTreeMap<String, String>,
    child: Option<Child>,
    starts: usize,
    pub(crate) grpc: String,
    pub(crate) http: String,
}

/// The binary of `TOKEN_AUTHORITY_BIN`, or the one that cargo built.
fn binary() -> PathBuf {
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/debug/token-authority");
    let path = std::env::var_os("TOKEN_AUTHORITY_BIN").map_or(built.into(), PathBuf::from);
    let told = path.display();
    assert!(path.exists(), "{told} is missing: cargo build, or set TOKEN_AUTHORITY_BIN");
    path
}

impl Service {
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let mut service = Self::new(settings);
        service.run().await;
        service
    }

    pub(crate) fn new(settings: &[(&str, &str)]) -> Self {
        let apart = [
            ("GRPC_ADDR", "127.0.0.1:0"),
            ("HTTP_ADDR", "127.0.0.1:0"),
            ("METRICS_ADDR", "127.0.0.1:0"),
            ("LOG_FORMAT", "json"),
            ("JWT_SECRET", SECRET),
            ("AUTHORITY_SECRET", "the authority's own secret in the tests of the kit"),
            ("USER", "tester"),
        ];
        let all = apart.iter().chain(settings);
        Self {
            folder: tempfile::tempdir().unwrap(),
            environment: all.map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            child: None,
            starts: 0,
            grpc: String::new(),
            http: String::new(),
        }
    }

    /// Starts it, on the ports that it had before if it was started before.
    pub(crate) async fn run(&mut self) {
        self.starts += 1;
        let log = self.folder.path().join(format!("{}.log", self.starts));
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(binary());
        command.env_clear().envs(&self.environment).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(std::fs::File::create(&log).unwrap());
        self.child = Some(command.spawn().expect("setpriv is installed"));
        let serving = |text: &str| {
            let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
            lines.into_iter().find(|line: &serde_json::Value| line["message"] == "serving")
        };
        let deadline = Instant::now() + SOON;
        let line = loop {
            let text = std::fs::read_to_string(&log).unwrap();
            if let Some(line) = serving(&text) {
                break line;
            }
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "it does not serve: {text}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let address = |name: &str| line[name].as_str().unwrap().to_owned();
        (self.grpc, self.http) = (address("grpc"), address("http"));
        self.environment.insert("GRPC_ADDR".into(), self.grpc.clone());
        self.environment.insert("HTTP_ADDR".into(), self.http.clone());
        until("it is ready", async || {
            let stream = tokio::net::TcpStream::connect(&self.grpc).await;
            stream.is_ok()
        })
        .await;
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.into(), value.into());
    }

    /// Runs a subcommand with another algorithm.
    pub(crate) fn command(&self, algorithm: &str, arguments: &[&str]) {
        let mut command = Command::new(binary());
        command.args(arguments).env_clear().envs(&self.environment);
        command.env("JWT_ALGORITHM", algorithm).current_dir(self.folder.path());
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {told}");
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn target(&self) -> Target {
        Target::new(&self.grpc).unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.target())
    }

    /// A verifier by the secret that follows this service.
    pub(crate) fn verifier(&self) -> VerifierBuilder {
        Verifier::builder().secret(SECRET).authority(self.target())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The name of the reason for which a token is refused; empty: it is not.
pub(crate) async fn refusal(verifier: &Verifier, token: &str) -> String {
    match verifier.verify(token).await {
        Ok(_) => String::new(),
        Err(error) => error.reason.to_string(),
    }
}
