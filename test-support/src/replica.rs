//! The service's binary as a child process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use tempfile::TempDir;
use token_authority::transport::proto::v1::operator_service_client::OperatorServiceClient;
use token_authority::transport::proto::v1::rollout_service_client::RolloutServiceClient;
use token_authority::transport::proto::v1::session_service_client::SessionServiceClient;
use token_authority::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use tonic::transport::{Channel, Endpoint};

use crate::http::Http;
use crate::process::{Supervised, free_port};
use crate::until::{until, until_blocking};

/// Settings that keep tests apart: free ports, and a log that can be parsed.
const APART: [(&str, &str); 4] = [
    ("GRPC_ADDR", "127.0.0.1:0"),
    ("HTTP_ADDR", "127.0.0.1:0"),
    ("METRICS_ADDR", "127.0.0.1:0"),
    ("LOG_FORMAT", "json"),
];

/// The binary under test.
///
/// # Panics
///
/// Panics if it runs outside of `cargo test`.
pub fn binary() -> PathBuf {
    let path = std::env::var_os("CARGO_BIN_EXE_token-authority");
    path.expect("cargo test (1.94 or later) says where the binary is").into()
}

/// Builds replicas: the settings that the service is started with.
///
/// Replicas of one setup share its folder, with the embedded database and the generated secret.
#[derive(Debug, Clone)]
pub struct Setup {
    folder: Arc<TempDir>,
    environment: BTreeMap<String, String>,
    wrapper: Vec<String>,
    program: PathBuf,
}

impl Setup {
    /// Creates a setup with free ports, a log in JSON, and the embedded database in a separate
    /// folder. The environment contains nothing else.
    pub fn new() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let (environment, wrapper) = (BTreeMap::new(), Vec::new());
        let setup = Self { folder, environment, wrapper, program: binary() };
        setup.set_all(APART)
    }

    /// Does the same as [`Self::new`], with the database of that URL.
    pub fn on(database_url: &str) -> Self {
        Self::new().set("DATABASE_URL", database_url)
    }

    /// Removes the settings that keep tests apart: the ports are the defaults, and the log is text.
    pub fn bare(self) -> Self {
        APART.iter().fold(self, |setup, (name, _)| setup.unset(name))
    }

    /// Sets a variable.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Sets several variables.
    pub fn set_all<'a>(self, settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        settings.into_iter().fold(self, |setup, (name, value)| setup.set(name, value))
    }

    /// Removes a variable.
    pub fn unset(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    /// Logs only warnings and the line with the addresses. For much load.
    pub fn quiet(self) -> Self {
        self.set("LOG_LEVEL", "warn,token_authority::cli=info,token_authority::authority=info")
    }

    /// Chooses ports that a replica keeps over [`Replica::start_again`].
    pub fn on_fixed_ports(self) -> Self {
        ["GRPC_ADDR", "HTTP_ADDR", "METRICS_ADDR"]
            .iter()
            .fold(self, |setup, name| setup.set(name, &format!("127.0.0.1:{}", free_port())))
    }

    /// Starts it through another program, such as `prlimit`, which must replace itself with it
    /// (`exec`).
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&part| part.to_owned()).collect();
        self
    }

    /// Starts another version of the service.
    pub fn program(mut self, program: &Path) -> Self {
        program.clone_into(&mut self.program);
        self
    }

    /// Returns its working directory. Its data are in the subfolder `data`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the path of a file in its working directory as text.
    pub fn path(&self, name: &str) -> String {
        self.folder().join(name).to_str().unwrap().to_owned()
    }

    /// Returns the secret that it generated.
    pub fn secret(&self) -> String {
        std::fs::read_to_string(self.folder().join("data/jwt_secret")).unwrap()
    }

    /// Returns a subcommand that ends by itself.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let words = self.words(arguments);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        self.configure(&mut command);
        command
    }

    /// Runs a subcommand to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a subcommand that must succeed, and returns its output.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a replica and waits until it serves.
    ///
    /// # Panics
    ///
    /// Panics if it ends, or does not serve in time.
    pub async fn start(&self) -> Replica {
        self.start_with(&[]).await
    }

    /// Does the same as [`Self::start`], with arguments.
    pub async fn start_with(&self, arguments: &[&str]) -> Replica {
        let mut replica = self.spawn(arguments);
        until("the service serves", async || replica.serves()).await;
        replica
    }

    /// Does the same as [`Self::start`], but blocks the thread.
    pub fn start_blocking(&self) -> Replica {
        let mut replica = self.spawn(&[]);
        until_blocking("the service serves", || replica.serves());
        replica
    }

    /// Starts a replica and does not wait.
    pub fn spawn(&self, arguments: &[&str]) -> Replica {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let file = |name: &str| self.folder().join(format!("{number}.{name}"));
        let (log, out) = (file("stderr"), file("stdout"));
        let process = self.launch(
            arguments,
            File::create(&log).unwrap().into(),
            File::create(&out).unwrap().into(),
        );
        Replica { setup: self.clone(), process, log, out, addresses: OnceLock::new() }
    }

    /// Starts the service with other destinations of its standard error and output.
    pub fn launch(&self, arguments: &[&str], stderr: Stdio, stdout: Stdio) -> Supervised {
        Supervised::spawn("KILL", None, &self.words(arguments), |shell| {
            self.configure(shell);
            shell.stderr(stderr).stdout(stdout);
        })
    }

    fn words(&self, arguments: &[&str]) -> Vec<OsString> {
        let mut words: Vec<OsString> = self.wrapper.iter().map(OsString::from).collect();
        words.push(self.program.clone().into());
        words.extend(arguments.iter().map(OsString::from));
        words
    }

    fn configure(&self, command: &mut Command) {
        command.env_clear().envs(&self.environment).current_dir(self.folder());
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

/// The addresses of a replica.
#[derive(Debug, Clone, Copy)]
struct Addresses {
    grpc: SocketAddr,
    http: SocketAddr,
    metrics: SocketAddr,
}

/// A running replica. It is killed when this is dropped.
#[derive(Debug)]
pub struct Replica {
    setup: Setup,
    process: Supervised,
    log: PathBuf,
    out: PathBuf,
    addresses: OnceLock<Addresses>,
}

impl Replica {
    /// Returns whether it has logged its addresses.
    fn serves(&mut self) -> Option<()> {
        if self.read_addresses().is_some() {
            return Some(());
        }
        let ended = self.process.status();
        assert!(ended.is_none(), "the service ended ({ended:?}): {}", self.log());
        None
    }

    fn read_addresses(&self) -> Option<Addresses> {
        if self.addresses.get().is_none() {
            let log = self.log();
            let read = |line: &str| read_addresses(line, &self.setup.environment);
            let _ = self.addresses.set(log.lines().find_map(read)?);
        }
        self.addresses.get().copied()
    }

    fn addresses(&self) -> Addresses {
        self.read_addresses()
            .unwrap_or_else(|| panic!("the service does not serve: {}", self.log()))
    }

    /// Returns the address of gRPC.
    pub fn grpc(&self) -> SocketAddr {
        self.addresses().grpc
    }

    /// Returns the address of HTTP.
    pub fn http_addr(&self) -> SocketAddr {
        self.addresses().http
    }

    /// Returns the address of the metrics.
    pub fn metrics_addr(&self) -> SocketAddr {
        self.addresses().metrics
    }

    /// Returns a client of its HTTP port.
    pub fn http(&self) -> Http {
        Http::new(self.http_addr())
    }

    /// Returns a connection to its gRPC port, which is opened at the first use.
    pub fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc())).unwrap();
        endpoint.tcp_nodelay(true).connect_lazy()
    }

    /// Returns a client of its tokens.
    pub fn tokens(&self) -> TokenAuthorityServiceClient<Channel> {
        TokenAuthorityServiceClient::new(self.channel())
    }

    /// Returns a client of its sessions.
    pub fn sessions(&self) -> SessionServiceClient<Channel> {
        SessionServiceClient::new(self.channel())
    }

    /// Returns a client of its roll-out.
    pub fn rollout(&self) -> RolloutServiceClient<Channel> {
        RolloutServiceClient::new(self.channel())
    }

    /// Returns a client of its state.
    pub fn operator(&self) -> OperatorServiceClient<Channel> {
        OperatorServiceClient::new(self.channel())
    }

    /// Returns its metrics as text.
    pub fn metrics(&self) -> String {
        let answer = get(self.metrics_addr(), "/metrics");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200"), "{head}");
        body.to_owned()
    }

    /// Returns the value of one series, named as in the text.
    pub fn metric(&self, series: &str) -> f64 {
        value(&self.metrics(), series)
    }

    /// Returns whether `/readyz` reports that it is ready.
    pub fn is_ready(&self) -> bool {
        get(self.http_addr(), "/readyz").starts_with("HTTP/1.0 200 ")
    }

    /// Waits until it is ready.
    pub async fn ready(&self) {
        until(format_args!("the service is ready: {self}"), async || self.is_ready().then_some(()))
            .await;
    }

    /// Returns its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Returns its standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Returns the lines that it has logged.
    pub fn log_lines(&self) -> Vec<Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Returns its standard output.
    pub fn out(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap()
    }

    /// Returns whether its process is running.
    pub fn is_running(&mut self) -> bool {
        self.process.status().is_none()
    }

    /// Sends it a signal, such as `TERM`.
    pub fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status().unwrap();
        assert!(sent.success(), "the service has ended: {}", self.log());
    }

    /// Kills it at once, as a power cut would.
    pub fn kill(&mut self) {
        self.process.child().kill().unwrap();
        self.process.child().wait().unwrap();
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        self.process.ended("the service").await
    }

    /// Sends SIGTERM, and waits until it has ended without an error.
    pub async fn end(&mut self) {
        self.signal("TERM");
        let status = self.ended().await;
        assert!(status.success(), "the service ended with {status:?}: {}", self.log());
    }

    /// Starts it again after its end, with the same settings.
    pub async fn start_again(&mut self) {
        assert!(!self.is_running(), "the service is still running");
        *self = self.setup.start().await;
    }

    /// Starts another version after its end, with the same settings.
    pub async fn become_program(&mut self, program: &Path) {
        self.setup = self.setup.clone().program(program);
        self.start_again().await;
    }
}

/// Shows its log so far.
impl std::fmt::Display for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.log())
    }
}

impl Drop for Replica {
    #[expect(clippy::print_stderr, reason = "a failed test shows the service's log")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            // Leave out the lines of calls: there are many, and they do not explain the failure.
            let lines: Vec<_> = log.lines().filter(|line| !line.contains("\"rpc\"")).collect();
            let last = &lines[lines.len().saturating_sub(15)..];
            eprintln!("--- a replica's log ends (without its calls):\n{}", last.join("\n"));
        }
    }
}

/// Returns an answer over HTTP/1.0, head and body. Empty if there is none.
fn get(address: SocketAddr, path: &str) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect(address) {
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        // A server that ends in the meantime closes the connection.
        let _ = stream.write_all(request.as_bytes());
        let _ = stream.read_to_string(&mut answer);
    }
    answer
}

/// Returns the value of one series in a page of metrics.
pub fn value(page: &str, series: &str) -> f64 {
    let found = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {series}")).parse().unwrap()
}

/// Reads the addresses from the line that contains them, in JSON or as text.
fn read_addresses(line: &str, environment: &BTreeMap<String, String>) -> Option<Addresses> {
    let fields = fields(line)?;
    let address = |name: &str| fields.get(name)?.parse().ok();
    // The earliest version does not log the address of its metrics.
    let metrics = || environment.get("METRICS_ADDR")?.parse().ok();
    Some(Addresses {
        grpc: address("grpc")?,
        http: address("http")?,
        metrics: address("metrics").or_else(metrics)?,
    })
}

/// Reads the fields of the line with the addresses.
fn fields(line: &str) -> Option<BTreeMap<String, String>> {
    if let Ok(line) = serde_json::from_str::<BTreeMap<String, Value>>(line) {
        if line.get("message")? != "serving" {
            return None;
        }
        let text = |(name, value): (String, Value)| Some((name, value.as_str()?.to_owned()));
        return Some(line.into_iter().filter_map(text).collect());
    }
    let (_, fields) = line.split_once(" serving ")?;
    let fields = fields.split(' ').filter_map(|field| field.split_once('='));
    Some(fields.map(|(name, value)| (name.into(), value.trim_matches('"').into())).collect())
}
