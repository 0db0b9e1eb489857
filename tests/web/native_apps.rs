//! `POST /oauth2/token`: native apps refresh their tokens, by hand and with an independent client.
//! Pages are refused.

use std::process::Command;

use serde_json::{Value, json};

use crate::tokens;
use test_support::http::Answer;
use test_support::replica::{Replica, Setup};
use test_support::tools;

const TOKEN: &str = "/oauth2/token";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn exchange(service: &Replica, fields: &[(&str, &str)]) -> Answer {
    service.http().form(TOKEN, fields).await
}

async fn with_headers(service: &Replica, token: &str, headers: &[(&str, &str)]) -> Answer {
    let body = format!("grant_type=refresh_token&refresh_token={token}");
    let headers = [&[FORM], headers].concat();
    service.http().exchange(http::Method::POST, TOKEN, &headers, body).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_renews_its_tokens() {
    let service = Setup::new().start().await;
    let login = tokens::issue(&service, "alice").await;
    let fields = [("grant_type", "refresh_token"), ("refresh_token", &login.refresh_token)];
    let answer = exchange(&service, &[&fields[..], &[("client_id", "app")]].concat()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("set-cookie"), None);
    let told = answer.json();
    assert_eq!((&told["token_type"], &told["expires_in"]), (&json!("Bearer"), &json!(1800)));
    assert_eq!(told["refresh_expires_in"], 604_800);
    assert_ne!(told["refresh_token"], login.refresh_token.as_str());
    let seen = tokens::validate(&service, told["access_token"].as_str().unwrap()).await;
    assert_eq!((seen.active, seen.session_id), (true, login.session_id));

    // A scope cannot be narrowed, so the answer states the scope of the token.
    let next = told["refresh_token"].as_str().unwrap();
    let fields = [("grant_type", "refresh_token"), ("refresh_token", next), ("scope", "read")];
    let told = exchange(&service, &fields).await.json();
    assert_eq!((&told["scope"], &told["refresh_token"]), (&json!("read write"), &json!(next)));
}

/// The app may have stored a newer token by the time that such an answer arrives.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_not_asked_to_store_a_token_that_is_about_to_be_replaced() {
    let service = Setup::new().set("REFRESH_CONCURRENCY_WINDOW_SECONDS", "16").start().await;
    let login = tokens::issue(&service, "alice").await;
    let fields = [("grant_type", "refresh_token"), ("refresh_token", &login.refresh_token)];
    let told = exchange(&service, &fields).await.json();
    let next = told["refresh_token"].as_str().unwrap();
    let fields = [("grant_type", "refresh_token"), ("refresh_token", next)];
    // In the second half of the concurrency window.
    tokio::time::sleep(std::time::Duration::from_millis(8500)).await;
    let told = exchange(&service, &fields).await.json();
    let seen = tokens::validate(&service, told["access_token"].as_str().unwrap()).await;
    assert_eq!((seen.active, seen.session_id), (true, login.session_id));
    assert_eq!((&told["refresh_token"], &told["refresh_expires_in"]), (&Value::Null, &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_those_of_rfc_6749() {
    let service = Setup::new().start().await;
    let login = tokens::issue(&service, "alice").await;
    let token = login.refresh_token.as_str();
    let grant = ("grant_type", "refresh_token");
    for (fields, status, error) in [
        (vec![], 400, "invalid_request"),
        (vec![("refresh_token", token)], 400, "invalid_request"),
        (vec![grant], 400, "invalid_request"),
        (vec![grant, ("refresh_token", "")], 400, "invalid_request"),
        (vec![grant, ("refresh_token", token), ("refresh_token", token)], 400, "invalid_request"),
        (vec![grant, grant, ("refresh_token", token)], 400, "invalid_request"),
        (vec![("grant_type", "password"), ("refresh_token", token)], 400, "unsupported_grant_type"),
        (vec![("grant_type", "client_credentials")], 400, "unsupported_grant_type"),
        (vec![grant, ("refresh_token", "tar_x")], 400, "invalid_grant"),
        (vec![grant, ("refresh_token", &login.access_token)], 400, "invalid_grant"),
        (vec![grant, ("refresh_token", token), ("client_secret", "s")], 401, "invalid_client"),
    ] {
        let answer = exchange(&service, &fields).await;
        assert_eq!((answer.status, &answer.json()["error"]), (status, &json!(error)), "{fields:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let answer = with_headers(&service, token, &[("authorization", "Basic YTpi")]).await;
    assert_eq!((answer.status, &answer.json()["error"]), (401, &json!("invalid_client")));
    assert!(answer.header("www-authenticate").is_some());
    let json = [("content-type", "application/json")];
    let answer = service.http().exchange(http::Method::POST, TOKEN, &json, "{}").await.unwrap();
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_request")));
    assert!(tokens::is_good(&service, token).await, "nothing was changed");

    tokens::revoke(&service, token).await;
    let answer = exchange(&service, &[grant, ("refresh_token", token)]).await;
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_grant")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_refused_whichever_it_is() {
    let service = Setup::new().set("ALLOWED_ORIGINS", "https://app.example").start().await;
    let login = tokens::issue(&service, "alice").await;
    let token = login.refresh_token.as_str();
    for headers in [
        vec![("origin", "https://app.example")],
        vec![("origin", "null")],
        vec![("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "same-origin")],
        vec![("sec-fetch-site", "same-site")],
    ] {
        let answer = with_headers(&service, token, &headers).await;
        assert_eq!((answer.status, &answer.json()["error"]), (403, &json!("access_denied")));
        assert_eq!(answer.header("access-control-allow-origin"), None, "{headers:?}");
    }
    // Node's own fetch sends only its mode.
    let answer = with_headers(&service, token, &[("sec-fetch-mode", "cors")]).await;
    assert_eq!(answer.status, 200);
}

/// Discovers the service, refreshes with one library and then with another, and presents a token that
/// is not valid.
const CLIENT: &str = r#"
const oauth = require("oauth4webapi");
const openidClient = require("openid-client");
const [address, mine] = process.argv.slice(1);
const issuer = new URL(address);
const insecure = { [oauth.allowInsecureRequests]: true };
(async () => {
  const found = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure });
  const server = await oauth.processDiscoveryResponse(issuer, found);
  const client = { client_id: "app" };
  const renew = async (token) => {
    const answer = await oauth.refreshTokenGrantRequest(server, client, oauth.None(), token, insecure);
    return oauth.processRefreshTokenResponse(server, client, answer);
  };
  const first = await renew(mine);
  const second = await renew(first.refresh_token);
  const refused = await renew("tar_worthless").catch((error) => error.error);
  const openid = await oauth.discoveryRequest(issuer, { algorithm: "oidc", ...insecure });
  const same = await oauth.processDiscoveryResponse(issuer, openid);
  const options = { execute: [openidClient.allowInsecureRequests] };
  const config = await openidClient.discovery(issuer, "app", undefined, openidClient.None(), options);
  const third = await openidClient.refreshTokenGrant(config, second.refresh_token);
  console.log(JSON.stringify({ first, second, third, refused, same: same.token_endpoint }));
})().catch((error) => { console.error(error); process.exit(1); });
"#;

#[tokio::test(flavor = "multi_thread")]
async fn oauth4webapi_and_openid_client_renew_as_public_clients() {
    let service = Setup::new().start().await;
    let login = tokens::issue(&service, "alice").await;
    let address = format!("http://{}", service.http_addr());
    let mut node = Command::new(tools::path("node"));
    node.env("NODE_PATH", tools::path("modules")).args(["-e", CLIENT]);
    let output = node.args([&address, &login.refresh_token]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    for answer in ["first", "second", "third"] {
        let token = told[answer]["access_token"].as_str().unwrap();
        let seen = tokens::validate(&service, token).await;
        assert_eq!((seen.active, seen.session_id.as_str()), (true, login.session_id.as_str()));
    }
    assert_ne!(told["first"]["refresh_token"], login.refresh_token.as_str());
    assert_eq!(told["refused"], "invalid_grant");
    assert_eq!(told["same"], format!("{address}{TOKEN}"));
}
