//! What there is once: a way to start the service.

use std::path::Path;

use crate::sources::{code, root, short, sources};

/// What starts the service's binary outside of `test-support`, and why.
const LAUNCHERS: [(&str, &str); 1] =
    [("bench/src/process.rs", "measures a release build that its user names")];

/// Why a file starts the service by itself, if it does.
fn launches(lines: Vec<String>) -> Option<String> {
    let binary = ["CARGO_BIN_EXE", "release/token-authority", "debug/token-authority"];
    let own = ["setpriv", ".spawn()", "Command::new(binary)", "process::Child,", "{Child,"];
    lines.into_iter().find(|line| binary.iter().chain(&own).any(|sign| line.contains(sign)))
}

#[test]
fn one_crate_starts_the_service() {
    // `cargo build` makes the version before this one, and runs nothing.
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
        assert!(still.is_some(), "{launcher} starts nothing any more: {why}");
    }
}
