//! Origins that may use the cookie: behind proxies, without a referrer, from apps and from
//! previews. For a refused page, the operator finds the remedy.

use http::Method;

use crate::tokens;
use test_support::http::{Answer, Http};
use test_support::nginx::Nginx;
use test_support::replica::{Replica, Setup};

async fn post(http: &Http, path: &str, token: &str, headers: &[(&str, &str)]) -> Answer {
    let cookie = format!("refreshToken={token}");
    http.send(Method::POST, path, &[&[("cookie", cookie.as_str())], headers].concat()).await
}

async fn refreshes(service: &Replica, http: &Http, headers: &[(&str, &str)]) -> u16 {
    let token = tokens::issue(service, "alice").await.refresh_token;
    post(http, "/api/auth/refresh", &token, headers).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_hides_its_origin_is_still_its_own() {
    let service = Setup::new().start().await;
    let http = service.http();
    let same = ("sec-fetch-site", "same-origin");
    for origin in ["null", "https://app.example"] {
        assert_eq!(refreshes(&service, &http, &[("origin", origin), same]).await, 200);
        let login = tokens::issue(&service, "alice").await;
        let headers = [("origin", origin), same];
        let answer = post(&http, "/api/auth/logout", &login.refresh_token, &headers).await;
        assert_eq!(answer.status, 204);
        assert!(tokens::is_over(&service, &login).await, "{origin}");
        for site in ["same-site", "cross-site", "none"] {
            let headers = [("origin", origin), ("sec-fetch-site", site)];
            assert_eq!(refreshes(&service, &http, &headers).await, 403, "{origin} {site}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_rewrites_the_host_keeps_no_own_page_out() {
    let service = Setup::new().start().await;
    let page = |nginx: &Nginx| format!("http://127.0.0.1:{}", nginx.port());
    let host = "proxy_set_header Host $host:$server_port;";
    let forwarded = "proxy_set_header X-Forwarded-Host $http_host;";
    for (directives, knows_host) in [("", false), (host, true), (forwarded, true)] {
        let nginx = Nginx::before(service.http_addr(), directives);
        let (http, origin) = (Http::new(nginx.address()), page(&nginx));
        let own = [("origin", origin.as_str())];
        // A current browser states that the page has the same origin.
        let marked = [own[0], ("sec-fetch-site", "same-origin")];
        assert_eq!(refreshes(&service, &http, &marked).await, 200, "{directives}");
        let unmarked = if knows_host { 200 } else { 403 };
        assert_eq!(refreshes(&service, &http, &own).await, unmarked, "{directives}");
        let foreign = [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")];
        assert_eq!(refreshes(&service, &http, &foreign).await, 403, "{directives}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_page_is_told_everywhere_with_what_mends_it() {
    let service = Setup::new().start().await;
    let token = tokens::issue(&service, "alice").await.refresh_token;
    let http = service.http();
    let host = service.http_addr().to_string();
    for _ in 0..3 {
        let headers = [("origin", "https://app.example"), ("sec-fetch-site", "cross-site")];
        let answer = post(&http, "/api/auth/refresh", &token, &headers).await;
        assert_eq!(answer.status, 403);
        let told = answer.json();
        for part in ["https://app.example", &host, "ALLOWED_ORIGINS"] {
            assert!(told["error"].as_str().unwrap().contains(part), "{told}");
        }
        assert_eq!(
            (&told["origin"], &told["host"]),
            (&"https://app.example".into(), &host.as_str().into())
        );
        assert_eq!(told["setting"], "ALLOWED_ORIGINS");
    }
    let line =
        format!("refresh_origin_refused_total{{host=\"{host}\",origin=\"https://app.example\"}} 3");
    let metrics = service.metrics();
    assert!(metrics.contains(&line), "{metrics}");
    let logged = service.log().lines().any(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        line["origin"] == "https://app.example"
            && line["host"] == host.as_str()
            && line["setting"] == "ALLOWED_ORIGINS"
            && line["level"] == "WARN"
    });
    assert!(logged, "{}", service.log());
    assert!(tokens::is_good(&service, &token).await, "nothing was changed");
    // The doctor reads it from the metrics of the running service.
    let seen = Setup::new().set("METRICS_ADDR", &service.metrics_addr().to_string());
    let told = String::from_utf8(seen.run(&["doctor"]).stdout).unwrap();
    assert!(told.contains("https://app.example") && told.contains(&host), "{told}");
    // The number of series stays small, however many origins clients invent.
    for at in 0..40 {
        let origin = format!("https://a{at}.example");
        post(&http, "/api/auth/refresh", &token, &[("origin", &origin)]).await;
    }
    let metrics = service.metrics();
    let series = metrics.lines().filter(|line| line.starts_with("refresh_origin_refused_total{"));
    assert!(series.count() <= 17, "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_pages_and_their_libraries_get_through() {
    let origins =
        "HTTPS://App.example.com:443, https://*.preview.example.com, capacitor://localhost";
    let service = Setup::new().set("ALLOWED_ORIGINS", origins).start().await;
    let http = service.http();
    for origin in
        ["https://app.example.com", "https://pr-7.preview.example.com", "capacitor://localhost"]
    {
        let headers = [("origin", origin), ("sec-fetch-site", "cross-site")];
        assert_eq!(refreshes(&service, &http, &headers).await, 200, "{origin}");
        // Headers that Sentry, Datadog and others add cause a preflight.
        for wanted in [
            "sentry-trace,baggage",
            "x-datadog-origin,x-datadog-parent-id,x-datadog-sampling-priority,x-datadog-trace-id",
            "x-requested-with",
            "cache-control,pragma",
            "x-session-id,content-type",
        ] {
            let headers = [
                ("origin", origin),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", wanted),
            ];
            let answer = http.send(Method::OPTIONS, "/api/auth/refresh", &headers).await;
            assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
            assert_eq!(answer.header("access-control-allow-headers"), Some(wanted));
            assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        }
    }
    for origin in [
        "https://preview.example.com",
        "http://app.example.com",
        "https://pr-7.preview.example.com.evil.example",
        "tauri://localhost",
    ] {
        assert_eq!(refreshes(&service, &http, &[("origin", origin)]).await, 403, "{origin}");
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        let answer = http.send(Method::OPTIONS, "/api/auth/refresh", &headers).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
    }
}
