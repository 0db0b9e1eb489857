//! A real Next.js in front of the service, whose rewrites change `Host`.

use std::net::SocketAddr;

use http::Method;
use serde_json::{Value, json};
use test_support::http::Http;
use test_support::replica::{Replica, Setup};
use test_support::script::Script;
use test_support::tools;

use crate::tokens;

/// A running Next.js. It ends with the value.
struct Next {
    _program: Script,
    http: Http,
    origin: String,
}

impl Next {
    fn before(service: &Replica) -> Self {
        let mut program = Script::node(include_str!("../tools/next.mjs"));
        let authority = format!("http://{}", service.http_addr());
        let line = program.ask(&json!({ "authority": authority, "config": config() }).to_string());
        // The program has written why if it answers nothing.
        let told: Value = serde_json::from_str(&line).unwrap();
        let port = u16::try_from(told["port"].as_u64().unwrap()).unwrap();
        let http = Http::new(SocketAddr::from(([127, 0, 0, 1], port)));
        Self { _program: program, http, origin: format!("http://127.0.0.1:{port}") }
    }
}

/// Returns the configuration that the guide shows.
fn config() -> String {
    let page = tools::root().join("docs/guides/in-the-page.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("```js title=\"next.config.mjs\"\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn rewrites_of_next_js_keep_no_own_page_out() {
    let service = Setup::new().start().await;
    let Next { _program, http, origin } = Next::before(&service);
    let answer = http.get("/api/auth/get-session").await;
    assert_eq!(answer.json()["of"], "the auth-server", "other routes are the auth-server's");

    let login = tokens::issue(&service, "alice").await;
    let mut token = login.refresh_token;
    let same = ("sec-fetch-site", "same-origin");
    let own = ("origin", origin.as_str());
    // A page of today's browsers, one that hides its origin, and one of an older browser, which is
    // known by X-Forwarded-Host.
    for headers in [vec![same, own], vec![same, ("origin", "null")], vec![own]] {
        let cookie = format!("city=paris; refreshToken={token}");
        let headers = [headers, vec![("cookie", &*cookie)]].concat();
        let answer = http.send(Method::POST, "/api/auth/refresh", &headers).await;
        assert_eq!(answer.status, 200, "{headers:?}: {answer:?}");
        let access = answer.json()["accessToken"].as_str().unwrap().to_owned();
        let told = tokens::validate(&service, &access).await;
        assert_eq!((told.active, told.session_id.as_str()), (true, login.session_id.as_str()));
        token = answer.new_token().unwrap_or(token);
    }

    let evil = ("origin", "https://evil.example");
    for (foreign, named) in [
        (vec![evil, ("sec-fetch-site", "cross-site")], "https://evil.example"),
        (vec![evil], "https://evil.example"),
        (vec![own, ("sec-fetch-site", "cross-site")], origin.as_str()),
        (vec![("origin", "null"), ("sec-fetch-site", "same-site")], "null"),
    ] {
        for path in ["/api/auth/refresh", "/api/auth/logout"] {
            let cookie = format!("refreshToken={token}");
            let headers = [foreign.clone(), vec![("cookie", &*cookie)]].concat();
            let answer = http.send(Method::POST, path, &headers).await;
            assert_eq!(answer.status, 403, "{path} {headers:?}: {answer:?}");
            assert_eq!(answer.new_token(), None);
            let told = answer.json();
            assert_eq!(
                (&told["origin"], &told["setting"]),
                (&named.into(), &"ALLOWED_ORIGINS".into())
            );
            // Next.js has put the service's own address in place of the page's host.
            assert_eq!(told["host"], service.http_addr().to_string());
        }
    }

    let cookie = format!("refreshToken={token}");
    let answer =
        http.send(Method::POST, "/api/auth/refresh", &[same, own, ("cookie", &cookie)]).await;
    assert_eq!(answer.status, 200, "the refusals changed nothing: {answer:?}");
    let access = answer.json()["accessToken"].as_str().unwrap().to_owned();
    let cookie = format!("refreshToken={}", answer.new_token().unwrap_or(token));
    let headers = [same, own, ("cookie", &*cookie)];
    assert_eq!(http.send(Method::POST, "/api/auth/logout", &headers).await.status, 204);
    assert!(!tokens::validate(&service, &access).await.active);
    let over = http.send(Method::POST, "/api/auth/refresh", &headers).await;
    assert_eq!((over.status, &over.json()["reason"]), (401, &json!("revoked")));
}
