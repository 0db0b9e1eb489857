//! Reads the repository's Rust files for the checks.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every Rust file below a path.
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

/// Returns a path relative to the repository's root.
pub(crate) fn short(file: &Path) -> &Path {
    file.strip_prefix(root()).unwrap()
}

/// Returns the code of a file without its comments, line by line.
pub(crate) fn code(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(without_comment).collect()
}

/// Returns the code of a file without its comments and its own tests.
pub(crate) fn served_code(file: &Path) -> Vec<String> {
    let mut lines = code(file);
    let tests = lines.windows(2).position(|pair| {
        pair[0].trim() == "#[cfg(test)]" && pair[1].trim_start().starts_with("mod tests {")
    });
    lines.truncate(tests.unwrap_or(lines.len()));
    lines
}

fn without_comment(line: &str) -> String {
    // A URL in a string is not a comment.
    let comment = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':'));
    line[..comment.map_or(line.len(), |(at, _)| at)].to_owned()
}

/// Returns whether a line contains a path, such as `sqlx::`.
pub(crate) fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !is_word(c) && c != ':')
    })
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the words of a line of code, without strings.
pub(crate) fn words(line: &str) -> Vec<&str> {
    let outside = line.split('"').step_by(2);
    outside.flat_map(|part| part.split(|c| !is_word(c))).filter(|word| !word.is_empty()).collect()
}
