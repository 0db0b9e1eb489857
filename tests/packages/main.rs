//! Packages as `scripts/package` makes them: checked, installed in an empty root, and started from it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by a panic")]

mod image;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;
use test_support::replica::{self, Setup};

/// The packages of the binary under test.
static PACKAGES: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let mut script = Command::new(root().join("scripts/package"));
    script.arg("--binary").arg(replica::binary()).env("PACKAGES_DIR", folder.path());
    succeed(&mut script);
    folder
});

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a command that must succeed. Returns what it printed.
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {out}{err}");
    out
}

/// Returns the package whose name ends so.
fn package(end: &str) -> PathBuf {
    let files = std::fs::read_dir(PACKAGES.path()).unwrap().map(|file| file.unwrap().path());
    let mut found: Vec<_> = files.filter(|file| file.to_str().unwrap().ends_with(end)).collect();
    assert_eq!(found.len(), 1, "{end}: {found:?}");
    found.remove(0)
}

/// Installs the Debian package in an empty root.
fn installed() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("var/lib/dpkg")).unwrap();
    std::fs::create_dir(root.path().join("etc")).unwrap();
    std::fs::write(root.path().join("var/lib/dpkg/status"), "").unwrap();
    let mut dpkg = Command::new("dpkg");
    dpkg.arg(format!("--root={}", root.path().display()))
        .arg(format!("--log={}", root.path().join("dpkg.log").display()))
        // Its scripts run with this system's shell, and write to the root only.
        .args(["--force-script-chrootless", "--force-not-root", "--force-depends", "--install"])
        .arg(package(".deb"));
    succeed(&mut dpkg);
    root
}

#[test]
fn every_package_has_its_checksum() {
    let listed = succeed(
        Command::new("sha256sum").args(["--check", "SHA256SUMS"]).current_dir(PACKAGES.path()),
    );
    let packages = std::fs::read_dir(PACKAGES.path()).unwrap().count() - 1;
    assert_eq!(listed.lines().filter(|line| line.ends_with(": OK")).count(), packages, "{listed}");
    assert!(packages >= 3, "{listed}");
}

#[test]
fn lintian_finds_nothing() {
    let mut lintian = Command::new("lintian");
    let found = succeed(lintian.args(["--fail-on", "error,warning"]).arg(package(".deb")));
    assert_eq!(found, "");
}

#[test]
fn the_unit_is_hardened() {
    let unit = root().join("packaging/token-authority.service");
    let mut analyze = Command::new("systemd-analyze");
    // In tenths: 2.0.
    analyze.args(["security", "--offline=true", "--threshold=20"]).arg(unit);
    let report = succeed(&mut analyze);
    assert!(report.contains("Overall exposure level"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_debian_package_starts_from_an_empty_root() {
    let root = installed();
    let at = |path: &str| root.path().join(path);
    let users = std::fs::read_to_string(at("etc/passwd")).unwrap();
    assert!(users.contains("token-authority:") && users.contains("/nologin"), "{users}");
    let unit = std::fs::read_to_string(at("lib/systemd/system/token-authority.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/token-authority serve\n"), "{unit}");
    for file in [
        "usr/share/man/man1/token-authority.1.gz",
        "usr/share/bash-completion/completions/token-authority",
        "usr/share/doc/token-authority/copyright",
    ] {
        assert!(at(file).is_file(), "{file}");
    }

    // The settings are those of the package, in other places.
    let settings = std::fs::read_to_string(at("etc/token-authority/token-authority.env")).unwrap();
    let known = Setup::new().succeed(&["--help-settings"]);
    for line in settings.lines() {
        if let Some((name, _)) = line.trim_start_matches('#').split_once('=') {
            // A secret may be in a file.
            let of_file = name.strip_suffix("_FILE").unwrap_or(name);
            assert!(known.contains(name) || known.contains(of_file), "{line}");
        }
    }
    let settings = settings.lines().filter(|line| !line.starts_with('#'));
    let settings: Vec<_> = settings.filter_map(|line| line.split_once('=')).collect();
    assert!(settings.contains(&("ENVIRONMENT", "production")), "{settings:?}");
    let folder = at("var/lib/token-authority");
    std::fs::create_dir(&folder).unwrap();
    let kept = settings.into_iter().filter(|(name, _)| !name.ends_with("_ADDR"));
    let setup = Setup::new()
        .set_all(kept)
        .set("DATA_DIR", folder.to_str().unwrap())
        .set("JWT_SECRET", "kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=")
        .set("TLS", "off")
        .program(&at("usr/bin/token-authority"));
    let callers = setup.path("callers.json");
    let setup = setup.set("CALLERS_FILE", &callers);
    setup.succeed(&["callers", "add", "auth-server", "--preset", "auth-server"]);
    setup.succeed(&["migrate"]);
    let service = setup.start().await;
    service.ready().await;
    assert_eq!(service.http().get("/healthz").await.status, 200);
}

#[test]
fn the_tarball_runs_where_it_was_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let mut tar = Command::new("tar");
    succeed(tar.arg("-xzf").arg(package(".tar.gz")).arg("-C").arg(folder.path()));
    let unpacked = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let version = succeed(Command::new(unpacked.join("bin/token-authority")).arg("--version"));
    assert_eq!(version.trim(), concat!("token-authority ", env!("CARGO_PKG_VERSION")));
    assert!(unpacked.join("LICENSE").is_file());
}
