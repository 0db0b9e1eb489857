//! Checks the architecture by reading the sources: which room may name which, no circles of
//! imports, one table of routes, one way to start the service, and plain English.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod circles;
mod language;
mod once;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

use sources::{code, names, root, short, sources};

/// A room, the other rooms that it may use, and the libraries that it must not use.
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

/// SQL types may only be used in the folders of the databases.
const SQLX_AT_HOME: [&str; 5] = [
    "src/store/postgres",
    "src/store/sqlite",
    "src/store/migrations",
    "src/store/connections",
    "src/store/columns",
];

fn room(name: &str) -> Vec<PathBuf> {
    let folder = root().join("src");
    let mut files = sources(&folder.join(name));
    files.extend(sources(&folder.join(format!("{name}.rs"))));
    assert!(!files.is_empty(), "there is no room {name}");
    files
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
    for file in sources(&root().join("src")) {
        let path = short(&file);
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

/// The console is a client: it may do only what the RPCs allow to its caller.
#[test]
fn the_console_only_calls_rpcs() {
    for file in sources(&root().join("src/cli/console")) {
        for line in code(&file) {
            for room in ["app", "authority", "store", "keys", "metrics", "doctor"] {
                let named = names(&line, &format!("crate::{room}::"));
                assert!(!named, "{} names {room}: {line}", file.display());
            }
        }
    }
}

#[test]
fn only_the_signals_know_redis() {
    let home = Path::new("src/store/redis.rs");
    for file in sources(&root().join("src")) {
        let path = short(&file);
        let knows = code(&file).iter().any(|line| names(line, "redis::"));
        assert!(path == home || !knows, "{} names redis", path.display());
    }
}

#[test]
fn every_route_is_guarded() {
    for file in sources(&root().join("src")) {
        let path = short(&file);
        // The metrics have a separate listener for the operator.
        // The console runs on an operator's machine, and has a guard of its own.
        let guards = [
            "src/transport/callers/route_builder.rs",
            "src/metrics/listener.rs",
            "src/cli/console/routes.rs",
        ];
        if guards.iter().any(|guard| path == Path::new(guard)) {
            continue;
        }
        let found = code(&file).into_iter().find(|line| line.contains("Router::new"));
        assert_eq!(found, None, "{} serves a route without the gate", path.display());
    }
}

#[test]
fn every_file_says_what_it_is_for_and_stays_small() {
    for file in sources(&root().join("src")) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{} does not say what it is for", file.display());
        let lines = text.lines().count();
        assert!(lines <= 400, "{} has {lines} lines", file.display());
    }
}
