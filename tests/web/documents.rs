//! The public documents under every path where clients look for them, and variants of paths.

use http::Method;

use test_support::replica::{Replica, Setup};

#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_is_found_by_oauth_and_by_openid_connect_clients() {
    let setup = Setup::new().set("JWT_ISSUER", "https://auth.example.com/tenant");
    let service = setup.start().await;
    let mut documents = Vec::new();
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/tenant",
        "/.well-known/oauth-authorization-server/tenant/",
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/",
        "/.well-known/openid-configuration/tenant",
    ] {
        let answer = service.http().get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        documents.push(answer.json());
    }
    documents.dedup();
    let [document] = &documents[..] else { panic!("they differ: {documents:#?}") };
    assert_eq!(document["issuer"], "https://auth.example.com/tenant");
    assert_eq!(document["token_endpoint"], "https://auth.example.com/tenant/oauth2/token");
    assert_eq!(document["grant_types_supported"], serde_json::json!(["refresh_token"]));
    assert_eq!(document["token_endpoint_auth_methods_supported"], serde_json::json!(["none"]));
    for other in ["oauth-authorization-server/other", "openid-configuration/tenant/other"] {
        let path = format!("/.well-known/{other}");
        assert_eq!(service.http().get(&path).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slash_at_the_end_makes_no_difference() {
    let service = Setup::new().start().await;
    // Between two requests it could become ready.
    service.ready().await;
    for (method, path) in [
        (Method::GET, "/healthz"),
        (Method::GET, "/readyz"),
        (Method::GET, "/.well-known/jwks.json"),
        (Method::POST, "/api/auth/refresh"),
        (Method::POST, "/api/auth/logout"),
        (Method::POST, "/oauth2/introspect"),
        (Method::POST, "/oauth2/token"),
        (Method::PUT, "/healthz"),
    ] {
        let plain = service.http().send(method.clone(), path, &[]).await;
        let slashed = service.http().send(method.clone(), &format!("{path}/"), &[]).await;
        assert_ne!(plain.status, 404, "{method} {path}");
        assert_eq!((plain.status, plain.body), (slashed.status, slashed.body), "{method} {path}");
    }
    for path in ["/healthz//", "//healthz", "/health", "/api/auth/", "//"] {
        assert_eq!(service.http().get(path).await.status, 404, "{path}");
    }
}

/// The log and the metrics contain the route's own name, however the path was written.
#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_known_by_its_entry_in_the_table() {
    let setup = Setup::new().set("JWT_ISSUER", "https://auth.example.com/tenant");
    // Successful probes are logged at DEBUG.
    let service = setup.set("LOG_LEVEL", "debug").start().await;
    let of_path = "/.well-known/oauth-authorization-server/{*path}";
    for (path, route) in [
        ("/.well-known/oauth-authorization-server/tenant", of_path),
        ("/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server"),
        ("/healthz/", "/healthz"),
        ("/nothing/tar_secret", "/unknown"),
    ] {
        service.http().get(path).await;
        logged(&service, &format!("GET {route}")).await;
    }
    let metrics = service.metrics();
    let counted = |route: &str| {
        let label = format!("http_route=\"{route}\"");
        metrics.lines().any(|line| {
            line.starts_with("http_server_request_duration_seconds_count") && line.contains(&label)
        })
    };
    for route in [of_path, "/healthz", "other"] {
        assert!(counted(route), "{route}: {metrics}");
    }
    assert!(!service.log().contains("tar_secret") && !metrics.contains("tar_secret"));
}

/// Waits until a request is in the log.
async fn logged(service: &Replica, request: &str) {
    let line = format!("\"request\":\"{request}\"");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !service.log().contains(&line) {
        assert!(std::time::Instant::now() < deadline, "no {line} in {}", service.log());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
