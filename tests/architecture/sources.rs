//! The repository's Rust files as the checks read them.

use std::fs;
use std::path::{Path, PathBuf};

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a path.
pub(crate) fn sources(under: &Path) -> Vec<PathBuf> {
    if under.is_file() {
        let is_rust = under.extension().is_some_and(|extension| extension == "rs");
        return if is_rust { vec![under.to_owned()] } else { Vec::new() };
    }
    let Ok(entries) = fs::read_dir(under) else { return Vec::new() };
    let mut found: Vec<_> = entries.flat_map(|entry| sources(&entry.unwrap().path())).collect();
    found.sort();
    found
}

/// A path as it is written in this repository.
pub(crate) fn short(file: &Path) -> &Path {
    file.strip_prefix(root()).unwrap()
}

/// The code of a file without its comments, line by line.
pub(crate) fn code(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(without_comment).collect()
}

fn without_comment(line: &str) -> String {
    // A URL in a string is no comment.
    let comment = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':'));
    line[..comment.map_or(line.len(), |(at, _)| at)].to_owned()
}

/// Whether a line names a path, such as `sqlx::`, at its beginning.
pub(crate) fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !is_word(c) && c != ':')
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
