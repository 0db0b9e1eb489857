//! A user's own sessions over HTTP: as JSON and as a page, by cookie and by access token. Nobody sees
//! or ends a session of another user.

use http::Method;
use token_authority::transport::proto::v1::{
    ClientInfo, IssueTokensRequest, IssueTokensResponse, ListSessionsRequest,
};

use crate::tokens;
use test_support::http::{Answer, Http};
use test_support::replica::{Replica, Setup};

const SESSIONS: &str = "/api/auth/sessions";
const OTHERS: &str = "/api/auth/sessions/revoke-others";
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

async fn log_in(service: &Replica, user: &str, device_name: &str) -> IssueTokensResponse {
    let client = ClientInfo {
        user_agent: FIREFOX.into(),
        ip_address: "203.0.113.7".into(),
        device_name: device_name.into(),
    };
    let ask =
        IssueTokensRequest { user_id: user.into(), client: Some(client), ..Default::default() };
    service.tokens().issue_tokens(ask).await.unwrap().into_inner()
}

fn cookie(login: &IssueTokensResponse) -> String {
    format!("refreshToken={}", login.refresh_token)
}

fn bearer(login: &IssueTokensResponse) -> String {
    format!("Bearer {}", login.access_token)
}

fn revoke_path(login: &IssueTokensResponse) -> String {
    format!("{SESSIONS}/{}/revoke", login.session_id)
}

/// Returns the ids of the listed sessions, and the id of the current one.
fn listed(answer: &Answer) -> (Vec<String>, Option<String>) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    let sessions = body["sessions"].as_array().unwrap();
    let id = |session: &serde_json::Value| session["id"].as_str().unwrap().to_owned();
    let current = sessions.iter().find(|session| session["current"] == true).map(id);
    (sessions.iter().map(id).collect(), current)
}

async fn list(http: &Http, headers: &[(&str, &str)]) -> Answer {
    http.send(Method::GET, SESSIONS, headers).await
}

/// Returns the session as `ListSessions` shows it. `None`: it has ended.
async fn live(service: &Replica, login: &IssueTokensResponse) -> Option<String> {
    let ask = ListSessionsRequest { user_id: login.user_id.clone(), ..Default::default() };
    let sessions = service.sessions().list_sessions(ask).await.unwrap().into_inner().sessions;
    let session = sessions.into_iter().find(|session| session.session_id == login.session_id);
    session.map(|session| format!("{session:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_has_the_fields_of_the_contract() {
    let service = Setup::new().start().await;
    let (phone, laptop) =
        (log_in(&service, "alice", "").await, log_in(&service, "alice", "Work").await);
    log_in(&service, "bob", "").await;
    for credential in [("cookie", cookie(&laptop)), ("authorization", bearer(&laptop))] {
        let answer = list(&service.http(), &[(credential.0, &credential.1)]).await;
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("set-cookie"), None);
        let (ids, current) = listed(&answer);
        assert_eq!(ids, [laptop.session_id.as_str(), &phone.session_id]);
        assert_eq!(current.as_ref(), Some(&laptop.session_id));
        let body = answer.json();
        let session = body["sessions"][0].as_object().unwrap();
        let names: Vec<_> = session.keys().map(String::as_str).collect();
        let mut expected = [
            "id",
            "current",
            "createdAt",
            "lastUsedAt",
            "expiresAt",
            "userAgent",
            "ipAddress",
            "deviceName",
            "deviceBound",
        ];
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(session["userAgent"], FIREFOX);
        assert_eq!(
            (&session["ipAddress"], &session["deviceName"]),
            (&"203.0.113.7".into(), &"Work".into())
        );
        assert_eq!(session["deviceBound"], false);
        for time in ["createdAt", "lastUsedAt", "expiresAt"] {
            let text = session[time].as_str().unwrap();
            assert!(text.len() == 20 && text.ends_with('Z') && text.contains('T'), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_changes_nothing() {
    let service = Setup::new().set("REFRESH_CONCURRENCY_WINDOW_SECONDS", "0").start().await;
    let login = log_in(&service, "alice", "").await;
    let before = live(&service, &login).await.unwrap();
    for accept in ["*/*", BROWSER] {
        for _ in 0..3 {
            let answer =
                list(&service.http(), &[("cookie", &cookie(&login)), ("accept", accept)]).await;
            assert_eq!((answer.status, answer.header("set-cookie")), (200, None));
        }
    }
    assert_eq!(live(&service, &login).await.unwrap(), before);
    // A stolen copy of an older token shows nothing, and looking at it is no theft.
    let renewed = service.http().refresh(&login.refresh_token).await.new_token().unwrap();
    let renewed = service.http().refresh(&renewed).await.new_token().unwrap();
    let answer = list(&service.http(), &[("cookie", &cookie(&login))]).await;
    assert_eq!((answer.status, &answer.json()["reason"]), (401, &"reused".into()));
    let answer = post(&service, OTHERS, &[("cookie", &cookie(&login))]).await;
    assert_eq!(answer.status, 401);
    assert!(tokens::is_good(&service, &renewed).await);
}

async fn post(service: &Replica, path: &str, headers: &[(&str, &str)]) -> Answer {
    service.http().send(Method::POST, path, headers).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_live_session_nothing_is_shown() {
    let service = Setup::new().start().await;
    let (ended, other) = (log_in(&service, "alice", "").await, log_in(&service, "alice", "").await);
    tokens::revoke(&service, &ended.refresh_token).await;
    let forged = format!("{}x", &other.access_token);
    let junk = ("cookie", "refreshToken=junk".to_owned());
    for (credential, reason, challenge) in [
        (junk, "invalid", "Bearer"),
        (("cookie", cookie(&ended)), "revoked", "Bearer"),
        (("authorization", bearer(&ended)), "revoked", "Bearer error=\"invalid_token\""),
        (
            ("authorization", format!("Bearer {forged}")),
            "bad-signature",
            "Bearer error=\"invalid_token\"",
        ),
        (("authorization", "Bearer x".to_owned()), "malformed", "Bearer error=\"invalid_token\""),
        (("x-none", String::new()), "invalid", "Bearer"),
    ] {
        let headers = [(credential.0, credential.1.as_str())];
        for answer in [
            list(&service.http(), &headers).await,
            post(&service, OTHERS, &headers).await,
            post(&service, &revoke_path(&other), &headers).await,
        ] {
            assert_eq!(answer.status, 401, "{credential:?}");
            assert_eq!(answer.json()["reason"], reason, "{credential:?}");
            assert_eq!(answer.header("www-authenticate"), Some(challenge), "{credential:?}");
            assert_eq!(answer.header("set-cookie"), None);
        }
        let page = list(&service.http(), &[headers[0], ("accept", BROWSER)]).await;
        assert_eq!(page.status, 401);
        assert!(page.body.contains("You are signed out"), "{page:?}");
    }
    assert!(live(&service, &other).await.is_some());
    // An access token that is not active is not replaced by a cookie that is.
    let both = [("authorization", &*bearer(&ended)), ("cookie", &*cookie(&other))];
    assert_eq!(list(&service.http(), &both).await.status, 401);
    // A proxy's own scheme says nothing about the user.
    let staging = [("authorization", "Basic c3RhZ2luZzpzdGFnaW5n"), ("cookie", &*cookie(&other))];
    assert_eq!(list(&service.http(), &staging).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_own_sessions_can_be_ended() {
    let service = Setup::new().start().await;
    let bob = log_in(&service, "bob", "").await;
    for by_cookie in [true, false] {
        let here = log_in(&service, "alice", "").await;
        let (there, third) =
            (log_in(&service, "alice", "").await, log_in(&service, "alice", "").await);
        let credential =
            if by_cookie { ("cookie", cookie(&here)) } else { ("authorization", bearer(&here)) };
        let headers = [(credential.0, credential.1.as_str())];
        let unknown = [
            revoke_path(&bob),
            format!("{SESSIONS}/6f9619ff-8b86-4d01-b42d-00cf4fc964ff/revoke"),
            format!("{SESSIONS}/nonsense/revoke"),
            format!("{SESSIONS}/%00/revoke"),
        ];
        for path in unknown {
            let answer = post(&service, &path, &headers).await;
            assert_eq!((answer.status, answer.header("set-cookie")), (404, None), "{path}");
            let page = post(&service, &path, &[headers[0], ("accept", BROWSER)]).await;
            assert!(page.status == 404 && page.body.contains("no such session"), "{page:?}");
        }
        let answer = post(&service, &revoke_path(&there), &headers).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        assert!(!tokens::validate(&service, &there.access_token).await.active);
        // A form that is sent twice is no error.
        assert_eq!(post(&service, &revoke_path(&there), &headers).await.status, 204);
        assert_eq!(post(&service, OTHERS, &headers).await.status, 204);
        assert_eq!(
            (live(&service, &third).await, live(&service, &bob).await.is_some()),
            (None, true)
        );
        assert!(live(&service, &here).await.is_some());
        // The own session can be ended, too. Its cookie is useless then.
        let answer = post(&service, &revoke_path(&here), &headers).await;
        assert_eq!(answer.status, 204);
        let cleared = answer.header("set-cookie").map(|cookie| cookie.contains("Max-Age=0"));
        assert_eq!(cleared, by_cookie.then_some(true), "{answer:?}");
        assert_eq!(list(&service.http(), &headers).await.status, 401);
    }
    assert!(live(&service, &bob).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_leads_back_to_the_page() {
    let service = Setup::new().start().await;
    let here = log_in(&service, "alice", "").await;
    let form = ("content-type", "application/x-www-form-urlencoded");
    for (path, more, expected) in [
        (None, vec![form, ("accept", BROWSER)], 303),
        (None, vec![form], 303),
        (None, vec![form, ("accept", "application/json")], 204),
        (None, vec![("content-type", "application/json")], 204),
        (Some(OTHERS), vec![form, ("accept", BROWSER)], 303),
        (Some(OTHERS), vec![], 204),
    ] {
        let there = log_in(&service, "alice", "").await;
        let path = path.map_or_else(|| revoke_path(&there), str::to_owned);
        let own = cookie(&here);
        let headers: Vec<_> = [("cookie", own.as_str())].into_iter().chain(more).collect();
        let answer = post(&service, &path, &headers).await;
        assert_eq!(answer.status, expected, "{headers:?}");
        assert_eq!(answer.header("location"), (expected == 303).then_some(SESSIONS));
        assert_eq!(live(&service, &there).await, None, "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_is_refused() {
    let service = Setup::new().set("ALLOWED_ORIGINS", "https://app.example").start().await;
    let (here, there) = (log_in(&service, "alice", "").await, log_in(&service, "alice", "").await);
    let own = cookie(&here);
    let form = ("content-type", "application/x-www-form-urlencoded");
    for foreign in [
        vec![("origin", "https://evil.example")],
        vec![("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")],
        vec![("origin", "null"), ("sec-fetch-site", "same-site")],
        vec![("sec-fetch-site", "cross-site")],
    ] {
        for path in [revoke_path(&there), OTHERS.to_owned(), revoke_path(&here)] {
            for credential in [("cookie", own.as_str()), ("authorization", &*bearer(&here))] {
                let headers = [&foreign[..], &[credential, form]].concat();
                let answer = post(&service, &path, &headers).await;
                assert_eq!(
                    (answer.status, answer.header("set-cookie")),
                    (403, None),
                    "{headers:?}"
                );
                assert!(answer.body.contains("Another website"), "{answer:?}");
                assert_eq!(answer.header("access-control-allow-origin"), None);
            }
        }
        let has_origin = foreign[0].0 == "origin";
        let answer = list(&service.http(), &[&foreign[..], &[("cookie", &own)]].concat()).await;
        // A link from another site may lead to the page.
        assert_eq!(answer.status, if has_origin { 403 } else { 200 }, "{foreign:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    assert!(live(&service, &there).await.is_some() && live(&service, &here).await.is_some());
    let metrics = service.metrics();
    assert!(metrics.contains("refresh_origin_refused_total{"), "{metrics}");

    let allowed =
        [("origin", "https://app.example"), ("sec-fetch-site", "cross-site"), ("cookie", &*own)];
    let answer = list(&service.http(), &allowed).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(listed(&answer).0.len(), 2);
    assert_eq!(post(&service, OTHERS, &allowed).await.status, 204);
    let preflight = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization"),
    ];
    let answer = service.http().send(Method::OPTIONS, SESSIONS, &preflight).await;
    assert_eq!(answer.header("access-control-allow-headers"), Some("authorization"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_cookies_the_best_one_counts() {
    let service = Setup::new().start().await;
    let alice = log_in(&service, "alice", "").await;
    let mallory = log_in(&service, "mallory", "").await;
    let dead = log_in(&service, "alice", "").await;
    tokens::revoke(&service, &dead.refresh_token).await;
    let both = format!("{}; {}", cookie(&dead), cookie(&alice));
    let answer = list(&service.http(), &[("cookie", &both)]).await;
    assert_eq!(listed(&answer).1, Some(alice.session_id.clone()));
    let both = format!("{}; {}", cookie(&mallory), cookie(&alice));
    for (named, expected) in [(None, &mallory), (Some(&alice), &alice), (Some(&mallory), &mallory)]
    {
        let named = named.map(|login| ("x-session-id", login.session_id.as_str()));
        let headers: Vec<_> = [("cookie", both.as_str())].into_iter().chain(named).collect();
        let answer = list(&service.http(), &headers).await;
        assert_eq!(
            listed(&answer),
            (vec![expected.session_id.clone()], Some(expected.session_id.clone()))
        );
    }
    // A form ends the other sessions of the user whose page it is on, and of nobody else.
    let other = log_in(&service, "mallory", "").await;
    let form = [
        ("cookie", cookie(&mallory)),
        ("content-type", "application/x-www-form-urlencoded".to_owned()),
        ("accept", BROWSER.to_owned()),
    ];
    let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for (session, expected) in
        [(alice.session_id.as_str(), 409), ("nonsense", 409), (mallory.session_id.as_str(), 303)]
    {
        let body = format!("session={session}");
        let answer = service.http().exchange(Method::POST, OTHERS, &form, body).await.unwrap();
        assert_eq!(answer.status, expected, "{answer:?}");
        assert_eq!(live(&service, &other).await.is_none(), expected == 303);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_harmless_whatever_a_device_is_called() {
    let setup = Setup::new().set_all([
        ("PAGES_NAME", "Zoë & <Söhne>"),
        ("PAGES_BACK_URL", "https://app.example/account?a=1&b=2"),
        ("PAGES_ACCENT_COLOR", "#ffcc00"),
    ]);
    let service = setup.start().await;
    let names = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "</style><style>*{display:none}",
        "{{ 7 * 7 }} & ' ` ＜b＞",
    ];
    for name in names {
        log_in(&service, "alice", name).await;
    }
    let login = log_in(&service, "alice", "").await;
    let answer = list(&service.http(), &[("cookie", &cookie(&login)), ("accept", BROWSER)]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("vary", "accept"),
    ] {
        assert!(
            answer.header(name).is_some_and(|found| found.contains(value)),
            "{name}: {answer:?}"
        );
    }
    let policy = answer.header("content-security-policy").unwrap();
    let (before, after) = policy.split_once("'sha256-").unwrap();
    assert_eq!(before, "default-src 'none'; style-src ");
    let (_, after) = after.split_once('\'').unwrap();
    assert_eq!(after, "; form-action 'self'; frame-ancestors 'none'; base-uri 'none'");
    let html = &answer.body;
    for raw in ["<script", "<img", "</style><style>", "<Söhne>"] {
        assert!(!html.contains(raw), "{raw}: {html}");
    }
    assert_eq!(html.matches("<style>").count(), 1);
    for shown in [
        "&#60;script&#62;alert(1)&#60;/script&#62;",
        "Back to Zoë &#38; &#60;Söhne&#62;",
        "https://app.example/account?a=1&#38;b=2",
        "--accent:#ffcc00;--on-accent:#000000",
        "Firefox on Linux",
        "This device",
    ] {
        assert!(html.contains(shown), "{shown}: {html}");
    }
}
