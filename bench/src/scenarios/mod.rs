//! The scenarios that are measured.

mod costs;
mod growth;
mod issue_refresh;
mod lone;
mod memory;
mod open;
mod overhead;
mod session;
mod validate;

use std::path::Path;

use futures::future::BoxFuture;
use http::HeaderValue;
use tempfile::TempDir;
use token_authority::transport::proto::v1::{IssueTokensRequest, IssueTokensResponse};

use crate::Settings;
use crate::client::Client;
use crate::load::{Place, Sample};
use crate::process::Process;
use crate::report::{Report, Row};

/// The numbers of requests in flight.
const IN_FLIGHT: [usize; 2] = [64, 256];
/// The number of connections that they share.
const CONNECTIONS: usize = 8;

/// Every scenario. `growth` takes much time and space, so it runs only if it is named.
const SCENARIOS: [&str; 10] = [
    "validate", "issue", "refresh", "session", "sqlite", "lone", "memory", "overhead", "open",
    "growth",
];
/// The limit is the best result of these numbers of clients.
const PGBENCH_CLIENTS: [usize; 2] = [16, 64];

/// A rate that no caller here reaches. Requests are counted all the same.
const RATE: &str = "1000000/1000000";
const SECRET: &str = "bench-only-3f9c2a7d51e84b60a1c9d7e2f4b8a6c3";
const AUTHORITY_SECRET: &str = "bench-only-9d1e7a60c2b94f38a5d0e3b7c6f2a814";

/// Runs all scenarios whose name contains the given text.
pub(crate) async fn run(settings: &Settings) -> Report {
    let mut report = Report::default();
    let bench = Bench::begin(settings).await;
    for name in SCENARIOS {
        if !name.contains(&settings.only) || (name == "growth" && settings.only != name) {
            continue;
        }
        println!("\n{name}");
        match name {
            "validate" => validate::run(&bench, &mut report).await,
            "issue" => issue_refresh::issue(&bench, &mut report).await,
            "refresh" => issue_refresh::refresh(&bench, &mut report).await,
            "sqlite" => issue_refresh::sqlite(&bench, &mut report).await,
            "lone" => lone::run(&bench, &mut report).await,
            "session" => session::run(&bench, &mut report).await,
            "overhead" => overhead::run(&bench, &mut report).await,
            "open" => open::run(&bench, &mut report).await,
            "growth" => growth::run(&bench, &mut report).await,
            _ => memory::run(&bench, &mut report).await,
        }
    }
    report
}

/// The parts that all scenarios share.
struct Bench<'a> {
    settings: &'a Settings,
    dir: TempDir,
    database: String,
    callers: String,
    /// An API key. It is sent with every request, also to the limits.
    credential: HeaderValue,
    sink: Process,
}

impl<'a> Bench<'a> {
    /// Creates a database with our schema and rows for `pgbench`.
    async fn begin(settings: &'a Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (cluster, _) = settings.postgres.rsplit_once('/').unwrap();
        let database = format!("{cluster}/bench");
        psql(&settings.postgres, "DROP DATABASE IF EXISTS bench");
        psql(&settings.postgres, "CREATE DATABASE bench");
        let callers = dir.path().join("callers.json").to_string_lossy().into_owned();
        let credential = add_caller(&settings.server, &callers);
        let sink = Process::sink(dir.path()).await;
        migrate(&settings.server, &database);
        psql(&database, crate::pgbench::FILL);
        psql(&database, "VACUUM ANALYZE user_sessions");
        Self { settings, dir, database, callers, credential, sink }
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the best result of `pgbench` for a script.
    fn limit(&self, script: &str) -> Sample {
        PGBENCH_CLIENTS
            .map(|clients| {
                crate::pgbench::run(&self.database, script, clients, self.settings.turn())
            })
            .into_iter()
            .max_by(|a, b| a.per_second.total_cmp(&b.per_second))
            .unwrap()
    }

    /// Starts the server on Postgres, with everything that production switches on.
    async fn server(&self, more: &[(&str, &str)]) -> Process {
        self.server_in(self.dir(), &[&[("DATABASE_URL", self.database.as_str())], more].concat())
            .await
    }

    /// Starts the server as in production: with callers that authenticate and have rate limits,
    /// sampled and exported traces, metrics, and logs.
    async fn server_in(&self, dir: &Path, more: &[(&str, &str)]) -> Process {
        let collector = format!("http://{}", self.sink.grpc);
        let mut environment = vec![
            ("ENVIRONMENT", "production"),
            // As behind a mesh, because the limits are measured without TLS too.
            ("TLS", "off"),
            ("CALLERS_FILE", self.callers.as_str()),
            ("JWT_SECRET", SECRET),
            ("AUTHORITY_SECRET", AUTHORITY_SECRET),
            ("RATE_LIMIT_PER_CALLER", RATE),
            ("REFRESH_CONCURRENCY_WINDOW_SECONDS", "0"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.as_str()),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.01"),
        ];
        environment.retain(|(name, _)| more.iter().all(|(other, _)| name != other));
        environment.extend_from_slice(more);
        environment.retain(|(_, value)| !value.is_empty());
        Process::server(&self.settings.server, dir, &environment).await
    }

    async fn clients(&self, process: &Process) -> Vec<Client> {
        process.clients(CONNECTIONS, &self.credential).await
    }
}

/// Creates our schema in a database.
fn migrate(server: &Path, database: &str) {
    let migrated =
        std::process::Command::new(server).arg("migrate").env("DATABASE_URL", database).status();
    assert!(migrated.unwrap().success());
}

/// Adds a caller that may call everything that is measured.
fn add_caller(server: &Path, callers: &str) -> HeaderValue {
    let added = std::process::Command::new(server)
        .args(["callers", "add", "bench", "--role", "issuer,adapter,verifier,admin"])
        .env("CALLERS_FILE", callers)
        .output()
        .unwrap();
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let printed = String::from_utf8(added.stdout).unwrap();
    let key = printed.split_whitespace().find(|word| word.starts_with("tak_")).unwrap();
    format!("Bearer {key}").parse().unwrap()
}

fn psql(url: &str, statement: &str) {
    query(url, statement);
}

/// Returns the plain result of a statement.
fn query(url: &str, statement: &str) -> String {
    let output =
        std::process::Command::new("psql").args(["-qAtXc", statement, url]).output().unwrap();
    assert!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Logs that many users in.
async fn log_in(clients: &[Client], number: usize) -> Vec<IssueTokensResponse> {
    let mut issued = Vec::with_capacity(number);
    for chunk in (0..number).collect::<Vec<_>>().chunks(256) {
        let calls = chunk.iter().map(|n| {
            let client = &clients[n % clients.len()];
            async move { client.ask(login(*n)).await.unwrap() }
        });
        issued.extend(futures::future::join_all(calls).await);
    }
    issued
}

fn login(n: usize) -> IssueTokensRequest {
    IssueTokensRequest { user_id: format!("user-{n}"), ..Default::default() }
}

/// Creates places on shared connections. `request` makes the next request of a place.
fn places<F>(clients: &[Client], in_flight: usize, request: F) -> Vec<Place>
where
    F: Fn(Client, usize) -> BoxFuture<'static, Result<(), String>> + Clone + Send + 'static,
{
    (0..in_flight)
        .map(|place| {
            let (client, request) = (clients[place % clients.len()].clone(), request.clone());
            // Each place goes through the tokens from a different start.
            let mut n = place * 7919;
            Box::new(move || {
                n += 1;
                request(client.clone(), n)
            }) as Place
        })
        .collect()
}

/// Compares by throughput.
fn throughput(what: String, ours: Sample, limit: (&str, Sample), target: f64) -> Row {
    let ratio = ours.per_second / limit.1.per_second;
    Row {
        what,
        met: Some(ratio >= target && ours.failed == 0),
        ours,
        limit: Some((limit.0.to_owned(), limit.1)),
        ratio: Some(ratio),
        target: format!("≥ {target:.2} ×"),
    }
}
