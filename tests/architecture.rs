//! Holds the one direction: which rooms a room may name, and which libraries it may not.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

use std::fs;
use std::path::{Path, PathBuf};

/// A room, the rooms it may name beside itself, and the libraries that are none of its business.
const ROOMS: [(&str, &[&str], &[&str]); 8] = [
    ("clock", &[], &["tonic", "axum", "sqlx", "tokio", "prost", "http"]),
    ("token", &["clock"], &["tonic", "axum", "sqlx", "tokio", "prost", "http", "rand"]),
    ("keys", &["token", "clock"], &["tonic", "axum", "sqlx", "prost", "http", "rand"]),
    ("store", &["token", "clock"], &["tonic", "axum", "prost", "http", "rand"]),
    (
        "authority",
        &["store", "keys", "token", "clock"],
        &["tonic", "axum", "sqlx", "prost", "http", "rand"],
    ),
    (
        "doctor",
        &["config", "authority", "store", "keys", "token", "clock"],
        &["tonic", "axum", "sqlx", "prost", "http", "rand"],
    ),
    ("transport", &["authority", "store", "keys", "token", "clock"], &["sqlx", "rand"]),
    (
        "metrics",
        &["transport", "authority", "store", "keys", "token", "clock"],
        &["tonic", "sqlx", "prost", "rand"],
    ),
];

/// The databases may not leak out of their folders.
const SQLX_AT_HOME: [&str; 5] = [
    "src/store/postgres",
    "src/store/sqlite",
    "src/store/migrations",
    "src/store/connections",
    "src/store/columns",
];

fn sources(under: &Path) -> Vec<PathBuf> {
    if under.is_file() {
        return vec![under.to_owned()];
    }
    let Ok(entries) = fs::read_dir(under) else { return Vec::new() };
    entries.flat_map(|entry| sources(&entry.unwrap().path())).collect()
}

fn room(name: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = sources(&root.join(name));
    files.extend(sources(&root.join(format!("{name}.rs"))));
    assert!(!files.is_empty(), "no room {name}");
    files
}

/// The code of a file without its comments, each line once.
fn code(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned());
    lines.collect()
}

fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':')
    })
}

#[test]
fn arrows_never_go_back() {
    for (name, may, may_not) in ROOMS {
        for file in room(name) {
            for line in code(&file) {
                for (at, _) in line.match_indices("crate::") {
                    let rest = &line[at + "crate::".len()..];
                    let to: String =
                        rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    let known = to == name || may.contains(&to.as_str()) || to.is_empty();
                    assert!(known, "{} names {to}: {line}", file.display());
                }
                for library in may_not {
                    let named = names(&line, &format!("{library}::"));
                    assert!(!named, "{} names {library}: {line}", file.display());
                }
            }
        }
    }
}

#[test]
fn only_the_databases_know_sql() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in sources(&root.join("src")) {
        let path = file.strip_prefix(root).unwrap();
        if SQLX_AT_HOME
            .iter()
            .any(|home| path.starts_with(home) || path == Path::new(&format!("{home}.rs")))
        {
            continue;
        }
        let knows = code(&file).iter().any(|line| names(line, "sqlx::"));
        assert!(!knows, "{} names sqlx", path.display());
    }
}

#[test]
fn only_the_signals_know_redis() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let home = Path::new("src/store/redis.rs");
    for file in sources(&root.join("src")) {
        let path = file.strip_prefix(root).unwrap();
        let knows = code(&file).iter().any(|line| names(line, "redis::"));
        assert!(path == home || !knows, "{} names redis", path.display());
    }
}

#[test]
fn every_route_is_guarded() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in sources(&root.join("src")) {
        let path = file.strip_prefix(root).unwrap();
        // Metrics are served on a listener of their own, which is nobody's but the operator's.
        let guards = ["src/transport/callers/route_builder.rs", "src/metrics/listener.rs"];
        if guards.iter().any(|guard| path == Path::new(guard)) {
            continue;
        }
        let found = code(&file).into_iter().find(|line| line.contains("Router::new"));
        assert_eq!(found, None, "{} serves a route past the gate", path.display());
    }
}

#[test]
fn every_file_says_what_it_is_for_and_stays_small() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in sources(&root.join("src")) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{} does not say what it is for", file.display());
        let lines = text.lines().count();
        assert!(lines <= 400, "{} has {lines} lines", file.display());
    }
}
