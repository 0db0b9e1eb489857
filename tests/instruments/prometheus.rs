//! A real Prometheus that scrapes replicas, and its promtool.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use test_support::http::Http;
use test_support::process::{Supervised, await_port, free_port};

/// A running Prometheus. It scrapes every second and evaluates the repository's rules.
#[derive(Debug)]
pub(crate) struct Prometheus {
    server: Supervised,
    http: Http,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The repository's alert rules.
pub(crate) fn rules_file() -> PathBuf {
    root().join("ops/prometheus/rules.yaml")
}

impl Prometheus {
    /// Starts a Prometheus that scrapes these addresses.
    ///
    /// # Panics
    ///
    /// Panics if Prometheus is not installed.
    pub(crate) fn scraping(targets: &[SocketAddr]) -> Self {
        let (folder, port) = (Supervised::folder(), free_port());
        // Prometheus runs as a user who may not read the repository.
        std::fs::copy(rules_file(), folder.join("rules.yaml")).unwrap();
        let addresses: Vec<_> = targets.iter().map(SocketAddr::to_string).collect();
        let settings = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
             rule_files: [rules.yaml]\n\
             scrape_configs:\n\
             - job_name: authority\n  \
               static_configs: [{{ targets: {addresses:?} }}]\n"
        );
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, settings).unwrap();
        let program = "/usr/bin/prometheus";
        assert!(Path::new(program).exists(), "Prometheus is not installed: run scripts/tools");
        let command = [
            program.to_owned(),
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", folder.join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        let server = Supervised::start(&folder, "TERM", &command.each_ref().map(String::as_str));
        await_port(port, &server);
        Self { server, http: Http::new(SocketAddr::from(([127, 0, 0, 1], port))) }
    }

    async fn api(&self, path: &str) -> Value {
        let answer = self.http.get(&format!("/api/v1/{path}")).await;
        let json = answer.json();
        assert_eq!(json["status"], "success", "{path}: {json} {}", self.server.log());
        json["data"].clone()
    }

    /// Returns the current values of a query, with their labels.
    pub(crate) async fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let encoded: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let data = self.api(&format!("query?query={encoded}")).await;
        assert_eq!(data["resultType"], "vector", "{query}");
        let value = |found: &Value| found["value"][1].as_str().unwrap().parse::<f64>().unwrap();
        let found = data["result"].as_array().unwrap().iter();
        found.map(|found| (found["metric"].clone(), value(found))).collect()
    }

    /// Returns every rule with its current state.
    pub(crate) async fn rules(&self) -> Vec<Value> {
        let data = self.api("rules").await;
        let groups = data["groups"].as_array().unwrap().iter();
        groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    }

    /// Waits until every target was scraped.
    pub(crate) async fn await_targets(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(30);
        // The port is open shortly before it answers.
        while self.http.get("/-/ready").await.status != 200
            || self.query("up == 1").await.len() < count
        {
            assert!(Instant::now() < deadline, "not scraped: {}", self.server.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Runs promtool.
pub(crate) fn promtool(arguments: &[&str]) -> Output {
    let mut command = Command::new("/usr/bin/promtool");
    command.args(arguments).current_dir(root().join("ops/prometheus"));
    command.output().expect("promtool is installed: run scripts/tools")
}
