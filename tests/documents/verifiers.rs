//! The verifiers of `docs/verifying-locally.md`: each accepts a token and refuses what the page's
//! table of checks names.

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use test_support::script::Script;

use crate::page::snippet;

const PAGE: &str = "docs/verifying-locally.md";
const SECRET: &str = "verifiers-3mT8kW1xQ6vB9nZ2sF5hJ0gD7cL4";

/// The page's verifier in Rust, which a test compares with the page.
#[rustfmt::skip]
mod rust_verifier {
    include!("rust_verifier.in");

    pub(super) fn user(token: &str, secret: &[u8]) -> Option<String> {
        claims(token, secret).map(|claims| claims.sub)
    }
}

/// Tokens, and whether they are good.
fn tokens() -> Vec<(&'static str, String, bool)> {
    let now = jsonwebtoken::get_current_timestamp();
    let sign = |header: &Header, claims: &Value| {
        encode(header, claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
    };
    let good = json!({"sub": "alice", "type": "access", "iat": now, "exp": now + 60, "jti": "1"});
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let header = Header::default();
    let hs384 = Header::new(jsonwebtoken::Algorithm::HS384);
    let of_another = encode(&header, &good, &EncodingKey::from_secret(b"another")).unwrap();
    vec![
        ("good", sign(&header, &good), true),
        ("another algorithm", sign(&hs384, &good), false),
        ("no exp", sign(&header, &without("exp")), false),
        ("no sub", sign(&header, &without("sub")), false),
        ("another type", sign(&header, &with("type", json!("refresh"))), false),
        ("just expired", sign(&header, &with("exp", json!(now - 1))), false),
        ("another secret", of_another, false),
        ("no token", "no token".into(), false),
    ]
}

fn check(name: &str, mut accepts: impl FnMut(&str) -> bool) {
    for (what, token, good) in tokens() {
        assert_eq!(accepts(&token), good, "{name}: {what}");
    }
}

#[test]
fn python() {
    let program = format!(
        "{}\nimport sys\nfor line in sys.stdin:\n    try:\n        found = \
         claims(HTTPAuthorizationCredentials(scheme='Bearer', credentials=line.strip()))\n        \
         print('yes' if found['sub'] == 'alice' else 'no', flush=True)\n    except HTTPException as \
         error:\n        print(error.status_code, flush=True)\n",
        snippet(PAGE, "import os")
    );
    let program = format!("import os\nos.environ['JWT_SECRET'] = '{SECRET}'\n{program}");
    let mut script = Script::python(&["-c", &program]);
    check("PyJWT", |token| match script.ask(token).trim_end() {
        "yes" => true,
        "401" => false,
        other => panic!("{other}"),
    });
}

fn node(beginning: &str) -> Script {
    let module = format!(
        "process.env.JWT_SECRET = '{SECRET}'\nconst {{ createInterface }} = await import('node:readline')\n{}\n\
         for await (const line of createInterface({{ input: process.stdin }})) {{\n  try {{\n    \
         const found = await claims(line)\n    console.log(found.sub === 'alice' ? 'yes' : 'no')\n  \
         }} catch {{\n    console.log('refused')\n  }}\n}}\n",
        snippet(PAGE, beginning)
    );
    Script::node(&module)
}

#[test]
fn jose() {
    let mut script = node("import { jwtVerify }");
    check("jose", |token| script.ask(token) == "yes\n");
}

#[test]
fn jsonwebtoken_for_node() {
    let mut script = node("import jwt from");
    check("jsonwebtoken", |token| script.ask(token) == "yes\n");
}

#[test]
fn jsonwebtoken_for_rust() {
    assert_eq!(include_str!("rust_verifier.in"), snippet(PAGE, "use jsonwebtoken"));
    check("jsonwebtoken for Rust", |token| {
        rust_verifier::user(token, SECRET.as_bytes()).is_some_and(|user| user == "alice")
    });
}
