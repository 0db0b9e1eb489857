//! A real Next.js before the service, whose rewrites change `Host`.

use std::net::SocketAddr;

use http::Method;
use serde_json::{Value, json};
use test_support::http::Http;
use test_support::replica::Setup;
use test_support::script::Script;

use crate::tokens;

#[tokio::test(flavor = "multi_thread")]
async fn rewrites_of_next_js_keep_no_own_page_out() {
    let service = Setup::new().start().await;
    let mut next = Script::node(include_str!("../tools/next.mjs"));
    let authority = format!("http://{}", service.http_addr());
    let line = next.ask(&json!({ "authority": authority }).to_string());
    // Next.js writes lines of its own before ours.
    let line = std::iter::successors(Some(line), |_| Some(next.receive()));
    let port = line.take(100).find_map(|line| {
        let told: Value = serde_json::from_str(&line).ok()?;
        told["port"].as_u64()
    });
    let port = u16::try_from(port.expect("Next.js serves")).unwrap();
    let http = Http::new(SocketAddr::from(([127, 0, 0, 1], port)));
    let own = format!("http://127.0.0.1:{port}");

    let login = tokens::issue(&service, "alice").await;
    let mut token = login.refresh_token;
    let site = ("sec-fetch-site", "same-origin");
    // With the browser's word; with the forwarded host of older browsers; hidden by the page.
    for headers in
        [vec![site, ("origin", &*own)], vec![("origin", &*own)], vec![site, ("origin", "null")]]
    {
        let cookie = format!("city=paris; refreshToken={token}");
        let headers = [headers, vec![("cookie", &*cookie)]].concat();
        let answer = http.send(Method::POST, "/api/auth/refresh", &headers).await;
        assert_eq!(answer.status, 200, "{headers:?}: {answer:?}");
        token = answer.new_token().unwrap_or(token);
    }
    for foreign in [
        vec![("origin", "https://evil.example")],
        vec![("sec-fetch-site", "cross-site"), ("origin", &*own)],
        vec![("sec-fetch-site", "same-site"), ("origin", "null")],
    ] {
        let cookie = format!("refreshToken={token}");
        let headers = [foreign, vec![("cookie", &*cookie)]].concat();
        let answer = http.send(Method::POST, "/api/auth/logout", &headers).await;
        assert_eq!(answer.status, 403, "{headers:?}: {answer:?}");
    }
    assert_eq!(http.logout(&token).await.status, 204);
    let over = service.http().refresh(&token).await;
    assert_eq!((over.status, &over.json()["reason"]), (401, &json!("revoked")));
}
