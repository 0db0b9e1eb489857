//! `/oauth2/introspect` (RFC 7662) and `/oauth2/revoke` (RFC 7009), with a real HTTP client.

use std::collections::HashMap;

use serde_json::{Value, json};
use token_authority::transport::proto::v1;

use crate::replica::{Replica, curl};

/// An HTTP answer: its status, its headers, its body.
struct Answer {
    status: String,
    headers: HashMap<String, String>,
    body: String,
}

fn ask(replica: &Replica, route: &str, arguments: &[&str]) -> Answer {
    let url = format!("http://127.0.0.1:{}/oauth2/{route}", replica.http);
    let text = curl(&[&["-i", "-X", "POST", url.as_str()], arguments].concat());
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_lowercase(), value.to_owned())
    };
    Answer { status, headers: lines.map(header).collect(), body: body.to_owned() }
}

fn form(replica: &Replica, route: &str, token: &str, hint: Option<&str>) -> Answer {
    let token = format!("token={token}");
    let hint = hint.map(|hint| format!("token_type_hint={hint}"));
    let mut arguments = vec!["--data-urlencode", &token];
    if let Some(hint) = &hint {
        arguments.extend(["-d", hint]);
    }
    let answer = ask(replica, route, &arguments);
    assert_eq!(answer.headers["cache-control"], "no-store");
    answer
}

fn introspect(replica: &Replica, token: &str) -> Value {
    let answer = form(replica, "introspect", token, None);
    assert_eq!(answer.status, "200", "{}", answer.body);
    assert!(answer.headers["content-type"].starts_with("application/json"));
    serde_json::from_str(&answer.body).unwrap()
}

fn revoke(replica: &Replica, token: &str, hint: Option<&str>) {
    let answer = form(replica, "revoke", token, hint);
    assert_eq!((answer.status.as_str(), answer.body.as_str()), ("200", ""));
}

async fn on_sqlite(folder: &tempfile::TempDir) -> Replica {
    let url = format!("sqlite://{}/a.db", folder.path().display());
    Replica::start(&url, &[("REFRESH_CONCURRENCY_WINDOW_SECONDS", "0")]).await
}

fn dead() -> Value {
    json!({ "active": false })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_told_for_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let replica = on_sqlite(&folder).await;
    let ask = v1::IssueTokensRequest {
        user_id: "Zoë & co".into(),
        audience: vec!["api".into()],
        scopes: vec!["read".into(), "write".into()],
        ..Default::default()
    };
    let tokens = replica.tokens.clone().issue_tokens(ask).await.unwrap().into_inner();
    let access = introspect(&replica, &tokens.access_token);
    let is = |name: &str, value: Value| assert_eq!(access[name], value, "{name}");
    is("active", true.into());
    is("token_type", "Bearer".into());
    is("sub", "Zoë & co".into());
    is("sid", tokens.session_id.clone().into());
    is("aud", "api".into());
    is("scope", "read write".into());
    assert_eq!(access["exp"].as_i64().unwrap() - access["iat"].as_i64().unwrap(), 1800);
    assert!(access["jti"].is_string());

    for hint in [None, Some("refresh_token"), Some("access_token"), Some("else")] {
        let answer = form(&replica, "introspect", &tokens.refresh_token, hint);
        let refresh: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((&refresh["active"], &refresh["sub"]), (&true.into(), &"Zoë & co".into()));
        assert_eq!(refresh["sid"], tokens.session_id.as_str());
        assert_eq!(refresh["token_type"], "refresh_token");
        let days = (refresh["exp"].as_i64().unwrap() - refresh["iat"].as_i64().unwrap()) / 86_400;
        assert_eq!(days, 7);
    }
    for bad in ["nonsense", "tar_nonsense", "a.b.c", &tokens.access_token[1..]] {
        assert_eq!(introspect(&replica, bad), dead(), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn to_look_at_a_refresh_token_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let replica = on_sqlite(&folder).await;
    let refresh = async |token: &str| {
        let ask =
            v1::RefreshAccessTokenRequest { refresh_token: token.into(), ..Default::default() };
        replica.tokens.clone().refresh_access_token(ask).await
    };
    let tokens = replica.issue("u").await;
    let mut latest = tokens.refresh_token.clone();
    for _ in 0..2 {
        assert_eq!(introspect(&replica, &latest)["active"], true);
        latest = refresh(&latest).await.unwrap().into_inner().refresh_token;
        // Introspection of an ancestor raises no alarm.
        assert_eq!(introspect(&replica, &tokens.refresh_token), dead());
        assert_eq!(introspect(&replica, &latest)["active"], true);
    }
    assert!(!replica.refuses(&tokens.access_token).await);
    // A refresh with it does.
    assert!(refresh(&tokens.refresh_token).await.is_err());
    assert_eq!(introspect(&replica, &latest), dead());
    assert_eq!(introspect(&replica, &tokens.access_token), dead());
}

#[tokio::test(flavor = "multi_thread")]
async fn either_token_ends_the_session_and_any_other_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let replica = on_sqlite(&folder).await;
    for (which, hint) in [
        ("access", None),
        ("access", Some("access_token")),
        ("access", Some("refresh_token")),
        ("refresh", None),
        ("refresh", Some("access_token")),
    ] {
        let tokens = replica.issue("u").await;
        let token = if which == "access" { &tokens.access_token } else { &tokens.refresh_token };
        for _ in 0..2 {
            revoke(&replica, token, hint);
            assert_eq!(introspect(&replica, &tokens.access_token), dead());
            assert_eq!(introspect(&replica, &tokens.refresh_token), dead());
        }
    }
    for bad in ["nonsense", "tar_nonsense", "a.b.c"] {
        revoke(&replica, bad, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_access_token_ends_its_session() {
    let folder = tempfile::tempdir().unwrap();
    let replica = on_sqlite(&folder).await;
    let tokens = replica.issue("u").await;
    let ask = v1::UpdateSessionsRequest {
        target: Some(v1::update_sessions_request::Target::UserId("u".into())),
        refresh_now: true,
        ..Default::default()
    };
    replica.sessions.clone().update_sessions(ask).await.unwrap();
    assert_eq!(introspect(&replica, &tokens.access_token), dead());
    assert_eq!(introspect(&replica, &tokens.refresh_token)["active"], true);
    revoke(&replica, &tokens.access_token, None);
    assert_eq!(introspect(&replica, &tokens.refresh_token), dead());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_such_request_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let replica = on_sqlite(&folder).await;
    for route in ["introspect", "revoke"] {
        for arguments in [
            &["-d", ""] as &[&str],
            &["-d", "token="],
            &["-d", "other=x"],
            &["-d", "token=a&token=b"],
            &["-H", "content-type: application/json", "-d", r#"{"token":"x"}"#],
        ] {
            let answer = ask(&replica, route, arguments);
            assert_eq!(answer.status, "400", "{route} {arguments:?}");
            let body: Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(body["error"], "invalid_request");
            assert_eq!(answer.headers["cache-control"], "no-store");
        }
        let url = format!("http://127.0.0.1:{}/oauth2/{route}", replica.http);
        assert_eq!(curl(&["-w", "%{http_code}", &format!("{url}?token=x")]), "405");
    }
}
