//! Programs of `tests/tools` that serve HTTP on a separate port.

use std::net::SocketAddr;

use serde_json::Value;
use test_support::http::Http;
use test_support::script::Script;

/// A running program.
#[derive(Debug)]
pub(crate) struct Program {
    port: u16,
    _running: Script,
}

impl Program {
    /// Starts a Node program with its settings.
    pub(crate) fn node(script: &str, settings: &Value) -> Self {
        Self::start(Script::node(&std::fs::read_to_string(path(script)).unwrap()), settings)
    }

    /// Starts a Python program with its settings.
    pub(crate) fn python(script: &str, settings: &Value) -> Self {
        Self::start(Script::python(&[&path(script)]), settings)
    }

    fn start(mut running: Script, settings: &Value) -> Self {
        let line = running.ask(&settings.to_string());
        let told: Value = serde_json::from_str(&line).expect("the program tells its port");
        let port = u16::try_from(told["port"].as_u64().unwrap()).unwrap();
        Self { port, _running: running }
    }

    /// Returns a client of it.
    pub(crate) fn http(&self) -> Http {
        Http::new(SocketAddr::from(([127, 0, 0, 1], self.port)))
    }
}

fn path(script: &str) -> String {
    format!("{}/tests/tools/{script}", env!("CARGO_MANIFEST_DIR"))
}
