//! The example runs, and is what the guide and the README show.

use std::process::Command;

use http::StatusCode;
use token_authority_client::Issue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::service::{SECRET, Service, until};

const EXAMPLE: &str = include_str!("../../examples/backend.rs");

#[test]
fn the_guide_shows_the_example() {
    let folder = env!("CARGO_MANIFEST_DIR");
    let (_, code) = EXAMPLE.split_once("\n\n").unwrap();
    for page in ["../../docs/guides/protect-a-backend.md", "README.md"] {
        let text = std::fs::read_to_string(format!("{folder}/{page}")).unwrap();
        assert!(text.contains(&format!("```rust\n{code}```\n")), "{page} shows another example");
        assert_eq!(text.matches("```rust").count(), 1, "{page}: a snippet that nothing runs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_lets_a_user_in() {
    let service = Service::start(&[]).await;
    let issued = service.client().issue_tokens(Issue::for_user("alice")).await.unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    // Cargo puts the examples beside the tests.
    let tests = std::env::current_exe().unwrap();
    let example = tests.parent().unwrap().parent().unwrap().join("examples/backend");
    assert!(example.exists(), "{} is missing: cargo build --examples", example.display());
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(example).env_clear();
    command.env("LISTEN", &address).env("JWT_SECRET", SECRET);
    command.env("TOKEN_AUTHORITY_ADDRESS", &service.grpc);
    let mut child = command.spawn().unwrap();
    let ask = async |token: &str| -> Option<String> {
        let mut stream = tokio::net::TcpStream::connect(&address).await.ok()?;
        let head = "GET /me HTTP/1.1\r\nHost: backend\r\nConnection: close";
        let request = format!("{head}\r\nAuthorization: Bearer {token}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    };
    let is = async |token: &str, status: StatusCode| {
        let answer = ask(token).await.unwrap_or_default();
        answer.starts_with(&format!("HTTP/1.1 {}", status.as_str()))
    };
    until("alice is let in", async || is(&issued.access_token, StatusCode::OK).await).await;
    assert!(ask(&issued.access_token).await.unwrap().ends_with("alice"));
    assert!(is("garbage", StatusCode::UNAUTHORIZED).await);
    service.client().revoke(&issued.refresh_token).await.unwrap();
    until("not any more", async || is(&issued.access_token, StatusCode::UNAUTHORIZED).await).await;
    child.kill().unwrap();
    child.wait().unwrap();
}
