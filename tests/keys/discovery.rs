//! What OAuth 2 clients make of the service's metadata (RFC 8414).

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::replica::{Setup, get};

/// Both discover the service, and tell what they found.
const CLIENTS: &str = r#"
const oauth = require("oauth4webapi");
const client = require("openid-client");
const [address] = process.argv.slice(1);
(async () => {
  const issuer = new URL(address);
  const insecure = { [oauth.allowInsecureRequests]: true };
  const answer = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure });
  const one = await oauth.processDiscoveryResponse(issuer, answer);
  const options = { algorithm: "oauth2", execute: [client.allowInsecureRequests] };
  const other = await client.discovery(issuer, "backend", "secret", undefined, options);
  console.log(JSON.stringify([one, other.serverMetadata()]));
})().catch((error) => { console.error(error); process.exit(1); });
"#;

fn discover(issuer: &str) -> Vec<Value> {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/node/node_modules");
    assert!(modules.exists(), "{} is missing: run scripts/tools", modules.display());
    let output = Command::new("node")
        .env("NODE_PATH", modules)
        .args(["-e", CLIENTS, issuer])
        .output()
        .expect("node is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn oauth_clients_discover_the_service() {
    let replica = Setup::new().start().await;
    let address = format!("http://{}", replica.http);
    for found in discover(&address) {
        assert_eq!(found["issuer"], address);
        assert_eq!(found["jwks_uri"], format!("{address}/.well-known/jwks.json"));
        assert_eq!(found["introspection_endpoint"], format!("{address}/oauth2/introspect"));
        assert_eq!(found["revocation_endpoint"], format!("{address}/oauth2/revoke"));
        let methods = found["introspection_endpoint_auth_methods_supported"].as_array().unwrap();
        assert!(methods.contains(&"client_secret_basic".into()));
        assert_eq!(found["response_types_supported"], serde_json::json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_issuer_is_told_to_whoever_asks() {
    let issuer = "https://auth.example.com/tenant";
    let replica = Setup::new().with("JWT_ISSUER", issuer).start().await;
    let path = "/.well-known/oauth-authorization-server";
    for path in [path.to_owned(), format!("{path}/tenant")] {
        let (head, found) = replica.get(&path);
        assert!(head.contains("cache-control: public"), "{head}");
        assert_eq!(found["issuer"], issuer);
        assert_eq!(found["jwks_uri"], format!("{issuer}/.well-known/jwks.json"));
    }
    let (head, _) = get(replica.http, &format!("{path}/other"));
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
