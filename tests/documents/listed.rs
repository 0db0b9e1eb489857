//! Every snippet of README and `docs/`, with the test that runs it, or the reason that it cannot
//! run.

use std::collections::BTreeSet;

use test_support::tools::root;

use crate::page::snippets;

/// How a snippet is checked.
enum Fate {
    /// A test of this suite runs it.
    Runs,
    /// Another test runs it.
    RunBy(&'static str),
    /// It cannot run here.
    Cannot(&'static str),
}
use Fate::{Cannot, RunBy, Runs};

/// Each snippet, by its page and the beginning of its first line.
const SNIPPETS: &[(&str, &str, Fate)] = &[
    ("README.md", "cargo run --release\n", Runs),
    ("README.md", "cargo run --release -- try\n", Runs),
    ("README.md", "TOKENS=", Runs),
    ("README.md", "grpcurl -plaintext", Runs),
    ("README.md", "import os, pathlib", Runs),
    ("CONTRIBUTING.md", "rustup toolchain", Cannot("it installs a toolchain and clones")),
    ("CONTRIBUTING.md", "scripts/test store", Cannot("it runs the tests, and so itself")),
    ("docs/browsers.md", "curl -d grant_type", RunBy("tests/web/native_apps.rs")),
    ("docs/browsers.md", "const answer = await fetch", RunBy("tests/browser/main.rs")),
    ("docs/callers.md", "export CALLERS_FILE", Runs),
    ("docs/capacity.md", "scripts/bench", Cannot("it measures for an hour")),
    (
        "docs/console.md",
        "token-authority console",
        Cannot("it names another machine; tests/commands/console.rs runs the command"),
    ),
    ("docs/evidence.md", "scripts/fleet", Cannot("it simulates for minutes")),
    ("docs/evidence.md", "cargo test", Cannot("it runs tests")),
    ("docs/keys.md", "export AUTHORITY_SECRET", Runs),
    ("docs/keys.md", "AUTHORITY_SECRET=", Runs),
    ("docs/operations.md", "token-authority doctor", Runs),
    ("docs/operations.md", "export CALLERS_FILE", Runs),
    ("docs/operations.md", "export ENVIRONMENT", Runs),
    ("docs/operations.md", "scripts/package", RunBy("tests/packages/main.rs")),
    ("docs/operations.md", "systemctl enable", Cannot("it needs systemd as process 1")),
    ("docs/operations.md", "skopeo copy", RunBy("tests/packages/image.rs")),
    ("docs/operations.md", "podman load", Cannot("it needs an image engine")),
    ("docs/operations.md", "docker build", Cannot("it needs an image engine")),
    ("docs/operations.md", "docker run", Cannot("it needs an image engine")),
    ("docs/operations.md", "helm upgrade", Runs),
    ("docs/operations.md", "token-authority sessions", Runs),
    ("docs/operations.md", "pg_dump", Runs),
    ("docs/operations.md", "token-authority backup", Runs),
    ("docs/operations.md", "cd /var/lib", Runs),
    ("docs/pages.md", "const answer = await fetch", RunBy("tests/browser/pages.rs")),
    ("docs/revocation.md", "refused, arriving", Runs),
    ("docs/revocation.md", "import uuid\n\ndef epoch", Runs),
    ("docs/rollout.md", "token-authority rollout", Runs),
    ("docs/rollout.md", "import hashlib\nimport uuid", Runs),
    (
        "docs/rollout.md",
        "import { createHash } from \"node:crypto\";\n\nexport function requestId",
        Runs,
    ),
    ("docs/rollout.md", "import hashlib\n\ndef bucket", Runs),
    (
        "docs/rollout.md",
        "import { createHash } from \"node:crypto\";\n\nexport function bucket",
        Runs,
    ),
    ("docs/runbook.md", "kubectl get pods", Cannot("it needs a cluster")),
    ("docs/scaling.md", "scripts/cluster --synchronous", RunBy("tests/resilience/cluster.rs")),
    ("docs/scaling.md", "scripts/cluster measure", Cannot("it measures for forty minutes")),
    ("docs/verifying-locally.md", "import os", Runs),
    ("docs/verifying-locally.md", "import { jwtVerify }", Runs),
    ("docs/verifying-locally.md", "import jwt from", Runs),
    ("docs/verifying-locally.md", "use jsonwebtoken", Runs),
];

/// The pages whose snippets are listed: README, CONTRIBUTING and `docs/` without its folders.
fn pages() -> BTreeSet<String> {
    let all = root().join("docs").read_dir().unwrap().flatten();
    let pages = all.map(|entry| entry.path()).filter(|path| path.is_file());
    let pages = pages.map(|path| format!("docs/{}", path.file_name().unwrap().to_str().unwrap()));
    pages.chain(["README.md".to_owned(), "CONTRIBUTING.md".to_owned()]).collect()
}

#[test]
fn every_snippet_is_listed_once() {
    let mut seen = vec![0; SNIPPETS.len()];
    for page in pages() {
        for snippet in snippets(&page) {
            let of_page = SNIPPETS.iter().enumerate().filter(|(_, entry)| entry.0 == page);
            let fits = of_page.filter(|(_, entry)| snippet.text.starts_with(entry.1));
            let fits: Vec<_> = fits.map(|(at, _)| at).collect();
            let [at] = fits[..] else { panic!("{page}: `{}` is listed {fits:?}", snippet.name()) };
            seen[at] += 1;
        }
    }
    for (count, (page, beginning, fate)) in seen.iter().zip(SNIPPETS) {
        assert_eq!(*count, 1, "{page} has no snippet `{beginning}`");
        match fate {
            Runs => {}
            RunBy(test) => assert!(root().join(test).exists(), "{test}"),
            Cannot(why) => assert!(!why.is_empty()),
        }
    }
}
