//! An installation to inspect: the real binary, its environment and its files.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::LazyLock;

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use test_support::process::free_port;
use test_support::replica::Setup;

pub(crate) const JWT_SECRET: &str = "mFv1Qd0s7Zk4Xb9TnWc2Rj6Lp8Ye3Ga5UhIoKxNzJqM=";
pub(crate) const AUTHORITY_SECRET: &str = "t9Bq2Vn5Ck8Wm1Zx4Lr7Jp0Fd3Sg6HyUaEoIiQwRtPs=";

/// The SHA-256 of a random key.
pub(crate) const KEY_SHA256: &str =
    "e64a57eef2b3d26c5f3b3a53fb7b1d4c1b4dd06b79e0e2ab4b2b57b5c1a2f3d4";

/// A callers' file with one caller and no fault.
static CALLERS: LazyLock<NamedTempFile> = LazyLock::new(|| {
    let file = NamedTempFile::new().unwrap();
    let entry = json!({ "name": "auth-server", "roles": ["issuer"], "keys_sha256": [KEY_SHA256] });
    std::fs::write(file.path(), json!({ "callers": [entry] }).to_string()).unwrap();
    file
});

/// A healthy installation, until a test plants a fault.
#[derive(Debug)]
pub(crate) struct Installation {
    setup: Setup,
}

/// The doctor's report.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) code: i32,
    pub(crate) all: Vec<(String, String, String)>,
}

impl Installation {
    /// Creates a healthy installation in production, with a migrated SQLite file.
    pub(crate) fn healthy() -> Self {
        let installation = Self::unmigrated();
        installation.migrate();
        installation
    }

    /// Creates a healthy installation in production, with the database of that URL, migrated.
    pub(crate) fn on(database_url: &str) -> Self {
        let installation = Self::unmigrated().with("DATABASE_URL", database_url);
        installation.migrate();
        installation
    }

    /// Creates an installation in production whose database does not exist yet.
    pub(crate) fn unmigrated() -> Self {
        let installation = Self { setup: Setup::new().bare() };
        let data = installation.setup.path("data");
        installation
            .with("ENVIRONMENT", "production")
            .with("DATA_DIR", &data)
            .with("JWT_SECRET", JWT_SECRET)
            .with("AUTHORITY_SECRET", AUTHORITY_SECRET)
            .with("ALLOWED_ORIGINS", "https://app.example.com")
            .with("JWT_ISSUER", "https://auth.example.com")
            .with("TLS", "off")
            .with("TRUSTED_PROXIES", "10.0.0.0/8")
            .with("CALLERS_FILE", CALLERS.path().to_str().unwrap())
            // No process listens there, unless a test starts a service.
            .with("METRICS_ADDR", &format!("127.0.0.1:{}", free_port()))
    }

    /// Returns it with a variable set.
    pub(crate) fn with(self, name: &str, value: &str) -> Self {
        Self { setup: self.setup.set(name, value) }
    }

    /// Returns it with a variable removed.
    pub(crate) fn without(self, name: &str) -> Self {
        Self { setup: self.setup.unset(name) }
    }

    /// Returns the setup of its service.
    pub(crate) fn setup(&self) -> Setup {
        self.setup.clone()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.setup.folder().join("data").join(name)
    }

    pub(crate) fn migrate(&self) {
        self.setup.succeed(&["migrate"]);
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.setup.run(arguments)
    }

    /// Runs the doctor.
    pub(crate) fn examine(&self) -> Report {
        let output = self.run(&["doctor", "--json"]);
        let text = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        for secret in [JWT_SECRET, AUTHORITY_SECRET] {
            assert!(
                !text.contains(secret) && !stderr.contains(secret),
                "the report contains a secret"
            );
        }
        let json: Value =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text} {stderr}"));
        let field = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
        let findings = json["findings"].as_array().unwrap();
        let all: Vec<_> = findings
            .iter()
            .map(|one| (field(one, "severity"), field(one, "name"), field(one, "message")))
            .collect();
        Report { code: output.status.code().unwrap(), all }
    }

    /// Returns every file in the installation's folder, with its mode, size and time of change.
    pub(crate) fn files(&self) -> Vec<(PathBuf, u32, u64, i64)> {
        let mut found = Vec::new();
        collect(self.setup.folder(), &mut found);
        found.sort();
        found
    }
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, u32, u64, i64)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.metadata().unwrap();
        let changed = metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec();
        found.push((path.clone(), metadata.mode(), metadata.len(), changed));
        if metadata.is_dir() {
            collect(&path, found);
        }
    }
}

impl Report {
    /// Returns the findings that are more than information.
    pub(crate) fn faults(&self) -> Vec<(&str, &str)> {
        let bad =
            self.all.iter().filter(|(severity, ..)| severity == "warn" || severity == "error");
        bad.map(|(severity, name, _)| (severity.as_str(), name.as_str())).collect()
    }

    /// Returns the severity of a finding. `None`: there is no such finding.
    pub(crate) fn of(&self, name: &str) -> Option<&str> {
        let found = self.all.iter().find(|(_, known, _)| known == name);
        found.map(|(severity, ..)| severity.as_str())
    }

    /// Returns the message of a finding.
    pub(crate) fn message(&self, name: &str) -> &str {
        let found = self.all.iter().find(|(_, known, _)| known == name);
        &found.unwrap_or_else(|| panic!("nothing about {name}: {:#?}", self.all)).2
    }

    /// Checks that exactly one fault was found, and that the exit code matches.
    pub(crate) fn assert_only(&self, severity: &str, name: &str) {
        assert_eq!(self.faults(), [(severity, name)], "{:#?}", self.all);
        assert_eq!(self.code, if severity == "warn" { 1 } else { 2 });
    }

    /// Checks that no fault was found.
    pub(crate) fn assert_healthy(&self) {
        assert_eq!(self.faults(), [], "{:#?}", self.all);
        assert_eq!(self.code, 0);
    }
}
