//! The role table: each entry with every kind of credential, and its page in the docs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use token_authority::transport::callers::roles::{Access, ROUTES, RPCS, Role};
use tonic::Code;

use crate::authority::{Authority, House};
use crate::rpc::{self, VALIDATE};
use crate::web;

/// A credential, and the only role of its caller.
struct Credential {
    key: Option<String>,
    name: &'static str,
    role: Option<Role>,
}

fn house() -> (House, Vec<Credential>) {
    let house = House::new();
    let mut credentials = vec![
        Credential { key: None, name: "", role: None },
        Credential { key: Some("tak_wrong".into()), name: "auth", role: None },
    ];
    for role in Role::ALL {
        let name = role.name();
        let key = Some(house.add(name, name));
        credentials.push(Credential { key, name, role: Some(role) });
    }
    (house, credentials)
}

/// The expected result for a credential.
#[derive(Debug, PartialEq, Eq)]
enum Met {
    LetIn,
    Unauthenticated,
    Forbidden,
}

fn expected(access: Access, credential: &Credential) -> Met {
    match (access, credential.role) {
        (Access::Role(_) | Access::SessionsOrAdmin, None) => Met::Unauthenticated,
        (Access::SessionsOrAdmin, Some(role)) if ![Role::Sessions, Role::Admin].contains(&role) => {
            Met::Forbidden
        }
        (Access::Role(needed), Some(role)) if role != needed => Met::Forbidden,
        _ => Met::LetIn,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rpc_lets_in_its_role_and_no_other() {
    let (house, credentials) = house();
    let authority = house.start(&[]);
    let channel = rpc::connect(authority.grpc).await;
    for (path, access) in RPCS {
        for credential in &credentials {
            let key = credential.key.as_deref();
            let answer = rpc::reason(&rpc::call(&channel, path, key, Bytes::new()).await);
            let met = match (answer.0, answer.1.as_str()) {
                (Code::Unauthenticated, "CALLER_UNAUTHENTICATED") => Met::Unauthenticated,
                (Code::PermissionDenied, "CALLER_FORBIDDEN") => Met::Forbidden,
                _ => Met::LetIn,
            };
            let name = credential.name;
            assert_eq!(met, expected(*access, credential), "{path} by `{name}`: {answer:?}");
        }
    }
    let unheard = "/token_authority.v1.TokenAuthorityService/Unheard";
    for credential in &credentials {
        let answer = rpc::call(&channel, unheard, credential.key.as_deref(), Bytes::new()).await;
        assert_eq!(rpc::reason(&answer).0, Code::Unimplemented);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_lets_in_its_role_and_no_other() {
    let (house, credentials) = house();
    let authority = house.start(&[]);
    for route in ROUTES {
        for credential in &credentials {
            for scheme in ["Bearer", "Basic"] {
                let answer = send(&authority, route.method(), route.path(), scheme, credential);
                let met = if answer.body.contains("\"invalid_client\"") {
                    assert_eq!(answer.status, 401);
                    assert!(answer.head.contains("\r\nwww-authenticate: bearer "));
                    Met::Unauthenticated
                } else if answer.body.contains("\"unauthorized_client\"") {
                    assert_eq!(answer.status, 403);
                    Met::Forbidden
                } else {
                    Met::LetIn
                };
                let by = credential.name;
                let path = route.path();
                assert_eq!(met, expected(route.access(), credential), "{path} {scheme} `{by}`");
            }
        }
    }
    assert_eq!(web::send(authority.http, "GET", "/unheard", &[]).status, 404);
}

fn send(
    authority: &Authority,
    method: &str,
    path: &str,
    scheme: &str,
    credential: &Credential,
) -> web::Answer {
    let Some(key) = &credential.key else { return web::send(authority.http, method, path, &[]) };
    let value = match scheme {
        "Basic" => format!("Basic {}", STANDARD.encode(format!("{}:{key}", credential.name))),
        _ => format!("Bearer {key}"),
    };
    web::send(authority.http, method, path, &[("Authorization", &value)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_needs_no_key_a_login_is_its_caller_s_and_the_log_names_callers() {
    let house = House::new();
    let (one, other) = (house.add("web-auth", "issuer"), house.add("app-auth", "issuer"));
    let authority = house.start(&[]);
    let channel = rpc::connect(authority.grpc).await;
    let id = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
    let first = rpc::issue(&channel, Some(&one), id).await.unwrap();
    let again = rpc::issue(&channel, Some(&one), id).await.unwrap();
    assert_eq!(first.session_id, again.session_id);
    let stranger = rpc::issue(&channel, Some(&other), id).await;
    assert_ne!(stranger.unwrap().session_id, first.session_id, "another caller's login");

    let cookie = format!("refreshToken={}", first.refresh_token);
    let answer = web::send(authority.http, "POST", "/api/auth/refresh", &[("Cookie", &cookie)]);
    assert_eq!(answer.status, 200, "{}", answer.body);

    let by = |rpc: &'static str, caller: &'static str| {
        move |line: &serde_json::Value| {
            line["rpc"].as_str().is_some_and(|name| name.ends_with(rpc)) && line["caller"] == caller
        }
    };
    authority.log_with(by("IssueTokens", "web-auth"));
    authority.log_with(by("IssueTokens", "app-auth"));
    let log = authority.log_with(by("RefreshAccessToken", "browser-adapter"));
    let text = log.iter().map(ToString::to_string).collect::<String>();
    assert!(!text.contains(&one) && !text.contains("tak_"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_developer_s_own_machine_is_open_and_says_so() {
    let house = House::new();
    let authority = house.start_with(&[]);
    let channel = rpc::connect(authority.grpc).await;
    rpc::issue(&channel, None, "").await.unwrap();
    assert!(rpc::unary(&channel, VALIDATE, None, Bytes::new()).await.is_ok());
    let log = authority.log_with(|line| line["caller"] == "anonymous");
    let loud = |line: &serde_json::Value| {
        line["level"] == "WARN" && line.to_string().contains("CALLERS_FILE is not set")
    };
    assert!(log.iter().any(loud), "{log:#?}");
}

#[test]
fn the_page_shows_the_same_table() {
    let page = std::fs::read_to_string("docs/callers.md").unwrap();
    let rows: Vec<(String, String)> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
            Some((cells.next()?, cells.next()?))
        })
        .filter(|(what, _)| what.contains('/'))
        .collect();
    let rpcs = RPCS.iter().map(|(path, access)| (format!("`{path}`"), access.to_string()));
    let routes = ROUTES.iter().map(|route| {
        (format!("`{} {}`", route.method(), route.path()), route.access().to_string())
    });
    assert_eq!(rows, rpcs.chain(routes).collect::<Vec<_>>());
}
