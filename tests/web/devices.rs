//! Sessions that are bound to a device key, over HTTP and gRPC, with a browser's part played by a key pair.

use http::Method;
use serde_json::json;
use token_authority::token::key::Algorithm;
use token_authority::transport::proto::v1::{
    IssueTokensResponse, ListSessionEventsRequest, ListSessionsRequest, RefreshAccessTokenRequest,
    RegisterDeviceRequest, RenewDeviceBindingRequest, SessionEventType,
    list_session_events_request::Target,
};
use tonic::Code;

use crate::tokens::{issue, revoke, validate};
use test_support::device::{Device, challenge_in};
use test_support::http::Answer;
use test_support::replica::{Replica, Setup};

const REGISTRATION: &str = "/api/auth/device/registration";
const RENEWAL: &str = "/api/auth/device/renewal";
const OFFER: &str = "secure-session-registration";
const CHALLENGE: &str = "secure-session-challenge";

fn offering() -> Setup {
    Setup::new().set("DEVICE_BOUND_SESSIONS", "offer")
}

async fn register(service: &Replica, refresh_token: &str, proof: &str) -> Answer {
    let cookie = format!("refreshToken={refresh_token}");
    let headers = [("cookie", cookie.as_str()), ("secure-session-response", proof)];
    service.http().send(Method::POST, REGISTRATION, &headers).await
}

async fn renew(
    service: &Replica,
    login: &IssueTokensResponse,
    cookie: &str,
    proof: Option<&str>,
) -> Answer {
    let cookie = format!("refreshToken={cookie}");
    let mut headers =
        vec![("cookie", cookie.as_str()), ("sec-secure-session-id", login.session_id.as_str())];
    headers.extend(proof.map(|proof| ("secure-session-response", proof)));
    service.http().send(Method::POST, RENEWAL, &headers).await
}

async fn refresh(service: &Replica, token: &str, binding: &str, more: &[(&str, &str)]) -> Answer {
    let cookie = format!("refreshToken={token}; refreshTokenBound={binding}");
    let headers = [&[("cookie", cookie.as_str())], more].concat();
    service.http().send(Method::POST, "/api/auth/refresh", &headers).await
}

/// Returns the bound cookie that an answer sets.
fn binding(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    let cookie = answer.header("set-cookie").unwrap();
    let value = cookie.strip_prefix("refreshTokenBound=").unwrap();
    value.split(';').next().unwrap().to_owned()
}

/// Logs in, registers a device and renews its binding once. Returns the binding.
async fn bind(service: &Replica, user: &str, device: &Device) -> (IssueTokensResponse, String) {
    let login = issue(service, user).await;
    let proof = device.registration(&challenge_in(&login.device_registration));
    let registered = register(service, &login.refresh_token, &proof).await;
    binding(&registered);
    let proof = device.renewal(&challenge_in(registered.header(CHALLENGE).unwrap()));
    let renewed = renew(service, &login, &login.refresh_token, Some(&proof)).await;
    (login, binding(&renewed))
}

#[tokio::test]
async fn off_changes_nothing() {
    let service = Setup::new().start().await;
    let login = issue(&service, "alice").await;
    assert_eq!(login.device_registration, "");
    for path in [REGISTRATION, RENEWAL] {
        let headers = [("secure-session-response", "a.b.c")];
        assert_eq!(service.http().send(Method::POST, path, &headers).await.status, 404, "{path}");
    }
    let answer = refresh(&service, &login.refresh_token, "tab_x", &[]).await;
    assert_eq!((answer.status, answer.header(OFFER)), (200, None));
    let ask = RegisterDeviceRequest { refresh_token: login.refresh_token, proof: "x".into() };
    let refused = service.tokens().register_device(ask).await.err().unwrap();
    assert_eq!(refused.code(), Code::Unimplemented);
    let ask = RenewDeviceBindingRequest { session_id: login.session_id, proof: String::new() };
    let refused = service.tokens().renew_device_binding(ask).await.err().unwrap();
    assert_eq!(refused.code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_browser_binds_renews_and_refreshes() {
    let service = offering().start().await;
    for (user, algorithm) in [("alice", Algorithm::Es256), ("bob", Algorithm::Rs256)] {
        let device = Device::new(algorithm);
        let login = issue(&service, user).await;
        let offer = format!(
            "(ES256 RS256);path=\"{REGISTRATION}\";challenge=\"{}\"",
            challenge_in(&login.device_registration)
        );
        assert_eq!(login.device_registration, offer);

        let proof = device.registration(&challenge_in(&offer));
        let registered = register(&service, &login.refresh_token, &proof).await;
        let attributes = "HttpOnly; Secure; SameSite=Lax; Path=/api/auth";
        let expected = json!({
            "session_identifier": login.session_id,
            "refresh_url": RENEWAL,
            "scope": { "include_site": false, "scope_specification": [] },
            "credentials": [{ "type": "cookie", "name": "refreshTokenBound", "attributes": attributes }],
        });
        assert_eq!(registered.json(), expected);
        let cookie = registered.header("set-cookie").unwrap();
        assert!(cookie.ends_with(&format!("; {attributes}; Max-Age=300")), "{cookie}");
        let challenge = registered.header(CHALLENGE).unwrap().to_owned();
        assert!(challenge.ends_with(&format!("\";id=\"{}\"", login.session_id)), "{challenge}");
        let first = binding(&registered);

        // The answer was perhaps lost: the same registration is answered again, another is not.
        assert_eq!(register(&service, &login.refresh_token, &proof).await.status, 200);
        let other = Device::new(algorithm).registration(&challenge_in(&offer));
        assert_eq!(register(&service, &login.refresh_token, &other).await.status, 409);

        let proof = device.renewal(&challenge_in(&challenge));
        let renewed = renew(&service, &login, &login.refresh_token, Some(&proof)).await;
        assert_eq!(renewed.json(), expected);
        let refreshed = refresh(&service, &login.refresh_token, &binding(&renewed), &[]).await;
        assert_eq!((refreshed.status, refreshed.header(OFFER)), (200, None));
        let token = refreshed.new_token().unwrap();
        assert_eq!(refresh(&service, &token, &first, &[]).await.status, 200, "not expired yet");
        let access = refreshed.json()["accessToken"].as_str().unwrap().to_owned();
        assert!(validate(&service, &access).await.device_bound);
        assert!(!validate(&service, &login.access_token).await.device_bound);
    }
}

#[tokio::test]
async fn a_copied_jar_is_of_no_use_and_ends_nothing() {
    let service = offering().start().await;
    let device = Device::new(Algorithm::Es256);
    let (login, bound) = bind(&service, "alice", &device).await;
    let thief = Device::new(Algorithm::Es256);
    let (others_login, others_binding) = bind(&service, "mallory", &thief).await;

    let forged = format!("{}A", &bound[..bound.len() - 1]);
    for binding in ["", "x", &forged, &others_binding, &login.refresh_token] {
        let answer = refresh(&service, &login.refresh_token, binding, &[]).await;
        assert_eq!(answer.status, 401, "{binding}");
        assert_eq!(answer.json()["reason"], "unbound", "{binding}");
        assert_eq!(answer.header("set-cookie"), None, "the cookies stay");
    }
    let skipped = [("secure-session-skipped", "unreachable;session_identifier=\"x\"")];
    let answer = refresh(&service, &login.refresh_token, "", &skipped).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(answer.header("set-cookie"), None);

    let ask = |device_binding: &str| RefreshAccessTokenRequest {
        refresh_token: login.refresh_token.clone(),
        device_binding: device_binding.into(),
    };
    let refused = service.tokens().refresh_access_token(ask("")).await.err().unwrap();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let form = [("grant_type", "refresh_token"), ("refresh_token", &login.refresh_token)];
    assert_eq!(service.http().form("/oauth2/token", &form).await.status, 400);
    assert!(service.tokens().refresh_access_token(ask(&bound)).await.is_ok(), "the session lives");

    // A copy of an older token of the bound session is of no use either, and ends nothing.
    let answer = refresh(&service, &login.refresh_token, "", &[]).await;
    assert_eq!(answer.json()["reason"], "unbound");
    let page = service.metrics();
    assert!(page.contains("token_refresh_errors_total{reason=\"unbound\"} 9"), "{page}");
    assert!(
        page.contains("device_registrations_total 2") && page.contains("device_renewals_total 2")
    );
    assert_eq!(others_login.user_id, "mallory");
}

#[tokio::test]
async fn a_token_from_before_the_registration_takes_it_away() {
    let service = offering().set("REFRESH_CONCURRENCY_WINDOW_SECONDS", "0").start().await;
    let login = issue(&service, "alice").await;
    let copy = login.refresh_token.clone();
    let stolen = refresh(&service, &copy, "", &[]).await;
    let offered = stolen.header(OFFER).unwrap().to_owned();
    let token = stolen.new_token().unwrap();
    let thief = Device::new(Algorithm::Es256);
    let registered = register(&service, &token, &thief.registration(&challenge_in(&offered))).await;
    let bound = binding(&registered);
    let thief_goes_on = refresh(&service, &token, &bound, &[]).await;
    let token = thief_goes_on.new_token().unwrap();
    // The victim comes with the copy's original: a theft, although the thief's device is registered.
    let answer = refresh(&service, &copy, "", &[]).await;
    assert_eq!(answer.json()["reason"], "reused", "{answer:?}");
    let answer = refresh(&service, &token, &bound, &[]).await;
    assert_eq!(answer.json()["reason"], "revoked");
}

#[tokio::test]
async fn bad_registrations_change_nothing() {
    let service = offering().start().await;
    let (login, other) = (issue(&service, "alice").await, issue(&service, "bob").await);
    let device = Device::new(Algorithm::Es256);
    let fitting = challenge_in(&login.device_registration);
    let good = device.registration(&fitting);
    let jwk = device.jwk();
    let typed = |typ: &str, alg: &str| {
        device.sign_as(&json!({ "typ": typ, "alg": alg, "jwk": jwk }), &json!({ "jti": fitting }))
    };
    let foreign = Device::new(Algorithm::Es256)
        .sign(json!({ "jwk": jwk }), &challenge_in(&login.device_registration));
    let (signed, _) = good.rsplit_once('.').unwrap();
    for (what, proof) in [
        ("none", typed("dbsc+jwt", "none")),
        ("HS256", typed("dbsc+jwt", "HS256")),
        ("RS256 with an EC key", typed("dbsc+jwt", "RS256")),
        ("another type", typed("JWT", "ES256")),
        ("no key", device.renewal(&fitting)),
        ("another key signed", foreign),
        ("no signature", format!("{signed}.")),
        (
            "another session's challenge",
            device.registration(&challenge_in(&other.device_registration)),
        ),
        ("no challenge", device.registration("")),
        ("too long", format!("{good}{}", "A".repeat(5000))),
        ("no proof", String::new()),
    ] {
        let answer = register(&service, &login.refresh_token, &proof).await;
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        assert_eq!(answer.header(CHALLENGE), None, "{what}");
        assert_eq!(answer.header("set-cookie"), None, "{what}");
    }
    let http = service.http();
    let cookie = format!("refreshToken={}", login.refresh_token);
    let foreign_page = [
        ("cookie", cookie.as_str()),
        ("secure-session-response", good.as_str()),
        ("origin", "https://evil.example"),
    ];
    assert_eq!(http.send(Method::POST, REGISTRATION, &foreign_page).await.status, 403);
    assert_eq!(http.send(Method::POST, REGISTRATION, &foreign_page[1..2]).await.status, 401);
    // The token of another session, and one that is no longer current.
    assert_eq!(register(&service, &other.refresh_token, &good).await.status, 401);
    let newer = refresh(&service, &login.refresh_token, "", &[]).await;
    assert_eq!(register(&service, &login.refresh_token, &good).await.status, 401);
    let token = newer.new_token().unwrap();
    let proof = device.registration(&challenge_in(newer.header(OFFER).unwrap()));
    revoke(&service, &token).await;
    let answer = register(&service, &token, &proof).await;
    assert_eq!(answer.json()["reason"], "revoked");
}

#[tokio::test]
async fn a_renewal_without_a_recent_challenge_gets_one() {
    let service = offering().start().await;
    let device = Device::new(Algorithm::Es256);
    let (login, _) = bind(&service, "alice", &device).await;
    let (other, _) = bind(&service, "bob", &Device::new(Algorithm::Es256)).await;
    let token = &login.refresh_token;
    let asked = renew(&service, &login, token, None).await;
    assert_eq!((asked.status, asked.header("set-cookie")), (403, None));
    let challenge = challenge_in(asked.header(CHALLENGE).unwrap());
    for wrong in ["", "c0", &challenge[1..], &challenge_in(&login.device_registration)] {
        let answer = renew(&service, &login, token, Some(&device.renewal(wrong))).await;
        assert_eq!(answer.status, 403, "{wrong}");
        assert!(answer.header(CHALLENGE).is_some(), "{wrong}");
    }
    let proof = device.renewal(&challenge);
    binding(&renew(&service, &login, token, Some(&proof)).await);
    binding(&renew(&service, &login, token, Some(&proof)).await);

    // Anything else ends the binding in the browser.
    let forged = Device::new(Algorithm::Es256).renewal(&challenge);
    assert_eq!(renew(&service, &login, token, Some(&forged)).await.status, 401, "another key");
    assert_eq!(renew(&service, &login, token, Some("x")).await.status, 401, "malformed");
    assert_eq!(renew(&service, &other, &other.refresh_token, Some(&proof)).await.status, 401);
    let answer = renew(&service, &login, &other.refresh_token, Some(&proof)).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (401, None), "after another login");
    let unbound = issue(&service, "carol").await;
    assert_eq!(renew(&service, &unbound, &unbound.refresh_token, None).await.status, 401);
    revoke(&service, token).await;
    assert_eq!(renew(&service, &login, token, Some(&proof)).await.status, 401, "revoked");
}

#[tokio::test]
async fn the_binding_is_shown_and_logged() {
    let service = offering().start().await;
    let (login, bound) = bind(&service, "alice", &Device::new(Algorithm::Es256)).await;
    issue(&service, "alice").await;
    let ask = ListSessionsRequest { user_id: "alice".into(), ..Default::default() };
    let listed = service.sessions().list_sessions(ask).await.unwrap().into_inner().sessions;
    let is_bound: Vec<_> = listed.iter().map(|session| session.device_bound).collect();
    assert_eq!(is_bound, [false, true], "newest first");
    let cookie = format!("refreshToken={}", login.refresh_token);
    let answer =
        service.http().send(Method::GET, "/api/auth/sessions", &[("cookie", &cookie)]).await;
    assert_eq!(answer.json()["sessions"][1]["deviceBound"], true);

    let target = Some(Target::SessionId(login.session_id.clone()));
    let ask = ListSessionEventsRequest { target, ..Default::default() };
    let events = service.sessions().list_session_events(ask).await.unwrap().into_inner().events;
    let found = events.iter().find(|event| event.r#type() == SessionEventType::Bound);
    assert_eq!(found.unwrap().actor, "browser-adapter");

    let cookies = format!("{cookie}; refreshTokenBound={bound}");
    let out = service.http().send(Method::POST, "/api/auth/logout", &[("cookie", &cookies)]).await;
    assert_eq!(out.status, 204);
    assert!(format!("{out:?}").contains("refreshTokenBound=;"), "{out:?}");
}

#[tokio::test]
async fn replicas_and_secrets_change_and_the_binding_holds() {
    const BEFORE: &str = "kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=";
    let first = offering().set("JWT_SECRET", BEFORE);
    let service = first.start().await;
    let device = Device::new(Algorithm::Es256);
    let (login, bound) = bind(&service, "alice", &device).await;
    let challenge = challenge_in(
        renew(&service, &login, &login.refresh_token, None).await.header(CHALLENGE).unwrap(),
    );
    let second = first
        .clone()
        .set("JWT_SECRET", "uT5xY8zA1bC4dE7fG0hI3jK6lM9nO2pQ5rS8tU1vW4x=")
        .set("JWT_SECRET_PREVIOUS", BEFORE);
    drop(service);
    let service = second.start().await;
    let answer = refresh(&service, &login.refresh_token, "", &[]).await;
    assert_eq!(answer.json()["reason"], "unbound");
    let proof = device.renewal(&challenge);
    let renewed = renew(&service, &login, &login.refresh_token, Some(&proof)).await;
    assert_ne!(binding(&renewed), bound);
    assert_eq!(refresh(&service, &login.refresh_token, &bound, &[]).await.status, 200);
}
