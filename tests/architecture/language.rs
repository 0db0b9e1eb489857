//! Names and comments in plain English (CONTRIBUTING, "Language").

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::sources::{code, root, short, sources, words};

/// Names that were replaced by standard terms.
const REPLACED: &str = "Again Book Candidate Change Door Doors ENOUGH FirstBytes Gated Gather Guarded Held Keeper \
     LONGEST Lanes Lease Lines Link Loans MANY MOST Meter Observer Observers PATIENCE Pass \
     Patient Proof Refusal Remembered SOON Signal Sound Standing Suspect Swap Turned Vitals Warm \
     Who Within admit consider lanes learn learnt opener presume put_in_force reach retire \
     suspect take_as_proof told vouch whoever";

/// The keywords that define a name.
const DEFINES: [&str; 8] = ["struct", "enum", "trait", "type", "fn", "const", "static", "mod"];

/// Returns the definitions of replaced names.
fn replaced_names(file: &Path) -> Vec<String> {
    let replaced: BTreeSet<&str> = REPLACED.split(' ').collect();
    let mut found = Vec::new();
    for line in code(file) {
        let words = words(&line);
        let defined = words.windows(2).filter(|pair| DEFINES.contains(&pair[0]));
        let defined = defined.filter(|pair| replaced.contains(pair[1]));
        found.extend(defined.map(|pair| format!("defines {}", pair[1])));
    }
    found
}

/// Beginnings that make the reader wait for the subject.
const BEGINNINGS: [&str; 6] = ["Whoever", "Of ", "What is", "Where one", "Where it", "Whose"];

/// Returns the blocks of doc comments, each with its first line number.
fn blocks(file: &Path) -> Vec<(usize, Vec<String>)> {
    let mut blocks: Vec<(usize, Vec<String>)> = Vec::new();
    let mut inside = false;
    for (at, line) in fs::read_to_string(file).unwrap().lines().enumerate() {
        let line = line.trim_start();
        let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        if let Some(doc) = doc {
            if !inside {
                blocks.push((at + 1, Vec::new()));
            }
            blocks.last_mut().unwrap().1.push(doc.trim_start().to_owned());
        }
        inside = doc.is_some();
    }
    blocks
}

/// Returns the doc comments that do not begin with their subject.
fn inverted(file: &Path) -> Vec<String> {
    let blocks = blocks(file).into_iter();
    let inverted = blocks
        .filter(|(_, block)| BEGINNINGS.iter().any(|beginning| block[0].starts_with(beginning)));
    inverted.map(|(at, block)| format!("line {at} begins: {}", block[0])).collect()
}

/// Returns the `# Errors` sections that do not say what is returned.
fn vague_errors(file: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for (at, block) in blocks(file) {
        let Some(head) = block.iter().position(|line| line == "# Errors") else { continue };
        let first = block[head + 1..].iter().find(|line| !line.is_empty());
        if !first.is_some_and(|first| first.starts_with("Returns ")) {
            found.push(format!("line {at}, errors: {}", first.map_or("", String::as_str)));
        }
    }
    found
}

/// Runs checks on every file of a folder, and returns what they find.
fn check(folder: &str, checks: &[fn(&Path) -> Vec<String>]) -> Vec<String> {
    let all = sources(&root().join(folder));
    assert!(!all.is_empty(), "no file in {folder}");
    let found = all.iter().flat_map(|file| {
        let name = short(file).to_str().unwrap();
        let found = checks.iter().flat_map(move |check| check(file));
        found.map(move |what| format!("{name}: {what}"))
    });
    found.collect()
}

#[test]
fn names_and_comments_are_plain() {
    let mut wrong = check("src", &[replaced_names, inverted, vague_errors]);
    for folder in ["tests", "bench", "benches", "fleet", "test-support"] {
        wrong.extend(check(folder, &[inverted, vague_errors]));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_not_plain_is_found() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = "//! Of several files.\n\n/// Whoever comes.\n///\n/// # Errors\n/// Where it fails.\n\
                pub fn vouch() {}\n\n/// A vouch of plain text.\n///\n/// # Errors\n///\n\
                /// Returns nothing.\nfn f() { call_vouch(\"fn vouch\"); }\n";
    std::fs::write(file.path(), text).unwrap();
    assert_eq!(replaced_names(file.path()), ["defines vouch"]);
    assert_eq!(inverted(file.path()).len(), 2);
    assert_eq!(vague_errors(file.path()), ["line 3, errors: Where it fails."]);
}
