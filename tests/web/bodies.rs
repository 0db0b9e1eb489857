//! Requests that are refused before their body was read: the client sees the answer, and the next
//! request on the connection is not mistaken for the rest of the body.

use std::io::{Read as _, Write as _};

use crate::raw;
use test_support::nginx::Nginx;
use test_support::replica::{Replica, Setup};
use test_support::tools;

const KIB: usize = 1024;

/// Requests that are refused early, with the expected status.
const REFUSED: [(&str, &str, &str, u16); 6] = [
    ("POST", "/oauth2/introspect", "", 401),
    ("POST", "/oauth2/introspect", "authorization: Bearer tak_wrong\r\n", 401),
    ("POST", "/api/auth/refresh", "origin: https://evil.example\r\n", 403),
    ("POST", "/nothing", "", 404),
    ("PUT", "/healthz", "", 405),
    ("POST", "/.well-known/jwks.json", "", 405),
];

/// Starts a service whose callers must authenticate.
async fn guarded() -> Replica {
    let setup = Setup::new();
    std::fs::write(setup.folder().join("callers.json"), r#"{"callers":[]}"#).unwrap();
    setup.set("CALLERS_FILE", "callers.json").start().await
}

fn head((method, path, headers, _): (&str, &str, &str, u16), length: usize) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: a\r\n{headers}content-length: {length}\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_body_is_read_and_the_connection_goes_on() {
    let service = guarded().await;
    for refused in REFUSED {
        let mut stream = raw::connect(service.http_addr());
        for length in [1, 8 * KIB, 60 * KIB] {
            stream.write_all(head(refused, length).as_bytes()).unwrap();
            // The body would be a request of its own if it were not read as a body.
            let body = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n".repeat(length / 30 + 1);
            stream.write_all(&body.as_bytes()[..length]).unwrap();
            let (status, head, _) = raw::read(&mut stream);
            assert_eq!(status, refused.3, "{refused:?}");
            assert!(!head.contains("connection: close"), "{refused:?} {length}: {head}");
        }
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        assert_eq!(raw::read(&mut stream).0, 200, "{refused:?}");
    }
    // The metrics' own listener behaves in the same way.
    let mut stream = raw::connect(service.metrics_addr());
    for _ in 0..2 {
        let request = head(("POST", "/metrics", "", 405), 8 * KIB);
        stream.write_all(request.as_bytes()).unwrap();
        stream.write_all(&vec![b'x'; 8 * KIB]).unwrap();
        assert_eq!(raw::read(&mut stream).0, 405);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_ends_the_connection_and_the_answer_says_so() {
    let service = guarded().await;
    for refused in REFUSED {
        let mut stream = raw::connect(service.http_addr());
        let length = 200 * KIB;
        stream.write_all(head(refused, length).as_bytes()).unwrap();
        stream.write_all(&vec![b'x'; length]).unwrap();
        let (status, head, _) = raw::read(&mut stream);
        assert_eq!(status, refused.3, "{refused:?}");
        assert!(head.contains("\r\nconnection: close\r\n"), "{refused:?}: {head}");
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_never_sent_keeps_no_answer_back() {
    let service = guarded().await;
    for refused in REFUSED {
        // The client waits for `100 Continue`, or has stopped in the middle.
        for (headers, sent) in [("expect: 100-continue\r\n", 0), ("", 100)] {
            let headers = format!("{}{headers}", refused.2);
            let mut stream = raw::connect(service.http_addr());
            let request = head((refused.0, refused.1, &headers, 0), KIB);
            stream.write_all(request.as_bytes()).unwrap();
            stream.write_all(&vec![b'x'; sent]).unwrap();
            let (status, head, _) = raw::read(&mut stream);
            assert_eq!(status, refused.3, "{refused:?}");
            assert!(head.contains("\r\nconnection: close\r\n"), "{refused:?}: {head}");
        }
    }
}

/// nginx passes refusals on unchanged, whatever the body's size, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn nginx_makes_no_502_of_a_refusal() {
    let service = guarded().await;
    let nginx = Nginx::before(service.http_addr(), "proxy_request_buffering off;");
    let folder = tempfile::tempdir().unwrap();
    for kib in [1, 64, 65, 300, 1000] {
        let body = folder.path().join("body");
        std::fs::write(&body, vec![b'x'; kib * KIB]).unwrap();
        let data = format!("@{}", body.display());
        let url = |path: &str| format!("http://{}{path}", nginx.address());
        let mut arguments = Vec::new();
        for _ in 0..40 {
            let one = [
                "-s",
                "-o",
                "/dev/null",
                "-H",
                "expect:",
                "--data-binary",
                &data,
                "-w",
                "%{http_code}\n",
            ];
            arguments.extend(one.map(str::to_owned));
            arguments.extend([url("/oauth2/introspect"), "--next".to_owned()]);
        }
        arguments.pop();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let told = tools::text(&tools::run("curl", &arguments).stdout);
        // curl sends a form, which is read first, because it may contain the caller's key.
        let expected = if kib > 64 { "413" } else { "401" };
        let others: Vec<_> = told.lines().filter(|status| *status != expected).collect();
        assert!(others.is_empty() && told.lines().count() == 40, "{kib} KiB: {others:?}");
    }
}
