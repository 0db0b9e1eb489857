//! Real clients and verifiers, as `scripts/tools` installs them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where `scripts/tools` puts what is no package of the system.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools")
}

/// A tool's path.
///
/// # Panics
/// Where it is not installed.
pub(crate) fn path(tool: &str) -> PathBuf {
    let path = match tool {
        "grpcurl" | "python" => folder().join("python/bin").join(tool),
        // No script of the package, but a file beside its modules.
        "rotel-agent" => site_packages().join("rotel/rotel-agent"),
        "modules" => folder().join("node/node_modules"),
        system => Path::new("/usr/bin").join(system),
    };
    assert!(path.exists(), "{} is missing: run scripts/tools", path.display());
    path
}

/// Where the environment keeps Python's packages.
fn site_packages() -> PathBuf {
    let versions = folder().join("python/lib").read_dir().into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("site-packages")).next();
    found.unwrap_or_default()
}

/// Runs a tool.
pub(crate) fn run(tool: &str, arguments: &[&str]) -> Output {
    Command::new(path(tool)).args(arguments).output().unwrap()
}

/// Runs a command that reads `input`; its output.
///
/// # Panics
/// Where it fails.
pub(crate) fn feed(command: &mut Command, input: &str) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Bytes as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
