//! Requests whose answers are not read.

use std::time::Duration;

use prost::Message as _;
use token_authority::transport::proto::v1::{ClientInfo, IssueTokensRequest, ListSessionsRequest};

use crate::frames::{Connection, End, call, request};
use crate::target::Target;

const WATCH: &str = "/grpc.health.v1.Health/Watch";
const LIST: &str = "/token_authority.v1.SessionService/ListSessions";
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
        // 128 requests of 8.5 KiB are open on each connection: 26 MiB. All of them would be 200 MiB.
        assert!(grown < 40, "{path}: {grown} MiB for {} connections", connections.len());
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

#[tokio::test(flavor = "multi_thread")]
async fn unread_answers_of_one_caller_are_bounded() {
    let target = Target::start(&[("MEMORY_LIMIT_MIB", "256")]).await;
    let honest = target.honest().await;
    let mut tokens = target.tokens().await;
    let client = ClientInfo { user_agent: "a".repeat(500), ..Default::default() };
    let login =
        IssueTokensRequest { user_id: "bob".into(), client: Some(client), ..Default::default() };
    for _ in 0..200 {
        tokens.issue_tokens(login.clone()).await.unwrap();
    }
    let list = ListSessionsRequest { user_id: "bob".into(), page_size: 200, ..Default::default() };
    let list = list.encode_to_vec();
    let attack = async {
        let mut all = Vec::new();
        for _ in 0..12 {
            let Ok(mut connection) = Connection::open(target.service.grpc(), 0).await else {
                continue;
            };
            for n in 0..100 {
                connection.send(&call(2 * n + 1, LIST, &target.key, &list)).await;
            }
            all.push(connection);
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        all
    };
    let (grown, connections) = target.growth(attack).await;
    // 1,200 answers of 120 KiB would be 140 MiB. A caller may hold 32 MiB.
    assert!(grown < 80, "{grown} MiB for {} connections", connections.len());
    drop(connections);
    honest.abort();
}
