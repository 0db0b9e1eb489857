//! The Dockerfile, as far as it can be checked without building it: the files that it copies are in
//! its context, the files that it runs exist, and cargo finds everything it needs in the context.

use std::path::Path;
use std::process::Command;

use test_support::replica::Setup;

use crate::helm::{root, text, tool};

/// Returns the Dockerfile's instructions, with continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let file = std::fs::read_to_string(root().join("Dockerfile")).unwrap();
    let lines = file.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    let joined = lines.replace("\\\n", " ");
    let instruction = |line: &str| {
        let (name, rest) = line.split_once(' ')?;
        Some((name.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" ")))
    };
    joined.lines().filter_map(instruction).collect()
}

fn all(name: &str) -> Vec<String> {
    instructions().into_iter().filter(|(one, _)| one == name).map(|(_, rest)| rest).collect()
}

fn last(name: &str) -> String {
    all(name).pop().unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn it_builds_the_locked_binary_with_a_new_enough_rust() {
    let build = all("RUN").into_iter().find(|run| run.contains("cargo auditable build")).unwrap();
    assert!(build.contains("--locked") && build.contains("--profile dist"), "{build}");
    assert!(build.contains(concat!("--bin ", env!("CARGO_PKG_NAME"))), "{build}");
    let image = all("FROM").swap_remove(0);
    let version = image.strip_prefix("rust:1.").unwrap().split('-').next().unwrap();
    let least = env!("CARGO_PKG_RUST_VERSION").split('.').nth(1).unwrap();
    assert!(version.parse::<u32>().unwrap() >= least.parse().unwrap(), "{image}");
}

#[test]
fn hadolint_finds_nothing() {
    let output = tool("python/bin/hadolint").arg("Dockerfile").output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stdout));
}

#[test]
fn images_are_pinned_by_tag() {
    for image in all("FROM") {
        let name = image.split(' ').next().unwrap();
        let (_, tag) = name.rsplit_once(':').unwrap_or_else(|| panic!("{name} has no tag"));
        assert_ne!(tag, "latest");
    }
}

#[test]
fn what_it_starts_exists_and_is_not_root() {
    assert_eq!(last("USER"), "65532:65532");
    assert_eq!(last("ENTRYPOINT"), r#"["token-authority"]"#);
    assert_eq!(last("CMD"), r#"["serve"]"#);
    assert!(last("HEALTHCHECK").ends_with(r#"CMD ["token-authority", "health"]"#));
    for subcommand in ["serve", "health"] {
        let output = Setup::new().run(&[subcommand, "--help"]);
        assert!(output.status.success(), "{subcommand}: {}", text(&output.stderr));
    }
}

#[test]
fn cargo_finds_all_it_needs_in_the_context() {
    let ignored = std::fs::read_to_string(root().join(".dockerignore")).unwrap();
    let ignored: Vec<_> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
    for secret in [".git", "target", "data"] {
        assert!(ignored.contains(&secret), "{secret} would be sent to the engine");
    }
    let context = tempfile::tempdir().unwrap();
    copy_context(root(), Path::new(""), context.path(), &ignored);
    // The inputs of build.rs and of the sources that are not Rust.
    for needed in ["proto/token_authority/v1", "migrations/postgres", "migrations/sqlite"] {
        assert!(context.path().join(needed).is_dir(), "{needed}");
    }
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--locked", "--offline", "--format-version", "1", "--no-deps"]);
    let output = command.current_dir(context.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(!Path::new(&context.path().join(".git")).exists());
}

/// Copies the build context: a folder of the repository without the ignored files.
fn copy_context(root: &Path, folder: &Path, context: &Path, ignored: &[&str]) {
    std::fs::create_dir_all(context.join(folder)).unwrap();
    for entry in std::fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = folder.join(entry.file_name());
        let name = path.to_str().unwrap();
        if ignored.contains(&name) {
            continue;
        }
        if ignored.iter().any(|ignored| ignored.starts_with(&format!("{name}/"))) {
            copy_context(root, &path, context, ignored);
            continue;
        }
        let copied =
            Command::new("cp").arg("-r").arg(entry.path()).arg(context.join(&path)).status();
        assert!(copied.unwrap().success(), "{name}");
    }
}
