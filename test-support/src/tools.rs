//! The clients and verifiers that `scripts/tools` installs.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Returns the repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository")
}

/// Returns the folder of `scripts/tools` for programs that are not packages of the system.
pub fn folder() -> PathBuf {
    root().join("target/tools")
}

/// Returns a tool's path.
///
/// # Panics
///
/// Panics if it is not installed.
pub fn path(tool: &str) -> PathBuf {
    let path = match tool {
        "envoy" | "grpcurl" | "hadolint" | "python" => folder().join("python/bin").join(tool),
        // The package has no script for it, only a file beside its modules.
        "rotel-agent" => site_packages().join("rotel/rotel-agent"),
        "modules" => folder().join("node/node_modules"),
        system => Path::new("/usr/bin").join(system),
    };
    assert!(path.exists(), "{} is missing: run scripts/tools", path.display());
    path
}

/// Returns the folder of Python's packages.
fn site_packages() -> PathBuf {
    let versions = folder().join("python/lib").read_dir().into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("site-packages")).next();
    found.unwrap_or_default()
}

/// Runs a tool.
pub fn run(tool: &str, arguments: &[&str]) -> Output {
    Command::new(path(tool)).args(arguments).output().unwrap()
}

/// Runs a command that reads `input`, and returns its output.
///
/// # Panics
///
/// Panics if it fails.
pub fn feed(command: &mut Command, input: &str) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Returns bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
