//! The verifiers that backends embed reach the same verdict as `ValidateToken`.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use test_support::replica::Setup;
use test_support::script::Script;
use token_authority::transport::proto::v1::InactiveReason;

use crate::vectors::{self, Vector};
use crate::wire;

/// A running program of `tests/tools` that verifies tokens.
struct Verifier(Script);

impl Verifier {
    fn python() -> Self {
        Self::start(Script::python(&[&script("verify.py")]))
    }

    fn node() -> Self {
        Self::start(Script::node(&std::fs::read_to_string(script("verify.mjs")).unwrap()))
    }

    fn start(script: Script) -> Self {
        let mut verifier = Self(script);
        // From here on, it answers without loading anything.
        verifier.verify("some secret", &BTreeMap::from([("warm-up", "x".into())]));
        verifier
    }

    /// Returns each library's refusals by the names of library and token. `null` means accepted.
    fn verify(&mut self, secret: &str, tokens: &BTreeMap<&str, String>) -> Value {
        let line = self.0.ask(&json!({"secret": secret, "tokens": tokens}).to_string());
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("the verifier failed: {line}"))
    }
}

fn script(name: &str) -> String {
    format!("{}/tests/tools/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Returns both verifiers' answers in one value.
fn ask(verifiers: &mut [Verifier], secret: &str, tokens: &BTreeMap<&str, String>) -> Value {
    let mut all = json!({});
    for verifier in verifiers {
        all.as_object_mut()
            .unwrap()
            .extend(verifier.verify(secret, tokens).as_object().unwrap().clone());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_in_the_very_second_it_was_minted() {
    let setup = Setup::new();
    let service = setup.start().await;
    let tokens = service.tokens();
    let mut verifiers = [Verifier::python(), Verifier::node()];
    for round in 0..6 {
        let minted = wire::issue(&tokens, "alice").await.access_token;
        let minted = BTreeMap::from([("minted", minted)]);
        let answers = ask(&mut verifiers, &setup.secret(), &minted);
        let answers = answers.as_object().unwrap();
        assert_eq!(answers.len(), 7, "{answers:?}");
        for (library, answer) in answers {
            assert!(answer["minted"].is_null(), "round {round}, {library}: {answer}");
        }
        // At a different point of the second each time.
        tokio::time::sleep(std::time::Duration::from_millis(170)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verifier_reaches_the_same_verdict() {
    let setup = Setup::new();
    let service = setup.start().await;
    let client = service.tokens();
    let minted = wire::issue(&client, "alice").await.access_token;
    let vectors = vectors::all(&setup.secret(), &minted);
    let tokens = vectors.iter().map(|vector| (vector.name, vector.token.clone())).collect();
    let answers = ask(&mut [Verifier::python(), Verifier::node()], &setup.secret(), &tokens);

    let mut surprises = Vec::new();
    for vector in &vectors {
        let ours = wire::validate(&client, &vector.token).await;
        if ours.active != (vector.expected == InactiveReason::Unspecified)
            || ours.inactive_reason() != vector.expected
        {
            surprises.push(format!("{}: we say {:?}", vector.name, ours.inactive_reason()));
        }
        for library in ["PyJWT", "jose", "jsonwebtoken", "fast-jwt"] {
            let refusal = &answers[library][vector.name];
            if refusal.is_null() != vector.is_good_for(library) {
                surprises.push(format!("{}: {library} says {refusal}", vector.name));
            }
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

#[test]
fn differences_are_few_and_told() {
    let page = std::fs::read_to_string(script("../../docs/verifying-locally.md")).unwrap();
    for Vector { name, differs, .. } in vectors::all("some secret of thirty-two bytes!", "a.b.c") {
        if !differs.is_empty() {
            assert!(page.contains(&format!("`{name}`")), "docs/verifying-locally.md: {name}");
        }
    }
}
