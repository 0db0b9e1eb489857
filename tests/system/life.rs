//! The whole life of a token, as a developer tries it: with grpcurl, curl, and the printed
//! quickstart.

use std::process::Command;

use serde_json::{Value, json};
use test_support::replica::{Replica, Setup};
use test_support::tools;

use crate::database::Database;

const SERVICE: &str = "token_authority.v1.TokenAuthorityService";

/// Calls an RPC with grpcurl, which learns the contract by reflection. Returns its output.
fn grpcurl(service: &Replica, method: &str, ask: &Value) -> Result<Value, String> {
    let (address, ask) = (service.grpc().to_string(), ask.to_string());
    let method = format!("{SERVICE}/{method}");
    let output = tools::run("grpcurl", &["-plaintext", "-d", &ask, &address, &method]);
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).unwrap());
    }
    Err(tools::text(&output.stderr))
}

fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer[field].as_str().unwrap_or_else(|| panic!("no {field} in {answer}"))
}

/// Starts the service like a developer who has read nothing: the environment contains at most the
/// database's URL. The settings that keep tests apart are flags.
async fn start(setup: &Setup, database: &Database) -> Replica {
    let any = "127.0.0.1:0";
    let apart = ["--grpc-addr", any, "--http-addr", any, "--metrics-addr", any];
    let flags = [&apart[..], &["--log-format", "json"]].concat();
    let service = setup.clone().bare().start_with(&flags).await;
    let environment = std::fs::read_to_string(format!("/proc/{}/environ", service.pid())).unwrap();
    let expected = match database {
        Database::Sqlite(_) => String::new(),
        Database::Postgres(url) => format!("DATABASE_URL={url}\0"),
    };
    assert_eq!(environment, expected);
    service
}

on_both! {
    a_life_through_grpcurl
    a_life_through_the_cookie
    the_printed_quickstart_works_as_printed
}

async fn a_life_through_grpcurl(database: Database, setup: Setup) {
    let service = start(&setup, &database).await;
    let call = |method: &str, ask: Value| grpcurl(&service, method, &ask);

    let issued = call("IssueTokens", json!({"user_id": "alice", "scopes": ["read"]})).unwrap();
    assert_eq!((text(&issued, "tokenType"), text(&issued, "expiresIn")), ("Bearer", "1800s"));
    assert_eq!(text(&issued, "refreshExpiresIn"), "604800s");
    assert_eq!(text(&issued, "authMethod"), "AUTH_METHOD_JWT");
    let token = json!({"token": issued["accessToken"]});
    let seen = call("ValidateToken", token).unwrap();
    assert_eq!((&seen["active"], text(&seen, "userId")), (&json!(true), "alice"));
    assert_eq!((&seen["sessionId"], &seen["scopes"]), (&issued["sessionId"], &json!(["read"])));

    let refreshed =
        call("RefreshAccessToken", json!({"refresh_token": issued["refreshToken"]})).unwrap();
    assert_ne!(refreshed["refreshToken"], issued["refreshToken"]);
    assert_ne!(refreshed["accessToken"], issued["accessToken"]);
    let seen = call("ValidateToken", json!({"token": refreshed["accessToken"]})).unwrap();
    assert_eq!((&seen["active"], &seen["sessionId"]), (&json!(true), &issued["sessionId"]));

    let presented = json!({"refresh_token": refreshed["refreshToken"]});
    assert_eq!(call("RevokeRefreshToken", presented.clone()).unwrap(), json!({}));
    assert_eq!(call("RevokeRefreshToken", presented.clone()).unwrap(), json!({}), "idempotent");
    let refused = call("RefreshAccessToken", presented).unwrap_err();
    for part in ["Code: Unauthenticated", "google.rpc.ErrorInfo", "REFRESH_TOKEN_REVOKED"] {
        assert!(refused.contains(part), "no {part} in {refused}");
    }
    let refused = call("IssueTokens", json!({})).unwrap_err();
    for part in ["Code: InvalidArgument", "google.rpc.BadRequest", "user_id", "INVALID_FIELD"] {
        assert!(refused.contains(part), "no {part} in {refused}");
    }
    assert_eq!(database.count().await, 1);
}

/// Writes curl's cookie jar (the Netscape format) with a `Secure`, `HttpOnly` cookie in it.
fn write_jar(setup: &Setup, token: &str) {
    let cookie =
        format!("#HttpOnly_localhost\tFALSE\t/api/auth\tTRUE\t4000000000\trefreshToken\t{token}\n");
    std::fs::write(setup.folder().join("jar"), cookie).unwrap();
}

/// Returns the refresh token in the jar.
fn read_jar(setup: &Setup) -> Option<String> {
    let jar = std::fs::read_to_string(setup.folder().join("jar")).unwrap();
    let cookie = jar.lines().find(|line| line.contains("refreshToken"))?;
    assert!(cookie.starts_with("#HttpOnly_localhost\tFALSE\t/api/auth\tTRUE\t"), "{cookie}");
    cookie.split('\t').next_back().map(str::to_owned)
}

/// Posts with curl and its jar. Returns the status and the body.
fn curl(service: &Replica, setup: &Setup, path: &str) -> (String, String) {
    let jar = setup.folder().join("jar");
    let jar = jar.to_str().unwrap();
    let url = format!("http://localhost:{}/api/auth/{path}", service.http_addr().port());
    let arguments =
        ["-s", "-4", "-X", "POST", "-b", jar, "-c", jar, "-w", "\n%{http_code}", url.as_str()];
    let output = tools::text(&tools::run("curl", &arguments).stdout);
    let (body, status) = output.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

async fn a_life_through_the_cookie(database: Database, setup: Setup) {
    let service = start(&setup, &database).await;
    let issued = grpcurl(&service, "IssueTokens", &json!({"user_id": "bob"})).unwrap();
    let first = text(&issued, "refreshToken").to_owned();
    write_jar(&setup, &first);

    let (status, body) = curl(&service, &setup, "refresh");
    assert_eq!(status, "200", "{body}");
    let renewed: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(renewed["expiresIn"], 1800);
    let seen = grpcurl(&service, "ValidateToken", &json!({"token": renewed["accessToken"]}));
    assert_eq!(seen.unwrap()["active"], true);
    let second = read_jar(&setup).expect("a cookie");
    assert_ne!(second, first);

    assert_eq!(curl(&service, &setup, "refresh").0, "200");
    assert_eq!(read_jar(&setup), Some(second.clone()), "a young token stays");

    assert_eq!(curl(&service, &setup, "logout"), ("204".into(), String::new()));
    assert_eq!(read_jar(&setup), None, "logout clears the jar");
    assert_eq!(curl(&service, &setup, "logout").0, "204", "idempotent");
    let (status, body) = curl(&service, &setup, "refresh");
    assert_eq!((status.as_str(), body.contains("\"invalid\"")), ("401", true), "{body}");

    write_jar(&setup, &second);
    let (status, body) = curl(&service, &setup, "refresh");
    assert_eq!((status.as_str(), body.contains("\"revoked\"")), ("401", true), "{body}");
    assert_eq!(read_jar(&setup), None, "the session is over, and the cookie with it");
}

async fn the_printed_quickstart_works_as_printed(database: Database, setup: Setup) {
    let service = start(&setup, &database).await;
    let printed = service.out();
    let begin =
        printed.find("# Run the whole life").unwrap_or_else(|| panic!("no quickstart: {printed}"));
    let grpcurl = tools::path("grpcurl");
    let path = format!("{}:/usr/bin:/bin", grpcurl.parent().unwrap().display());
    let mut bash = Command::new(tools::path("bash"));
    bash.env("PATH", path).current_dir(setup.folder()).args(["-c", "exec 2>&1; . /dev/stdin; :"]);
    let output = tools::feed(&mut bash, &printed[begin..]);

    let mut rest = output.as_str();
    for part in [
        "7. Somebody tries the refresh token again",
        "refused, REFRESH_TOKEN_REVOKED",
        "\"accessToken\":",
        "\"refreshToken\":",
        "\"active\":true",
        "HTTP/1.1 200 OK",
        "set-cookie: refreshToken=",
        "{\"accessToken\":\"",
        "HTTP/1.1 204 No Content",
        "\"active\":false",
        "\"revoked\"",
        "\"accessToken\":",
        "\"refreshToken\":",
        "\"active\": true",
        "\"userId\": \"alice\"",
        "\"refreshToken\":",
        "{\n  \n}",
        "Code: Unauthenticated",
        "REFRESH_TOKEN_REVOKED",
    ] {
        let at = rest.find(part).unwrap_or_else(|| panic!("no {part} in {rest}\nof {output}"));
        rest = &rest[at + part.len()..];
    }
    assert_eq!(database.count().await, 3);
}
