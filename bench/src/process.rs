//! The server and the echo as child processes. Each is killed when it is dropped.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::HeaderValue;

use crate::client::Client;

/// A child process that listens for gRPC.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// The address of its metrics.
    metrics: Option<SocketAddr>,
    pub(crate) grpc: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a free address on loopback.
pub(crate) fn free_addr() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Process {
    /// Starts the server with only that environment.
    pub(crate) async fn server(binary: &Path, dir: &Path, environment: &[(&str, &str)]) -> Self {
        let (grpc, metrics) = (free_addr(), free_addr());
        let mut command = Command::new(binary);
        command
            .env_clear()
            .env("GRPC_ADDR", grpc.to_string())
            .env("HTTP_ADDR", "127.0.0.1:0")
            .env("METRICS_ADDR", metrics.to_string())
            .envs(environment.iter().copied())
            .current_dir(dir);
        let mut process = Self::start(command, grpc, dir).await;
        process.metrics = Some(metrics);
        process
    }

    /// Starts the echo.
    pub(crate) async fn echo(dir: &Path, answer: &Path) -> Self {
        let grpc = free_addr();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["echo", "--addr", &grpc.to_string(), "--answer"]).arg(answer);
        Self::start(command, grpc, dir).await
    }

    /// Starts the collector.
    pub(crate) async fn sink(dir: &Path) -> Self {
        let grpc = free_addr();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["sink", "--addr", &grpc.to_string()]);
        Self::start(command, grpc, dir).await
    }

    async fn start(mut command: Command, grpc: SocketAddr, dir: &Path) -> Self {
        let log = std::fs::File::create(dir.join(format!("{}.log", grpc.port()))).unwrap();
        command.stdout(Stdio::null()).stderr(log).stdin(Stdio::null());
        let mut process = Self { child: command.spawn().unwrap(), grpc, metrics: None };
        let patience = Instant::now() + Duration::from_secs(20);
        while tokio::net::TcpStream::connect(grpc).await.is_err() {
            assert!(process.child.try_wait().unwrap().is_none(), "the process ended at once");
            assert!(Instant::now() < patience, "the process does not listen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        process
    }

    /// Opens connections to it, which the places share.
    pub(crate) async fn clients(&self, number: usize, credential: &HeaderValue) -> Vec<Client> {
        let connect = (0..number).map(|_| Client::connect(self.grpc, credential));
        futures::future::join_all(connect).await
    }

    /// Returns the processor time that it has used so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        cpu(&stat)
    }

    /// Returns the sum of a metric's series that have that label.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let mut stream = std::net::TcpStream::connect(self.metrics.unwrap()).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: bench\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let series = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Returns its resident memory in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        let status = std::fs::File::open(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = BufReader::new(status)
            .lines()
            .map_while(Result::ok)
            .find(|line| line.starts_with("VmRSS"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

/// Reads the processor time from a line of `/proc`.
fn cpu(stat: &str) -> Duration {
    const TICKS_A_SECOND: f64 = 100.0;
    // User and system time are fields 14 and 15. Field 2 may contain anything except a `)`.
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let ticks = rest.split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    Duration::from_secs_f64(ticks / TICKS_A_SECOND)
}

/// Returns the processor time of each process with that name on this machine, by process id.
pub(crate) fn cpu_of_all(name: &str) -> HashMap<String, Duration> {
    let named = format!("({name})");
    let stats = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    stats
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| stat.contains(&named))
        .map(|stat| (stat.split(' ').next().unwrap_or_default().to_owned(), cpu(&stat)))
        .collect()
}
