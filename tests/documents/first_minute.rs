//! README's first minute: the service, the life of a token, the first call, the first decoded token.

use serde_json::Value;
use test_support::tools;

use crate::machine::{CARGO, Machine};
use crate::page::snippet;

const README: &str = include_str!("../../README.md");

#[test]
fn readme_leads_to_a_token() {
    let mut machine = Machine::start(&[CARGO]);
    machine.start_in_background(&snippet("README.md", "cargo run --release\n"));
    machine.until("token-authority health");
    let page = machine.run("curl -s http://localhost:8080/");
    assert!(page.contains("Log in") && README.contains("<http://localhost:8080/>"), "{page}");
    let life = machine.run(&snippet("README.md", "cargo run --release -- try\n"));
    assert!(life.lines().count() > 5, "{life}");

    let told = machine.run(&snippet("README.md", "TOKENS="));
    assert!(told.contains("\"active\":true") && told.contains("\"sub\":\"alice\""), "{told}");
    let answer = machine.run(&snippet("README.md", "grpcurl -plaintext"));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_ne!(answer["accessToken"], Value::Null);
    let program = snippet("README.md", "import os, pathlib");
    let python = tools::path("python");
    let told = machine.run(&format!("{} - <<'END'\n{program}END\n", python.display()));
    assert_eq!(told, "alice\n");
    let written = machine.run("ls -A");
    assert_eq!(written, "data\n", "the reader's clone ignores only `data`");
    machine.stop();
}
