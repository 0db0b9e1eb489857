//! The service as a child process, and its command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;
use test_support::replica::{Replica, Setup};
use test_support::until::until_blocking;

/// A folder with a callers' file and the other files of a service.
#[derive(Debug)]
pub(crate) struct House {
    setup: Setup,
}

impl House {
    pub(crate) fn new() -> Self {
        Self { setup: Setup::new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.setup.folder().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.setup.path(name)
    }

    /// Runs the command line with only these settings in its environment.
    pub(crate) fn run(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
        self.setup.clone().bare().set_all(settings.iter().copied()).run(arguments)
    }

    /// Runs `callers …` on this folder's file. Returns its output.
    pub(crate) fn callers(&self, arguments: &[&str]) -> String {
        let file = self.text("callers.json");
        let arguments: Vec<_> = ["callers"].iter().chain(arguments).copied().collect();
        let output = self.run(&arguments, &[("CALLERS_FILE", &file)]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {told}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Adds a caller. Returns its key.
    pub(crate) fn add(&self, name: &str, role: &str) -> String {
        self.callers(&["add", name, "--role", role]).trim().to_owned()
    }

    /// Starts the service with this folder's callers.
    pub(crate) fn start(&self, settings: &[(&str, &str)]) -> Authority {
        let file = self.text("callers.json");
        let all: Vec<_> =
            [("CALLERS_FILE", file.as_str())].iter().chain(settings).copied().collect();
        self.start_with(&all)
    }

    /// Starts the service with only these settings.
    pub(crate) fn start_with(&self, settings: &[(&str, &str)]) -> Authority {
        let replica = self
            .setup
            .clone()
            .set("SHUTDOWN_DELAY_SECONDS", "0")
            .set_all(settings.iter().copied())
            .start_blocking();
        Authority { grpc: replica.grpc(), http: replica.http_addr(), replica }
    }
}

/// A running service.
#[derive(Debug)]
pub(crate) struct Authority {
    replica: Replica,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
}

impl Authority {
    /// Returns the lines that it has logged.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.replica.log_lines()
    }

    /// Waits until the log contains a certain line, and returns all lines. A request does not wait
    /// for its line to be written.
    pub(crate) fn log_with(&self, is_it: impl Fn(&Value) -> bool) -> Vec<Value> {
        until_blocking("the line is there", || {
            let log = self.log();
            log.iter().any(&is_it).then_some(log)
        })
    }
}
