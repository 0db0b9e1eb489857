//! The previous version, built from the repository's own history.
//!
//! It is the newest tag `v*` that is not this version's own. Before there is any such tag, it is
//! the last commit with another schema than today's. `PREVIOUS_REVISION` names another one. It is
//! built once, into `target/previous`, from the dependencies that this version was built with.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use test_support::replica::binary as binary_under_test;

/// Its schema had three migrations: sessions, signing keys, revocations.
const BEFORE_ANY_TAG: &str = "096bacb14b6910bef3ed6e8a94b38e305b08ce5a";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).current_dir(root()).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

fn revision() -> String {
    if let Ok(revision) = std::env::var("PREVIOUS_REVISION") {
        return revision;
    }
    let own = concat!("v", env!("CARGO_PKG_VERSION"));
    let tags = git(&["tag", "--list", "v*", "--sort=-version:refname"]).unwrap_or_default();
    tags.lines().find(|tag| *tag != own).unwrap_or(BEFORE_ANY_TAG).to_owned()
}

/// Returns its commit. A clone without history fetches this part of it.
fn commit() -> String {
    let revision = revision();
    let name = format!("{revision}^{{commit}}");
    let find = || git(&["rev-parse", "--verify", "--quiet", &name]);
    let found = find().or_else(|| {
        git(&["fetch", "--quiet", "--depth", "1", "origin", &revision])?;
        find()
    });
    found.unwrap_or_else(|| panic!("{revision} is not in this repository, nor at its origin"))
}

/// Returns its binary.
///
/// # Panics
/// Panics if its sources cannot be fetched or do not build.
pub(crate) fn binary() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build(commit().trim()))
}

fn build(commit: &str) -> PathBuf {
    let all = root().join("target/previous");
    let (binary, sources) = (all.join(format!("{commit}.bin")), all.join(commit));
    if binary.exists() {
        return binary;
    }
    std::fs::create_dir_all(&sources).unwrap();
    let unpacked = Command::new("sh")
        .args(["-c", "git archive \"$0\" | tar -x -C \"$1\"", commit])
        .arg(&sources)
        .current_dir(root())
        .status();
    assert!(unpacked.unwrap().success(), "{commit} cannot be unpacked");
    let target = all.join("target");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--bin", "token-authority"]);
    // It has its own target folder, because the binary has the same name. The folder for dependencies
    // is this version's: most of them are the same, and each crate has a name of its own there.
    cargo
        .current_dir(&sources)
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_BUILD_BUILD_DIR", build_folder());
    assert!(cargo.status().unwrap().success(), "{commit} cannot be built");
    // The folder is complete or absent, and the next revision does not overwrite it.
    let draft = all.join(format!("{commit}.{}", std::process::id()));
    std::fs::copy(target.join("debug/token-authority"), &draft).unwrap();
    std::fs::rename(&draft, &binary).unwrap();
    std::fs::remove_dir_all(&sources).unwrap();
    binary
}

/// Returns the folder that this version was built in.
fn build_folder() -> PathBuf {
    // The binary is in `debug`.
    binary_under_test().ancestors().nth(2).unwrap().to_owned()
}

/// Returns how many migrations it knows.
pub(crate) fn migrations() -> usize {
    let commit = commit();
    let listed = git(&["ls-tree", "--name-only", commit.trim(), "migrations/postgres/"]);
    listed.unwrap_or_default().lines().count()
}
