//! "Remember me": a session's own lifetimes, and a cookie that the browser drops when it is closed.

use http::Method;
use prost_types::Duration;
use test_support::http::Answer;
use test_support::replica::{Replica, Setup};
use token_authority::transport::proto::v1::{
    IssueTokensRequest, IssueTokensResponse, RefreshAccessTokenRequest, RefreshAccessTokenResponse,
};

async fn log_in(service: &Replica, ask: IssueTokensRequest) -> IssueTokensResponse {
    let ask = IssueTokensRequest { user_id: "alice".into(), ..ask };
    service.tokens().issue_tokens(ask).await.unwrap().into_inner()
}

async fn refresh(service: &Replica, token: &str) -> Answer {
    let cookie = format!("refreshToken={token}");
    let headers = [("cookie", cookie.as_str())];
    service.http().send(Method::POST, "/api/auth/refresh", &headers).await
}

async fn by_rpc(service: &Replica, token: &str) -> RefreshAccessTokenResponse {
    let ask = RefreshAccessTokenRequest { refresh_token: token.into(), ..Default::default() };
    service.tokens().refresh_access_token(ask).await.unwrap().into_inner()
}

/// The cookie that an answer sets, and its token.
fn cookie(answer: &Answer) -> (String, String) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let cookie = answer.headers["set-cookie"].to_str().unwrap().to_owned();
    let token = cookie.split(['=', ';']).nth(1).unwrap().to_owned();
    (cookie, token)
}

fn seconds(duration: Option<Duration>) -> i64 {
    duration.unwrap().seconds
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_for_the_browser_s_session_stays_one_after_every_refresh() {
    // Each refresh rotates.
    let service = Setup::new().set("REFRESH_CONCURRENCY_WINDOW_SECONDS", "1").start().await;
    for persistent in [None, Some(true), Some(false)] {
        let login = log_in(&service, IssueTokensRequest { persistent, ..Default::default() }).await;
        let expected = persistent.unwrap_or(true);
        assert_eq!(login.persistent, Some(expected));
        let mut token = login.refresh_token;
        for _ in 0..3 {
            let (cookie, next) = cookie(&refresh(&service, &token).await);
            assert_eq!(cookie.contains("Max-Age="), expected, "{cookie}");
            assert!(!cookie.contains("Expires="), "{cookie}");
            assert_ne!(next, token);
            token = next;
            tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        }
        assert_eq!(by_rpc(&service, &token).await.persistent, Some(expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lives_as_long_as_its_login_asked() {
    let service = Setup::new().start().await;
    let life = |seconds| Some(Duration { seconds, nanos: 0 });
    let ask = |refresh_lifetime, max_lifetime| IssueTokensRequest {
        refresh_lifetime,
        max_lifetime,
        ..Default::default()
    };
    // The access token and the cookie end with the session, too.
    let login = log_in(&service, ask(life(600), None)).await;
    assert_eq!((seconds(login.refresh_expires_in), seconds(login.expires_in)), (600, 600));
    let (cookie, _) = cookie(&refresh(&service, &login.refresh_token).await);
    assert!(cookie.contains("Max-Age=600"), "{cookie}");

    // The refresh prolongs the life by its own lifetime, and never beyond the longest.
    let login = log_in(&service, ask(life(3600), life(3601))).await;
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let left = seconds(by_rpc(&service, &login.refresh_token).await.refresh_expires_in);
    assert!((3595..=3600).contains(&left), "{left}");

    let login = log_in(&service, ask(None, life(1))).await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let answer = refresh(&service, &login.refresh_token).await;
    assert_eq!((answer.status, &answer.json()["reason"]), (401, &"expired".into()), "{answer:?}");

    // The settings are the default.
    let login = log_in(&service, IssueTokensRequest::default()).await;
    assert_eq!(seconds(login.refresh_expires_in), 7 * 86_400);
}
