//! Faults in the callers' file.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::installation::{Installation, KEY_SHA256};

/// Returns an installation that is healthy except for its callers.
fn with_callers(text: &str, mode: u32) -> Installation {
    let installation = Installation::healthy();
    let path = installation.path("callers.json");
    std::fs::write(&path, text).unwrap();
    set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    installation.with("CALLERS_FILE", path.to_str().unwrap())
}

fn listing(name: &str, roles: &[&str], key: &str) -> String {
    let entry: Value = json!({ "name": name, "roles": roles, "keys_sha256": [key] });
    json!({ "callers": [entry] }).to_string()
}

#[test]
fn nobody_is_said_to_be_let_in() {
    let installation = Installation::healthy().without("CALLERS_FILE");
    installation.examine().assert_only("error", "callers.file");
    // On a developer's own machine, this is correct.
    installation.with("ENVIRONMENT", "development").examine().assert_healthy();
}

#[test]
fn a_file_that_is_missing_or_cannot_be_read() {
    let missing = Installation::healthy().with("CALLERS_FILE", "/nonexistent/callers.json");
    missing.examine().assert_only("error", "callers.file");
    with_callers("{", 0o600).examine().assert_only("error", "callers.file");
    let unknown = listing("auth-server", &["root"], KEY_SHA256);
    with_callers(&unknown, 0o600).examine().assert_only("error", "callers.file");
}

#[test]
fn a_file_that_others_may_change() {
    let text = listing("auth-server", &["issuer"], KEY_SHA256);
    with_callers(&text, 0o644).examine().assert_healthy();
    for mode in [0o620, 0o602] {
        with_callers(&text, mode).examine().assert_only("error", "callers.file");
    }
}

#[test]
fn a_file_without_callers() {
    let empty = json!({ "callers": [] }).to_string();
    with_callers(&empty, 0o600).examine().assert_only("warn", "callers.file");
}

#[test]
fn a_key_that_anybody_guesses() {
    for (name, key) in [
        // printf changeme | sha256sum; printf auth-server | sha256sum
        ("backend", "057ba03d6c44104863dc7361fe4578965d1887360f90a0895882e58a6248fc86"),
        ("auth-server", "b7548cb7025c08662fd25de51d20916f80886651cc2189539ce93a70faa0e4c9"),
    ] {
        let report = with_callers(&listing(name, &["verifier"], key), 0o600).examine();
        report.assert_only("error", "callers.weak");
        assert!(report.message("callers.weak").contains(name));
        assert!(!format!("{:?}", report.all).contains(key), "the report contains its hash");
    }
}

#[test]
fn a_caller_that_may_do_everything() {
    let every =
        listing("everything", &["issuer", "adapter", "verifier", "sessions", "admin"], KEY_SHA256);
    with_callers(&every, 0o600).examine().assert_only("warn", "callers.roles");
}
