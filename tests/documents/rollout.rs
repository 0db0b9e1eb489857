//! The roll-out's commands, and the functions that other services write for themselves.

use serde_json::Value;
use test_support::script::Script;
use test_support::tools;

use crate::machine::Machine;
use crate::page::snippet;

const PAGE: &str = "docs/rollout.md";
const USERS: [(&str, u8); 5] = [
    ("alice", 7),
    ("bob", 50),
    ("user-1", 94),
    ("00000000-0000-4000-8000-000000000000", 18),
    ("Zoë", 48),
];

#[test]
fn the_rollout_is_set_and_shown() {
    let machine = Machine::start(&[]);
    machine.run("token-authority migrate");
    let printed = machine.run(&snippet(PAGE, "token-authority rollout"));
    assert!(printed.contains("10 %"), "{printed}");
    let now = machine.run("token-authority rollout show");
    assert!(now.contains("0 %"), "{now}");
}

/// What a function of the page answers for each of these texts, in Python and in Node.
fn answers(python: (&str, &str), node: (&str, &str), texts: &[&str]) -> [Value; 2] {
    let texts = serde_json::to_string(texts).unwrap();
    let (beginning, name) = python;
    let program = format!(
        "{}\nimport json, sys\nprint(json.dumps([{name}(text) for text in json.loads(sys.argv[1])]))",
        snippet(PAGE, beginning)
    );
    let python = tools::text(&tools::run("python", &["-c", &program, &texts]).stdout);
    let (beginning, name) = node;
    let module = format!(
        "{}\nconsole.log(JSON.stringify({texts}.map((text) => {name}(text))))",
        snippet(PAGE, beginning)
    );
    let node = Script::node(&module).receive();
    [python, node].map(|answer| serde_json::from_str(&answer).unwrap())
}

#[test]
fn buckets_are_those_of_the_page() {
    let text = std::fs::read_to_string(tools::root().join(PAGE)).unwrap();
    for (user, bucket) in USERS {
        assert!(text.contains(&format!("| `{user}` | {bucket} |")), "{user}");
    }
    let found = answers(
        ("import hashlib\n\ndef bucket", "bucket"),
        ("import { createHash } from \"node:crypto\";\n\nexport function bucket", "bucket"),
        &USERS.map(|(user, _)| user),
    );
    let expected = serde_json::to_value(USERS.map(|(_, bucket)| bucket)).unwrap();
    assert_eq!(found, [expected.clone(), expected]);
}

#[test]
fn request_ids_of_moved_sessions_are_the_same_in_both_languages() {
    let found = answers(
        ("import hashlib\nimport uuid", "request_id"),
        ("import { createHash } from \"node:crypto\";\n\nexport function requestId", "requestId"),
        &["a session token", "Zoë's"],
    );
    assert_eq!(found[0], found[1]);
    let id = found[0][0].as_str().unwrap();
    // printf 'token-authority/move/v1a session token' | sha256sum
    assert!(uuid::Uuid::parse_str(id).is_ok(), "{id}");
}
