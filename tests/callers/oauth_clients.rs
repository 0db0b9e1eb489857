//! Two independent OAuth 2 clients discover the service by its metadata (RFC 8414), introspect
//! tokens (RFC 7662) and revoke them (RFC 7009). A caller's key is their secret.

use std::process::Command;

use serde_json::{Value, json};
use test_support::tools;

use crate::authority::House;
use crate::rpc;

/// The name contains characters that these clients encode, after RFC 6749 section 2.3.1.
const CALLER: &str = "back-end_1.eu";

/// Each client prints what it discovered, and the introspection of its two tokens before and after
/// it revoked the refresh token.
const CLIENTS: &str = r#"
const oauth = require("oauth4webapi");
const openid = require("openid-client");
const [address, id, secret, mine, others] = process.argv.slice(1);
const issuer = new URL(address);

async function oauth4webapi(tokens) {
  const insecure = { [oauth.allowInsecureRequests]: true };
  const found = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure });
  const server = await oauth.processDiscoveryResponse(issuer, found);
  const [client, proof] = [{ client_id: id }, oauth.ClientSecretBasic(secret)];
  const look = async (token) => {
    const answer = await oauth.introspectionRequest(server, client, proof, token, insecure);
    return oauth.processIntrospectionResponse(server, client, answer);
  };
  const end = async (token) => {
    const answer = await oauth.revocationRequest(server, client, proof, token, insecure);
    return oauth.processRevocationResponse(answer);
  };
  return [server, ...(await live(tokens, look, end))];
}

async function openidClient(tokens) {
  const options = { execute: [openid.allowInsecureRequests] };
  // This client sends its key in the form.
  const proof = openid.ClientSecretPost(secret);
  const config = await openid.discovery(issuer, id, undefined, proof, options);
  const look = (token) => openid.tokenIntrospection(config, token);
  const end = (token) => openid.tokenRevocation(config, token);
  return [config.serverMetadata(), ...(await live(tokens, look, end))];
}

async function live({ access, refresh }, look, end) {
  const before = [await look(access), await look(refresh)];
  await end(refresh);
  return [before, [await look(access), await look(refresh)]];
}

(async () => {
  const told = [await oauth4webapi(JSON.parse(mine)), await openidClient(JSON.parse(others))];
  console.log(JSON.stringify(told));
})().catch((error) => { console.error(error); process.exit(1); });
"#;

fn run(arguments: &[&str]) -> Vec<(Value, Value, Value)> {
    let mut node = Command::new(tools::path("node"));
    node.env("NODE_PATH", tools::path("modules")).args(["-e", CLIENTS]).args(arguments);
    let output = node.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn they_find_the_service_ask_about_tokens_and_revoke_them() {
    let house = House::new();
    let issuer = house.add("auth", "issuer");
    let secret = house.callers(&["add", CALLER, "--role", "verifier", "--role", "adapter"]);
    let authority = house.start(&[]);
    let channel = rpc::connect(authority.grpc).await;
    let [mine, others] = [
        rpc::issue(&channel, Some(&issuer), "").await.unwrap(),
        rpc::issue(&channel, Some(&issuer), "").await.unwrap(),
    ];
    let address = format!("http://{}", authority.http);
    let [one, other] = [&mine, &others].map(|tokens| {
        json!({ "access": tokens.access_token, "refresh": tokens.refresh_token }).to_string()
    });
    let told = run(&[&address, CALLER, secret.trim(), &one, &other]);

    for ((found, before, after), tokens) in told.iter().zip([mine, others]) {
        assert_eq!(found["issuer"], address);
        assert_eq!(found["jwks_uri"], format!("{address}/.well-known/jwks.json"));
        assert_eq!(found["introspection_endpoint"], format!("{address}/oauth2/introspect"));
        assert_eq!(found["revocation_endpoint"], format!("{address}/oauth2/revoke"));
        for of in ["introspection", "revocation"] {
            let methods = &found[format!("{of}_endpoint_auth_methods_supported")];
            assert_eq!(*methods, json!(["client_secret_basic", "client_secret_post"]));
        }
        assert_eq!(found["response_types_supported"], json!([]));
        for token in before.as_array().unwrap() {
            assert_eq!((&token["active"], &token["sub"]), (&json!(true), &json!("alice")));
            assert_eq!(token["sid"], tokens.session_id);
        }
        assert_eq!(*after, json!([{ "active": false }, { "active": false }]));
    }
}
