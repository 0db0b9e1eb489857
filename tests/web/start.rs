//! `GET /`: the start page for a browser on a developer's own machine, and one line for everybody else.

use std::time::Duration;

use http::Method;

use test_support::http::Answer;
use test_support::replica::{Replica, Setup};

const LIFE: &str = "/api/auth/start";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const LOG_IN: &str = "step=login&user=alice";

async fn step(service: &Replica, body: &str, headers: &[(&str, &str)]) -> Answer {
    let headers = [&[FORM], headers].concat();
    service.http().exchange(Method::POST, LIFE, &headers, body.to_owned()).await.unwrap()
}

/// Returns the cookies that an answer sets.
fn cookies(answer: &Answer) -> String {
    let set = answer.headers.get_all("set-cookie").iter();
    let pairs = set.filter_map(|cookie| cookie.to_str().unwrap().split(';').next());
    pairs.filter(|pair| !pair.ends_with('=')).collect::<Vec<_>>().join("; ")
}

/// Takes a step, and returns the name of its outcome, with the cookies.
async fn outcome(service: &Replica, body: &str, jar: &str) -> (String, String) {
    let answer = step(service, body, &[("cookie", jar)]).await;
    assert_eq!(answer.status, 303, "{body}: {answer:?}");
    let said = answer.header("location").unwrap().strip_prefix("/api/auth/start?said=").unwrap();
    (said.to_owned(), cookies(&answer))
}

async fn shown(service: &Replica, query: &str, jar: &str) -> String {
    let path = format!("{LIFE}{query}");
    let answer = service.http().send(Method::GET, &path, &[("cookie", jar)]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// Nothing of the start page is there for a request with these headers.
async fn is_one_line(service: &Replica, headers: &[(&str, &str)], status: u16) {
    let answer = service.http().send(Method::GET, "/", headers).await;
    assert_eq!((answer.status, answer.body.lines().count()), (200, 1), "{headers:?}: {answer:?}");
    assert!(answer.body.starts_with("token-authority: "), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    let read = service.http().send(Method::GET, LIFE, headers).await;
    for answer in [read, step(service, LOG_IN, headers).await] {
        assert_eq!(
            (answer.status, answer.header("set-cookie")),
            (status, None),
            "{headers:?}: {answer:?}"
        );
        assert!(!answer.body.contains("refresh token"), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_start_page_is_for_a_developer_s_own_machine() {
    let service = Setup::new().start().await;
    let answer = service.http().get("/").await;
    assert!(answer.status == 200 && answer.body.contains("exists only in development"));
    let policy = answer.header("content-security-policy").unwrap();
    for part in ["default-src 'none'; style-src 'sha256-", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    let printed = format!("Start page: http://localhost:{}/", service.http_addr().port());
    assert!(service.out().contains(&printed), "{}", service.out());

    let callers = Setup::new().set("CALLERS_FILE", "callers.json");
    callers.succeed(&["callers", "add", "a", "--role", "issuer"]);
    is_one_line(&callers.start().await, &[], 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn production_says_in_one_line_what_this_is() {
    let setup = Setup::new().set_all([
        ("ENVIRONMENT", "production"),
        ("TLS", "off"),
        ("CALLERS_FILE", "callers.json"),
        ("JWT_SECRET", "kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr="),
    ]);
    setup.succeed(&["callers", "add", "a", "--role", "issuer"]);
    setup.succeed(&["migrate"]);
    is_one_line(&setup.start().await, &[], 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_another_host_or_by_a_proxy_is_not_answered() {
    let service = Setup::new().start().await;
    for header in [
        // The name of a foreign page that leads to this machine.
        ("host", "rebound.example:8080"),
        ("host", "localhost.evil.example"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-host", "tunnel.example"),
        ("forwarded", "for=203.0.113.7"),
    ] {
        is_one_line(&service, &[header], 404).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_reads_nothing_and_takes_no_step() {
    // Not even an origin that may refresh.
    let service = Setup::new().set("ALLOWED_ORIGINS", "https://app.example").start().await;
    for headers in [
        vec![("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")],
        vec![("origin", "https://app.example"), ("sec-fetch-site", "cross-site")],
        vec![("origin", "https://app.example")],
        vec![("origin", "http://localhost:3000"), ("sec-fetch-site", "same-site")],
        vec![("origin", "null"), ("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")],
        vec![("sec-fetch-site", "same-site")],
    ] {
        is_one_line(&service, &headers, 403).await;
    }
    // A link, for example in README, may lead to the start page. It does not lead to the tokens.
    let link = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ];
    let answer = service.http().send(Method::GET, "/", &link).await;
    assert!(answer.body.contains("exists only in development"), "{answer:?}");
    assert_eq!(service.http().send(Method::GET, LIFE, &link).await.status, 403);
    assert_eq!(step(&service, LOG_IN, &link).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_four_steps_exist() {
    let service = Setup::new().start().await;
    for body in ["", "step=", "step=dance", "step=login&step=login"] {
        assert_eq!(step(&service, body, &[]).await.status, 400, "{body}");
    }
    let json = [("content-type", "application/json")];
    let answer = service.http().exchange(Method::POST, LIFE, &json, "{}").await.unwrap();
    assert_eq!(answer.status, 415);
    let long = format!("step=login&user={}", "x".repeat(256));
    for nobody in [&long, "step=login", "step=login&user=", "step=login&user=%00"] {
        let (said, jar) = outcome(&service, nobody, "").await;
        assert_eq!((said.as_str(), jar.as_str()), ("no-user", ""), "{nobody}");
    }
    for (body, said) in
        [("step=refresh", "over"), ("step=copy", "over"), ("step=thief", "thief-late")]
    {
        assert_eq!(outcome(&service, body, "").await, (said.to_owned(), String::new()));
    }
    let page = shown(&service, "?said=no-user", "").await;
    assert!(page.contains("Nobody was logged in") && page.contains("no refresh cookie"), "{page}");
    let page = shown(&service, "?said=%3Cscript%3E", "").await;
    assert!(!page.contains("<script"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_is_served_at_first_because_an_answer_may_have_been_lost() {
    let service = Setup::new().start().await;
    let (said, jar) = outcome(&service, "step=login&user=zo%C3%AB", "").await;
    assert_eq!(said, "logged-in");
    let page = shown(&service, "?said=logged-in", &jar).await;
    for part in ["&#34;sub&#34;: &#34;zoë&#34;", "<dd>active</dd>", "<dd>live</dd>", "<dd>0</dd>"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    let token = jar.split("refreshToken=").nth(1).unwrap().split(';').next().unwrap();
    assert!(!page.contains(token), "the page shows the whole refresh token");

    let (said, copy) = outcome(&service, "step=copy", &jar).await;
    assert_eq!(said, "copied");
    let (said, refreshed) = outcome(&service, "step=refresh", &jar).await;
    assert_eq!(said, "refreshed");
    let (said, _) = outcome(&service, "step=thief", &copy).await;
    assert_eq!(said, "thief-served");
    let page = shown(&service, "?said=thief-served", &refreshed).await;
    assert!(page.contains("wait 30 seconds"), "{page}");
    assert_eq!(outcome(&service, "step=refresh", &refreshed).await.0, "unchanged");
}

/// The steps that the page tells, with its waits.
#[tokio::test(flavor = "multi_thread")]
async fn the_theft_is_found_as_the_page_says() {
    let service = Setup::new().set("REFRESH_CONCURRENCY_WINDOW_SECONDS", "1").start().await;
    let wait = || tokio::time::sleep(Duration::from_millis(1100));
    for served_before in [false, true] {
        let (_, first) = outcome(&service, LOG_IN, "").await;
        let (_, copy) = outcome(&service, "step=copy", &first).await;
        let page = shown(&service, "?said=copied", &[&*first, &*copy].join("; ")).await;
        let told = "refresh, wait 1 seconds, refresh again, wait 1 seconds. Then use the copy";
        assert!(page.contains(told), "{page}");
        let (_, second) = outcome(&service, "step=refresh", &first).await;
        let mut copy = copy;
        if served_before {
            let (said, kept) = outcome(&service, "step=thief", &copy).await;
            assert_eq!(said, "thief-served");
            copy = if kept.is_empty() { copy } else { kept };
        }
        wait().await;
        let (said, third) = outcome(&service, "step=refresh", &second).await;
        assert_eq!(said, "refreshed");
        wait().await;
        assert_eq!(outcome(&service, "step=thief", &copy).await.0, "thief-found");
        assert_eq!(outcome(&service, "step=refresh", &third).await.0, "over");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_theft_is_found_from_either_side() {
    let service = Setup::new().set("REFRESH_CONCURRENCY_WINDOW_SECONDS", "0").start().await;
    for thief_comes_last in [true, false] {
        let (_, first) = outcome(&service, LOG_IN, "").await;
        let (_, copy) = outcome(&service, "step=copy", &first).await;
        let (_, second) = outcome(&service, "step=refresh", &first).await;
        let (said, third) = outcome(&service, "step=refresh", &second).await;
        assert_eq!(said, "refreshed");
        if thief_comes_last {
            assert_eq!(outcome(&service, "step=thief", &copy).await.0, "thief-found");
        } else {
            assert_eq!(outcome(&service, "step=refresh", &first).await.0, "reused");
        }
        assert_eq!(outcome(&service, "step=thief", &copy).await.0, "thief-late");
        let page = shown(&service, "?said=thief-found", &third).await;
        for part in ["not active: INACTIVE_REASON_REVOKED", "refused: the session is over"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert_eq!(outcome(&service, "step=refresh", &third).await.0, "over");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_token_is_shown_whole() {
    let service = Setup::new().set("JWT_AUTH_ENABLED", "false").start().await;
    let (_, jar) = outcome(&service, LOG_IN, "").await;
    let page = shown(&service, "", &jar).await;
    assert!(page.contains("only this service can tell what it means"), "{page}");
    assert!(page.contains("<dd>active</dd>") && !page.contains("<dt>Claims</dt>"), "{page}");
}
