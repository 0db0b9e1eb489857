//! Programs of `tests/tools` that serve HTTP on a port of their own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

use crate::support::http::Http;
use crate::support::tools;

/// A running program, which ends with its standard input: with the test, however that ends.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    input: Option<ChildStdin>,
    port: u16,
}

impl Program {
    /// Starts a Node program, with what it asks for.
    pub(crate) fn node(script: &str, settings: &Value) -> Self {
        let modules = tools::path("modules");
        // A script that is evaluated finds its modules from the working directory.
        let script = std::fs::read_to_string(path(script)).unwrap();
        let mut command = Command::new(tools::path("node"));
        command.args(["--input-type=module", "--eval", &script]);
        Self::start(command.current_dir(modules.parent().unwrap()), settings)
    }

    /// Starts a Python program, with what it asks for.
    pub(crate) fn python(script: &str, settings: &Value) -> Self {
        Self::start(Command::new(tools::path("python")).arg(path(script)), settings)
    }

    fn start(command: &mut Command, settings: &Value) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        writeln!(input, "{settings}").unwrap();
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).expect("the program tells its port");
        let port = u16::try_from(told["port"].as_u64().unwrap()).unwrap();
        Self { child, input: Some(input), port }
    }

    /// A client of it.
    pub(crate) fn http(&self) -> Http {
        Http::new(SocketAddr::from(([127, 0, 0, 1], self.port)))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

fn path(script: &str) -> String {
    format!("{}/tests/tools/{script}", env!("CARGO_MANIFEST_DIR"))
}
