//! The published documents: the service's metadata (RFC 8414) and its key set (RFC 7517).

use test_support::replica::Setup;

use crate::client::Keys as _;

#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_issuer_is_told_to_whoever_asks() {
    let issuer = "https://auth.example.com/tenant";
    let replica = Setup::new().set("JWT_ISSUER", issuer).start().await;
    let path = "/.well-known/oauth-authorization-server";
    for path in [path.to_owned(), format!("{path}/tenant")] {
        let (head, found) = replica.get(&path);
        assert!(head.contains("cache-control: public"), "{head}");
        assert_eq!(found["issuer"], issuer);
        assert_eq!(found["jwks_uri"], format!("{issuer}/.well-known/jwks.json"));
    }
    let (head, _) = replica.page(&format!("{path}/other"));
    assert!(head.contains(" 404 "), "{head}");
    let token = replica.client().issue("user").await.unwrap().access_token;
    let answer = replica.client().validate(&token).await.unwrap();
    assert!(answer.active);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_secret_is_never_published() {
    let replica = Setup::new().start().await;
    let (head, set) = replica.get("/.well-known/jwks.json");
    assert_eq!(set, serde_json::json!({ "keys": [] }));
    assert!(head.contains("cache-control: public, max-age=300"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
}
