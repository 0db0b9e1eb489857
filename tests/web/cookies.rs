//! The refresh cookie among others: cookies with arbitrary bytes, several copies, other users'
//! cookies, and the attributes with which it is set and cleared.

use http::Method;
use token_authority::transport::proto::v1::IssueTokensResponse;

use crate::raw;
use crate::tokens;
use test_support::http::{Answer, Http};
use test_support::replica::{Replica, Setup};

const REFRESH: &str = "/api/auth/refresh";
const LOGOUT: &str = "/api/auth/logout";

async fn post(http: &Http, path: &str, cookies: &str, more: &[(&str, &str)]) -> Answer {
    let headers = [&[("cookie", cookies)], more].concat();
    http.send(Method::POST, path, &headers).await
}

/// Posts with a `Cookie` header of any bytes. Returns the status, and the rest of the head in lower
/// case.
fn post_bytes(service: &Replica, path: &str, cookies: &[u8]) -> (u16, String) {
    let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncookie: ");
    let request = [head.as_bytes(), cookies, b"\r\n\r\n"].concat();
    raw::exchange(service.http_addr(), &request)
}

fn set_cookies(answer: &Answer) -> Vec<String> {
    let all = answer.headers.get_all("set-cookie").iter();
    all.map(|cookie| cookie.to_str().unwrap().to_owned()).collect()
}

async fn log_in<const N: usize>(service: &Replica, users: [&str; N]) -> Vec<IssueTokensResponse> {
    let mut logins = Vec::new();
    for user in users {
        logins.push(tokens::issue(service, user).await);
    }
    logins
}

fn cookies(logins: &[&IssueTokensResponse]) -> String {
    let pair = |login: &&IssueTokensResponse| format!("refreshToken={}", login.refresh_token);
    logins.iter().map(pair).collect::<Vec<_>>().join("; ")
}

/// Returns the session of the access token in an answer.
async fn session_of(service: &Replica, answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    let token = answer.json()["accessToken"].as_str().unwrap().to_owned();
    tokens::validate(service, &token).await.session_id
}

const NEIGHBOURS: [&[u8]; 6] = [
    "city=Århus".as_bytes(),
    b"city=\xc5rhus",
    "mood=🍪".as_bytes(),
    b"x=\x80",
    b"q=\"a b\xff\"",
    b"\xff\xfe",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_s_bytes_keep_nobody_out_and_nobody_in() {
    let service = Setup::new().start().await;
    for neighbour in NEIGHBOURS {
        for is_first in [true, false] {
            let login = log_in(&service, ["alice"]).await.remove(0);
            let line = |token: &str| {
                let own = format!("refreshToken={token}").into_bytes();
                let parts = if is_first { [neighbour, &own] } else { [&own, neighbour] };
                parts.join(&b"; "[..])
            };
            let (status, head) = post_bytes(&service, REFRESH, &line(&login.refresh_token));
            assert_eq!(status, 200, "{neighbour:?}");
            let token = head.split("set-cookie: refreshtoken=").nth(1).unwrap();
            assert!(token.starts_with("tar_"), "{head}");
            let (status, _) = post_bytes(&service, LOGOUT, &line(&login.refresh_token));
            assert_eq!(status, 204, "{neighbour:?}");
            assert!(tokens::is_over(&service, &login).await, "{neighbour:?}");
        }
    }
    // The session of such a cookie is unknown, so a logout is not a success.
    for own in [&b"refreshToken=\xff\xfe"[..], "refreshToken=tår_x".as_bytes()] {
        assert_eq!(post_bytes(&service, LOGOUT, own).0, 400, "{own:?}");
        assert_eq!(post_bytes(&service, REFRESH, own).0, 401, "{own:?}");
    }
    assert_eq!(post_bytes(&service, LOGOUT, "city=Århus".as_bytes()).0, 204, "nobody is logged in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_hides_none_that_lives() {
    let service = Setup::new().start().await;
    let http = service.http();
    for dead_first in [true, false] {
        let logins = log_in(&service, ["alice", "alice"]).await;
        let (live, dead) = (&logins[0], &logins[1]);
        tokens::revoke(&service, &dead.refresh_token).await;
        let both = if dead_first { [dead, live] } else { [live, dead] };
        let answer = post(&http, REFRESH, &cookies(&both), &[("host", "app.example.com")]).await;
        assert_eq!(session_of(&service, &answer).await, live.session_id);
        // The dead copy is cleared at all other places, and the live one is set at its own place.
        let set = set_cookies(&answer);
        assert!(set[0].starts_with("refreshToken=tar_"), "{set:?}");
        for place in ["Path=/; ", "Domain=app.example.com", "Domain=example.com", "Partitioned"] {
            let clears = |cookie: &String| {
                cookie.starts_with("refreshToken=;") && format!("{cookie}; ").contains(place)
            };
            assert!(set.iter().any(clears), "{place}: {set:?}");
        }
        assert!(set[1..].iter().all(|cookie| cookie.starts_with("refreshToken=;")), "{set:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_in_the_same_request_raises_no_theft() {
    let setup = Setup::new().set("REFRESH_CONCURRENCY_WINDOW_SECONDS", "0");
    let service = setup.start().await;
    let http = service.http();
    let login = log_in(&service, ["alice"]).await.remove(0);
    let mut copies = vec![login.refresh_token.clone()];
    for _ in 0..3 {
        let answer = http.refresh(copies.last().unwrap()).await;
        let access = answer.json()["accessToken"].as_str().unwrap().to_owned();
        copies.push(answer.new_token().expect("a successor"));
        // The new token was received, so its predecessor has become useless.
        assert!(tokens::validate(&service, &access).await.active);
    }
    let line = |copies: &[String], order: &[usize]| {
        let pairs = order.iter().map(|at| format!("refreshToken={}", copies[*at]));
        pairs.collect::<Vec<_>>().join("; ")
    };
    for order in [&[0, 3][..], &[3, 0], &[2, 3], &[0, 1, 2, 3], &[1, 1, 3]] {
        let answer = post(&http, REFRESH, &line(&copies, order), &[]).await;
        assert_eq!(session_of(&service, &answer).await, login.session_id, "{order:?}");
        copies[3] = answer.new_token().expect("a successor");
    }
    // Alone, it counts as a theft.
    let answer = http.refresh(&copies[0]).await;
    assert_eq!((answer.status, &answer.json()["reason"]), (401, &"reused".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_installation_s_cookie_is_neither_used_nor_cleared() {
    let (service, other) = (Setup::new().start().await, Setup::new().start().await);
    let own = log_in(&service, ["alice"]).await.remove(0);
    let foreign = log_in(&other, ["alice"]).await.remove(0);
    let host = [("host", "app.example.com")];
    let answer = post(&service.http(), REFRESH, &cookies(&[&foreign, &own]), &host).await;
    assert_eq!(session_of(&service, &answer).await, own.session_id);
    assert_eq!(set_cookies(&answer).len(), 1, "{answer:?}");
    let own = answer.new_token().unwrap();
    let both = format!("{}; refreshToken={own}", cookies(&[&foreign]));
    let answer = post(&service.http(), LOGOUT, &both, &host).await;
    assert_eq!((answer.status, set_cookies(&answer).len()), (204, 1), "{answer:?}");
    assert!(tokens::is_good(&other, &foreign.refresh_token).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_different_users_the_page_picks_and_the_operator_is_told() {
    let service = Setup::new().start().await;
    let http = service.http();
    let logins = log_in(&service, ["alice", "mallory"]).await;
    let (own, tossed) = (&logins[0], &logins[1]);
    let both = cookies(&[tossed, own]);
    let named = |id: &str| vec![("x-session-id".to_owned(), id.to_owned())];
    for (headers, expected) in [
        (vec![], &tossed.session_id),
        (named(&own.session_id), &own.session_id),
        (named(&tossed.session_id), &tossed.session_id),
        (named("6f9619ff-8b86-4d01-b42d-00cf4fc964ff"), &tossed.session_id),
        (named("no id"), &tossed.session_id),
    ] {
        let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let answer = post(&http, REFRESH, &both, &headers).await;
        assert_eq!(&session_of(&service, &answer).await, expected, "{headers:?}");
    }
    let metrics = service.metrics();
    assert!(metrics.contains("\nrefresh_cookie_users_mixed_total 5\n"), "{metrics}");
    assert!(service.log().contains("refresh cookies of different users"));
    // A page whose session has ended learns that, and does not act as another user.
    tokens::revoke(&service, &own.refresh_token).await;
    let answer = post(&http, REFRESH, &both, &[("x-session-id", &own.session_id)]).await;
    assert_eq!((answer.status, &answer.json()["reason"]), (401, &"revoked".into()));
    assert_eq!(set_cookies(&answer), [""; 0], "the other session lives");
    let answer = post(&http, REFRESH, &both, &[]).await;
    assert_eq!(session_of(&service, &answer).await, tossed.session_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_rotation_the_cookie_lives_as_long_as_its_session() {
    let service = Setup::new().set("REFRESH_TOKEN_ROTATION", "false").start().await;
    let login = log_in(&service, ["alice"]).await.remove(0);
    for _ in 0..3 {
        let answer = service.http().refresh(&login.refresh_token).await;
        let set = set_cookies(&answer);
        let expected = format!(
            "refreshToken={}; HttpOnly; Secure; SameSite=Lax; Path=/api/auth; Max-Age=604800",
            login.refresh_token
        );
        assert_eq!(set, [expected]);
    }
    // With rotation, a young token is not set again, because it could replace its own successor.
    let service = Setup::new().start().await;
    let login = log_in(&service, ["alice"]).await.remove(0);
    let token = service.http().refresh(&login.refresh_token).await.new_token().unwrap();
    assert_eq!(set_cookies(&service.http().refresh(&token).await), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_has_the_attributes_that_were_asked_for() {
    let wide = [
        ("COOKIE_DOMAIN", "example.com"),
        ("COOKIE_SAME_SITE", "none"),
        ("COOKIE_PARTITIONED", "true"),
    ];
    let bound = [("REFRESH_COOKIE_NAME", "__Host-refresh"), ("COOKIE_SAME_SITE", "strict")];
    let week = "; HttpOnly; Secure; SameSite";
    for (settings, name, attributes, cleared) in [
        (
            &wide[..],
            "refreshToken",
            format!("{week}=None; Path=/api/auth; Max-Age=604800; Domain=example.com; Partitioned"),
            vec!["Path=/api/auth; Max-Age=0", "Path=/api/auth; Max-Age=0; Domain=example.com"],
        ),
        (
            &bound[..],
            "__Host-refresh",
            format!("{week}=Strict; Path=/; Max-Age=604800"),
            vec!["Path=/; Max-Age=0", "Path=/; Max-Age=0; Partitioned"],
        ),
    ] {
        let setup = settings.iter().fold(Setup::new(), |setup, (n, v)| setup.set(n, v));
        let service = setup.start().await;
        let login = log_in(&service, ["alice"]).await.remove(0);
        let cookie = format!("{name}={}", login.refresh_token);
        let answer = post(&service.http(), REFRESH, &cookie, &[]).await;
        let set = set_cookies(&answer);
        assert!(set.len() == 1 && set[0].ends_with(&attributes), "{set:?}");
        let answer = post(&service.http(), LOGOUT, &cookie, &[]).await;
        assert_eq!(answer.status, 204);
        let set = set_cookies(&answer);
        for place in cleared {
            assert!(set.iter().any(|cookie| cookie.ends_with(place)), "{place}: {set:?}");
        }
        assert!(set.iter().all(|cookie| cookie.contains("Max-Age=0")), "{set:?}");
    }
}
