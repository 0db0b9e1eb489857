//! Malformed and hostile bytes: each gets the answer of the contract, changes nothing, and is
//! neither repeated nor stored.

use futures::stream::{self, StreamExt as _};
use http::Method;
use test_support::replica::{Replica, Setup};
use token_authority::transport::proto::v1::{InactiveReason, ValidateTokensRequest};
use tonic::{Code, Status};

use crate::database::Database;
use crate::raw;
use crate::vectors::{self, Vector};
use crate::wire::{self, Tokens};

const TOKENS: &str = "TokenAuthorityService";
const MIB: usize = 1 << 20;

/// Checks that the service itself had no error.
fn is_unharmed(service: &Replica) {
    let log = service.log();
    for sign in ["panicked", "ERROR", "Internal"] {
        assert!(!log.contains(sign), "{sign}");
    }
}

fn is_undecodable(answer: Result<Vec<u8>, Status>, what: &str) {
    let Err(error) = answer else { panic!("{what}: it was accepted") };
    assert_eq!(wire::reason(&error), (Code::InvalidArgument, "INVALID_FIELD".into()), "{what}");
    assert_eq!(
        error.message(),
        "the request does not decode as the protobuf message of its RPC",
        "{what}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message_are_the_callers_mistake() {
    let service = Setup::new().start().await;
    let channel = service.channel();
    let methods = [
        "TokenAuthorityService/IssueTokens",
        "TokenAuthorityService/RefreshAccessToken",
        "TokenAuthorityService/RevokeRefreshToken",
        "TokenAuthorityService/ValidateToken",
        "TokenAuthorityService/ValidateTokens",
        "SessionService/ListSessions",
        "SessionService/RevokeSession",
        "SessionService/RevokeUserSessions",
    ];
    for method in methods {
        for (what, bytes) in [
            ("no UTF-8", raw::field(1, b"a\xff\xfe")),
            ("half a character", raw::field(1, b"\xc3")),
            ("a surrogate", raw::field(1, b"\xed\xa0\x80")),
            ("cut off", raw::field(1, b"alice")[..4].to_vec()),
            ("another type", vec![0x08, 0x01]),
            ("longer than all memory", vec![0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]),
            ("an endless number", vec![0x08; 20]),
            ("a field of number 0", vec![0x02, 0x00]),
        ] {
            let answer = raw::call(&channel, method, &bytes).await;
            is_undecodable(answer, &format!("{method}, {what}"));
        }
    }
    // Deeply nested Structs would overflow the stack of a careless parser. A ListValue (field 6 of
    // Value) contains Values (field 1), which contain a ListValue …
    let bottomless = (0..5000).fold(Vec::new(), |inner, _| raw::field(6, &raw::field(1, &inner)));
    let entry = [raw::field(1, b"deep"), raw::field(2, &bottomless)].concat();
    let claims = [raw::field(1, b"alice"), raw::field(4, &raw::field(1, &entry))].concat();
    let answer = raw::call(&channel, &format!("{TOKENS}/IssueTokens"), &claims).await;
    is_undecodable(answer, "a bottomless Struct");

    let later = [raw::field(1, b"alice"), raw::field(15, b"what a newer client knows")].concat();
    let answer = raw::call(&channel, &format!("{TOKENS}/IssueTokens"), &later).await;
    assert!(answer.is_ok(), "an unknown field must be ignored: {answer:?}");
    is_unharmed(&service);
}

/// Changes one character of a text to another of the same kind.
fn change(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

/// Makes refresh tokens that were never issued from one that was.
fn forgeries(token: &str) -> Vec<String> {
    let mut forged: Vec<_> = [10, 30, 40, 60, 100].map(|at| change(token, at)).into();
    forged.extend(["x".into(), "tar_".into(), token[..token.len() - 1].into()]);
    forged.extend([
        format!("{token}A"),
        format!(" {token}"),
        format!("{token}="),
        token[4..].into(),
    ]);
    forged.extend(["\0".into(), "ü🦀".into(), "' OR 1=1 --".into(), "x".repeat(60_000)]);
    forged.push(token.to_uppercase());
    forged
}

on_both! {
    a_forged_refresh_token_is_invalid_and_changes_nothing
    an_access_token_is_refused_wherever_else_it_is_presented
}

async fn a_forged_refresh_token_is_invalid_and_changes_nothing(database: Database, setup: Setup) {
    let service = setup.start().await;
    let (client, http) = (service.tokens(), service.http());
    let first = wire::issue(&client, "alice").await;
    let token = wire::refresh(&client, &first.refresh_token).await.unwrap().refresh_token;
    let before = database.dump().await;
    for forged in forgeries(&token) {
        let short: String = forged.chars().take(50).collect();
        let error =
            wire::refresh(&client, &forged).await.err().unwrap_or_else(|| panic!("{short}"));
        let expected = (Code::Unauthenticated, "REFRESH_TOKEN_INVALID".into());
        assert_eq!(wire::reason(&error), expected, "{short}");
        assert_eq!(error.message(), "the refresh token is unknown, malformed or forged");
        wire::revoke(&client, &forged).await.expect("an unknown token is OK (RFC 7009)");
        let introspected = http.form("/oauth2/introspect", &[("token", &forged)]).await;
        assert_eq!(introspected.body, r#"{"active":false}"#, "{short}");
        if forged.len() < 30_000 && forged.is_ascii() && !forged.contains('\0') {
            let answer = http.refresh(&forged).await;
            assert_eq!((answer.status, answer.header("set-cookie")), (401, None), "{short}");
        }
    }
    assert_eq!(database.dump().await, before);
    assert!(wire::refresh(&client, &token).await.is_ok());
    is_unharmed(&service);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_access_token_is_data() {
    let setup = Setup::new();
    let service = setup.start().await;
    let minted = wire::issue(&service.tokens(), "alice").await.access_token;
    let vectors = vectors::all_and_monsters(&setup.secret(), &minted);
    let ask = ValidateTokensRequest {
        tokens: vectors.iter().map(|vector| vector.token.clone()).collect(),
        ..Default::default()
    };
    let answer = service.tokens().validate_tokens(ask).await.unwrap().into_inner();
    assert_eq!(answer.results.len(), vectors.len());
    for (vector, result) in vectors.iter().zip(answer.results) {
        assert_eq!(result.inactive_reason(), vector.expected, "{}", vector.name);
        assert_eq!(result.active, vector.expected == InactiveReason::Unspecified);
        if !result.active {
            assert!(result.user_id.is_empty() && result.claims.is_none(), "{}", vector.name);
        }
    }
    is_unharmed(&service);
}

/// An access token, good or bad, is not accepted as a refresh token, in the cookie, or for
/// revocation. Introspection gives the same verdict as `ValidateToken`.
async fn an_access_token_is_refused_wherever_else_it_is_presented(
    database: Database,
    setup: Setup,
) {
    let service = setup.start().await;
    let (client, http) = (service.tokens(), service.http());
    let issued = wire::issue(&client, "alice").await;
    let before = database.dump().await;
    let vectors = vectors::all_and_monsters(&setup.secret(), &issued.access_token);
    // An empty field is an error of the caller, not a token.
    let vectors = vectors.into_iter().filter(|vector| !vector.token.is_empty());
    for Vector { name, token, expected, .. } in vectors {
        let good = expected == InactiveReason::Unspecified;
        let error = wire::refresh(&client, &token).await.err().unwrap_or_else(|| panic!("{name}"));
        if token.len() < 65_000 {
            let invalid = (Code::Unauthenticated, "REFRESH_TOKEN_INVALID".into());
            assert_eq!(wire::reason(&error), invalid, "{name}");
            wire::revoke(&client, &token).await.unwrap();
        } else {
            // A larger message is not read (docs/callers.md).
            assert_eq!(error.code(), Code::OutOfRange, "{name}");
        }

        let introspected = http.form("/oauth2/introspect", &[("token", &token)]).await;
        // A larger form is not read (docs/callers.md).
        let read = if token.len() < 64 * 1024 { 200 } else { 413 };
        assert_eq!(introspected.status, read, "{name}");
        if read == 200 && good {
            assert_eq!(introspected.json()["active"], true, "{name}");
        } else if read == 200 {
            assert_eq!(introspected.body, r#"{"active":false}"#, "{name}");
        }
        if !good {
            let revoked = http.form("/oauth2/revoke", &[("token", &token)]).await;
            assert_eq!(revoked.status, read, "{name}");
        }
        if token.len() < 30_000 && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let answer = http.refresh(&token).await;
            assert_eq!((answer.status, answer.header("set-cookie")), (401, None), "{name}");
            assert_eq!(answer.json()["reason"], "invalid", "{name}");
        }
    }
    assert_eq!(database.dump().await, before);
    // Conversely, a refresh token is not an access token.
    let seen = wire::validate(&client, &issued.refresh_token).await;
    assert_eq!((seen.active, seen.inactive_reason()), (false, InactiveReason::Malformed));
    wire::refresh(&client, &issued.refresh_token).await.unwrap();
    is_unharmed(&service);
}

/// Returns the maximum memory of the process so far, in MiB.
fn most_memory(service: &Replica) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_huge_tokens_costs_little_memory() {
    let service = Setup::new().start().await;
    let client = service.tokens();
    let huge = [&"x".repeat(MIB), &format!("{0}.{0}.{0}", "eyJh".repeat(MIB / 12))];
    let flood = stream::iter(0..200).for_each_concurrent(20, |i| {
        let (client, token): (&Tokens, &str) = (&client, huge[i % 2]);
        async move {
            let ask = ValidateTokensRequest { tokens: vec![token.into()], ..Default::default() };
            let seen = client.clone().validate_tokens(ask).await.unwrap().into_inner();
            assert_eq!(seen.results[0].inactive_reason(), InactiveReason::Malformed);
            assert!(wire::refresh(client, token).await.is_err());
        }
    });
    flood.await;
    let most = most_memory(&service);
    assert!(most < 200, "{most} MiB");
    let too_long = raw::field(1, &vec![b'x'; 5 * MIB]);
    let method = format!("{TOKENS}/ValidateToken");
    let error = raw::call(&service.channel(), &method, &too_long).await.unwrap_err();
    assert_eq!(error.code(), Code::OutOfRange);
    is_unharmed(&service);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_page_changes_nothing() {
    let (database, setup) = Database::sqlite().await;
    let service = setup.set("ALLOWED_ORIGINS", "https://app.example").start().await;
    let http = service.http();
    let token = wire::issue(&service.tokens(), "alice").await.refresh_token;
    let cookie = format!("refreshToken={token}");
    let before = database.dump().await;
    let foreign: [&[(&str, &str)]; 10] = [
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "")],
        &[("origin", "https://app.example.evil.example")],
        &[("origin", "http://app.example")],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "Cross-Site")],
        &[("origin", "https://evil.example"), ("origin", "https://app.example")],
        &[("origin", "https://app.example"), ("origin", "https://evil.example")],
    ];
    for page in foreign {
        for path in ["/api/auth/refresh", "/api/auth/logout"] {
            let headers = [&[("cookie", cookie.as_str())], page].concat();
            let answer = http.send(Method::POST, path, &headers).await;
            assert_eq!((answer.status, answer.header("set-cookie")), (403, None), "{page:?}");
            let allowed = answer.header("access-control-allow-origin");
            assert!(allowed.is_none_or(|origin| origin == "https://app.example"), "{page:?}");
        }
    }
    assert_eq!(database.dump().await, before);
    let own = [("cookie", cookie.as_str()), ("origin", "https://app.example")];
    let answer = http.send(Method::POST, "/api/auth/refresh", &own).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_the_session_of_each_cookie_that_comes() {
    let service = Setup::new().start().await;
    let (client, http) = (service.tokens(), service.http());
    let [one, two] = [wire::issue(&client, "alice").await, wire::issue(&client, "alice").await]
        .map(|issued| issued.refresh_token);
    let cookies = format!("refreshToken=junk; refreshToken={one}; refreshToken={two}");
    let answer = http.send(Method::POST, "/api/auth/logout", &[("cookie", &cookies)]).await;
    assert_eq!(answer.status, 204);
    for token in [one, two] {
        let refused = wire::refresh(&client, &token).await.err().expect("the session is over");
        assert_eq!(wire::reason(&refused).1, "REFRESH_TOKEN_REVOKED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_s_cookie_of_the_same_name_keeps_nobody_out() {
    let service = Setup::new().start().await;
    let token = wire::issue(&service.tokens(), "alice").await.refresh_token;
    // Like the cookie of the previous system with a longer path, which a browser sends first.
    let cookies = format!("refreshToken=eyJhbGciOiJIUzI1NiJ9.e30.c2ln; refreshToken={token}");
    let http = service.http();
    let answer = http.send(Method::POST, "/api/auth/refresh", &[("cookie", &cookies)]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("set-cookie").expect("a successor").starts_with("refreshToken=tar_"));
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_http_is_refused_politely() {
    let service = Setup::new().start().await;
    let http = service.http();
    for path in ["/api/auth/refresh", "/api/auth/logout"] {
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::HEAD, Method::PATCH] {
            let answer = http.send(method.clone(), path, &[]).await;
            assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method}");
        }
    }
    for path in ["//", "/api/auth", "/api/auth/refresh//", "/api/auth/../healthz", "/%00"] {
        assert_eq!(http.send(Method::POST, path, &[]).await.status, 404, "{path}");
    }
    for (cookie, status) in [
        (String::new(), 401),
        ("refreshToken".into(), 401),
        ("refreshToken=".into(), 401),
        (";;;=;=".into(), 401),
        (format!("refreshToken={}", "x".repeat(30_000)), 401),
        (format!("{}refreshToken=x", "a=b; ".repeat(5_000)), 401),
        (format!("refreshToken={}", "x".repeat(33_000)), 431),
        (format!("refreshToken={}", "x".repeat(MIB)), 431),
    ] {
        let answer = http.send(Method::POST, "/api/auth/refresh", &[("cookie", &cookie)]).await;
        assert_eq!(answer.status, status, "{} bytes", cookie.len());
        assert_eq!(answer.header("set-cookie"), None);
    }
    let crowd: Vec<_> = (0..500).map(|_| ("x-header", "x")).collect();
    assert_eq!(http.send(Method::POST, "/api/auth/refresh", &crowd).await.status, 431);
    assert_eq!(http.get("/healthz").await.status, 200);
    is_unharmed(&service);
}
