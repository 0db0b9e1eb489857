//! Programs in other languages that a test talks to line by line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::tools;

/// A running program. It must end when its standard input ends, which is when the test ends.
#[derive(Debug)]
pub struct Script {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Script {
    /// Starts a module for Node, with the packages of `scripts/tools`.
    pub fn node(module: &str) -> Self {
        let modules = tools::path("modules");
        // An evaluated script finds its modules from the working directory.
        let mut command = Command::new(tools::path("node"));
        command.args(["--input-type=module", "--eval", module]);
        Self::start(command.current_dir(modules.parent().unwrap()))
    }

    /// Starts Python with these arguments, and the packages of `scripts/tools`.
    pub fn python(arguments: &[&str]) -> Self {
        Self::start(Command::new(tools::path("python")).args(arguments))
    }

    /// Starts a command.
    pub fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    /// Sends a line.
    pub fn send(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for a line. It is empty if the program has ended.
    pub fn receive(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    /// Sends a line and waits for the answer.
    pub fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.receive()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.input.take());
        // It may have ended already.
        let _ = self.child.wait();
    }
}
