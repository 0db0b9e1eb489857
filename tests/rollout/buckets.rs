//! What `docs/rollout.md` tells other services to compute is what this one computes.

use std::io::Write as _;
use std::process::{Command, Stdio};

use token_authority::token::id::UserId;
use token_authority::token::rollout::bucket;

const DOCUMENT: &str = include_str!("../../docs/rollout.md");

/// Ids of all shapes.
fn ids() -> Vec<String> {
    let numbered = (0..500).map(|n| format!("user-{n}"));
    let odd = ["Zoë", "🦀", "a b", "\"quoted\" \\", &"x".repeat(255), "null", "0"];
    numbered.chain(odd.map(str::to_owned)).collect()
}

/// The document's code in that language.
fn snippet(language: &str) -> &'static str {
    let (_, rest) = DOCUMENT.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

/// Has a program read ids, a JSON array, and print their buckets, one a line.
fn run(program: &mut Command) -> Vec<u8> {
    program.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = program.spawn().unwrap_or_else(|_| panic!("{program:?} is not installed"));
    let input = serde_json::to_vec(&ids()).unwrap();
    child.stdin.take().unwrap().write_all(&input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn ours() -> Vec<u8> {
    ids().into_iter().map(|id| bucket(&UserId::new(id).unwrap())).collect()
}

#[test]
fn python_puts_users_into_the_same_buckets() {
    let code = snippet("python");
    let program = format!(
        "{code}\nimport json, sys\nfor one in json.loads(sys.stdin.buffer.read()): print(bucket(one))"
    );
    assert_eq!(run(Command::new("python3").args(["-c", &program])), ours());
}

#[test]
fn javascript_puts_users_into_the_same_buckets() {
    let code = snippet("javascript");
    let program = format!(
        "{code}\nimport {{ readFileSync }} from 'node:fs';\n\
         for (const one of JSON.parse(readFileSync(0, 'utf8'))) console.log(bucket(one));"
    );
    let mut node = Command::new("node");
    assert_eq!(run(node.args(["--input-type=module", "-e", &program])), ours());
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
