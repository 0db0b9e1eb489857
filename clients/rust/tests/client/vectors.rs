//! The verdict on each token of `clients/vectors` is the one of the service.

use serde_json::Value;
use token_authority_client::Verifier;

#[tokio::test]
async fn every_verdict_is_the_services() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/verdicts.json");
    let vectors: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(vectors.len() > 120);
    let mut surprises = Vec::new();
    for vector in &vectors {
        let now = vector["now"].as_i64().unwrap();
        let builder = Verifier::builder().clock(move || now);
        let verifier = match vector["key"]["secret"].as_str() {
            Some(secret) => builder.secret(secret),
            None => builder.jwks(vector["key"]["jwks"].clone()),
        };
        let verifier = verifier.build().unwrap();
        let token = vector["token"].as_str().unwrap();
        let audience = vector["audience"].as_str().unwrap_or_default();
        // The second time it may be known from the first.
        for _ in 0..2 {
            let verdict = match verifier.verify_for(token, audience).await {
                Ok(_) => "active".to_owned(),
                Err(error) => error.reason.to_string(),
            };
            if verdict != vector["verdict"] {
                surprises.push(format!("{}: {verdict}, not {}", vector["name"], vector["verdict"]));
            }
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}
