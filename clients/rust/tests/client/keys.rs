//! Key sets: the move from a secret to key pairs, and what cannot be fetched.

use std::time::Duration;

use token_authority_client::{Issue, Verifier};

use crate::service::{SECRET, Service, refusal, until};

#[tokio::test(flavor = "multi_thread")]
async fn from_a_secret_to_key_pairs_no_token_is_refused() {
    let mut service = Service::start(&[("KEY_PUBLISH_SECONDS", "2")]).await;
    let url = format!("http://{}/.well-known/jwks.json", service.http);
    let verifier = service.verifier().jwks_url(url).build().unwrap();
    let (client, issue) = (service.client(), || Issue::for_user("alice"));
    let before = client.issue_tokens(issue()).await.unwrap().access_token;
    assert_eq!(refusal(&verifier, &before).await, "");
    service.command("EdDSA", &["keys", "rotate"]);
    // Until it signs.
    tokio::time::sleep(Duration::from_millis(4500)).await;
    service.kill();
    service.set("JWT_ALGORITHM", "EdDSA");
    service.run().await;
    let after = client.issue_tokens(issue()).await.unwrap().access_token;
    assert_ne!(before.split('.').next(), after.split('.').next(), "another header");
    for token in [&before, &after, &after] {
        assert_eq!(refusal(&verifier, token).await, "");
    }
}

#[tokio::test]
async fn without_a_key_set_a_token_is_not_judged() {
    let service = Service::start(&[("JWT_ALGORITHM", "EdDSA")]).await;
    let token = service.client().issue_tokens(Issue::for_user("alice")).await.unwrap().access_token;
    let nowhere = Verifier::builder().jwks_url("http://127.0.0.1:9/jwks.json").build().unwrap();
    assert_eq!(refusal(&nowhere, &token).await, "unavailable");
    let url = format!("http://{}/.well-known/jwks.json", service.http);
    let verifier = Verifier::builder().jwks_url(url).build().unwrap();
    assert_eq!(refusal(&verifier, &token).await, "");
    let by_secret = Verifier::builder().secret(SECRET).build().unwrap();
    assert_eq!(refusal(&by_secret, &token).await, "unknown-key");
    until("its set stays known", async || refusal(&verifier, &token).await.is_empty()).await;
}
