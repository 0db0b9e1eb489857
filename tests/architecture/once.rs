//! Things that exist once: a table of routes, and a way to start the service.

use std::collections::BTreeSet;
use std::path::Path;

use crate::sources::{code, root, served_code, short, sources};

/// The table of routes.
const ROUTES: &str = "src/transport/callers/roles.rs";

/// The files outside of `test-support` that start the service's binary, with the reason.
const LAUNCHERS: [(&str, &str); 1] =
    [("bench/src/process.rs", "measures a release build that its user names")];

/// Returns the paths of HTTP routes in some code. An RPC's path contains the package's dots.
fn routes(lines: &[String]) -> BTreeSet<String> {
    let literals = lines.iter().flat_map(|line| line.split('"').skip(1).step_by(2));
    let is_route = |text: &&str| {
        text.len() > 1
            && text.starts_with('/')
            && !text.contains("token_authority.")
            && !text.contains("grpc.")
            && text.chars().all(|c| c.is_ascii_lowercase() || "/.-_2{}*".contains(c))
    };
    literals.filter(is_route).map(str::to_owned).collect()
}

#[test]
fn one_table_names_the_routes() {
    let table = routes(&served_code(&root().join(ROUTES)));
    assert!(table.len() >= 10, "{ROUTES} names only {table:?}");
    let others = sources(&root().join("src")).into_iter();
    let others = others.filter(|file| short(file) != Path::new(ROUTES));
    let again = others.filter(|file| !routes(&served_code(file)).is_disjoint(&table));
    let again: Vec<_> = again.map(|file| short(&file).to_owned()).collect();
    assert!(again.is_empty(), "{again:?} name routes of {ROUTES} again");
}

/// Returns how a file starts the service by itself. `None`: it does not.
fn launches(lines: Vec<String>) -> Option<String> {
    let binary = ["CARGO_BIN_EXE", "release/token-authority", "debug/token-authority"];
    let own = ["setpriv", ".spawn()", "Command::new(binary)", "process::Child,", "{Child,"];
    lines.into_iter().find(|line| binary.iter().chain(&own).any(|sign| line.contains(sign)))
}

#[test]
fn one_crate_starts_the_service() {
    // It runs `cargo build` for the previous version, and starts no service.
    let builds = Path::new("tests/resilience/previous.rs");
    for folder in ["tests", "bench", "benches"] {
        for file in sources(&root().join(folder)) {
            let path = short(&file);
            let may = LAUNCHERS.iter().any(|(launcher, _)| path == Path::new(launcher));
            if may || path == builds || path.starts_with("tests/architecture") {
                continue;
            }
            let found = launches(code(&file));
            assert_eq!(found, None, "{} starts a process by itself", path.display());
        }
    }
    for (launcher, why) in LAUNCHERS {
        let still = launches(code(&root().join(launcher)));
        assert!(still.is_some(), "{launcher} no longer starts anything: {why}");
    }
}
