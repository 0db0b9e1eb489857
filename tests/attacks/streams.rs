//! Requests whose answers are not read.

use std::time::Duration;

use crate::frames::{Connection, End, request};
use crate::target::Target;

const WATCH: &str = "/grpc.health.v1.Health/Watch";
const CONNECTIONS: usize = 24;
const STREAMS: u32 = 1000;

/// Opens connections with many requests each, and reads nothing.
async fn open(address: std::net::SocketAddr, method: &str, path: &str) -> Vec<Connection> {
    let mut all = Vec::new();
    for _ in 0..CONNECTIONS {
        let Ok(mut connection) = Connection::open(address, 0).await else { continue };
        let requests: Vec<u8> =
            (0..STREAMS).flat_map(|n| request(2 * n + 1, method, path)).collect();
        connection.send(&requests).await;
        all.push(connection);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_answers_of_strangers_take_little_memory() {
    for (port, method, path) in [
        ("http", "GET", "/healthz"),
        ("http", "GET", "/.well-known/jwks.json"),
        ("http", "GET", "/nothing"),
        ("grpc", "POST", WATCH),
        ("grpc", "POST", "/token_authority.v1.TokenAuthorityService/ValidateToken"),
        ("grpc", "POST", "/nothing"),
    ] {
        let target = Target::start(&[("RATE_LIMIT_PER_CLIENT", "50/200")]).await;
        let honest = target.honest().await;
        let address =
            if port == "http" { target.service.http_addr() } else { target.service.grpc() };
        let (grown, connections) = target.growth(open(address, method, path)).await;
        // 24,000 answers of more than a KiB each would be more.
        assert!(grown < 20, "{path}: {grown} MiB for {} connections", connections.len());
        honest.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_does_not_read_its_answers_ends() {
    let target = Target::start(&[("REQUEST_TIMEOUT_SECONDS", "1")]).await;
    let mut unread = Connection::open(target.service.http_addr(), 0).await.unwrap();
    assert!(unread.send(&request(1, "GET", "/healthz")).await);
    let mut waiting = Connection::open(target.service.grpc(), 0).await.unwrap();
    assert!(waiting.send(&request(1, "POST", WATCH)).await);
    assert_eq!(unread.ended(Duration::from_secs(10)).await, End::Closed);
    assert!(waiting.drain().await, "a stream may last");
}
