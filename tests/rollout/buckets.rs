//! The buckets that other services compute after `docs/rollout.md` equal the buckets of this
//! service.

use std::process::Command;

use test_support::tools;
use token_authority::token::id::UserId;
use token_authority::token::rollout::bucket;

const DOCUMENT: &str = include_str!("../../docs/rollout.md");

/// Ids of all kinds.
fn ids() -> Vec<String> {
    let numbered = (0..500).map(|n| format!("user-{n}"));
    let odd = ["Zoë", "🦀", "a b", "\"quoted\" \\", &"x".repeat(255), "null", "0"];
    numbered.chain(odd.map(str::to_owned)).collect()
}

/// Returns the document's code in that language that defines `name`.
fn snippet(language: &str, name: &str) -> &'static str {
    let fence = format!("```{language}\n");
    let mut blocks = DOCUMENT.split(&fence).skip(1).map(|rest| rest.split_once("```").unwrap().0);
    blocks.find(|block| block.contains(&format!("{name}("))).unwrap()
}

/// Returns the results of the document's Python for each text.
pub(crate) fn in_python(function: &str, texts: &[String]) -> Vec<String> {
    let code = snippet("python", function);
    let program = format!(
        "{code}\nimport json, sys\n\
         for one in json.loads(sys.stdin.buffer.read()): print({function}(one))"
    );
    run(Command::new("python3").args(["-c", &program]), texts)
}

/// Returns the results of the document's JavaScript for each text.
pub(crate) fn in_javascript(function: &str, texts: &[String]) -> Vec<String> {
    let code = snippet("javascript", function);
    let program = format!(
        "{code}\nimport {{ readFileSync }} from 'node:fs';\n\
         for (const one of JSON.parse(readFileSync(0, 'utf8'))) console.log({function}(one));"
    );
    run(Command::new("node").args(["--input-type=module", "-e", &program]), texts)
}

/// Runs a program with a JSON array of texts, and returns the line that it prints for each.
fn run(program: &mut Command, texts: &[String]) -> Vec<String> {
    let text = tools::feed(program, &serde_json::to_string(texts).unwrap());
    text.lines().map(str::to_owned).collect()
}

fn ours() -> Vec<String> {
    ids().into_iter().map(|id| bucket(&UserId::new(id).unwrap()).to_string()).collect()
}

#[test]
fn python_and_javascript_put_users_into_the_same_buckets() {
    assert_eq!(in_python("bucket", &ids()), ours());
    assert_eq!(in_javascript("bucket", &ids()), ours());
}

#[test]
fn the_documents_vectors_are_right() {
    let (_, table) = DOCUMENT.split_once("| user id | bucket |\n|---|---|\n").unwrap();
    let rows: Vec<_> = table.lines().take_while(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), 5);
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let id = UserId::new(cells[0].trim_matches('`')).unwrap();
        assert_eq!(bucket(&id).to_string(), cells[1], "{row}");
    }
}
