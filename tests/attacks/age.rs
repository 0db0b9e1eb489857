//! Connections that have reached their maximum age.

use std::time::{Duration, Instant};

use token_authority::transport::proto::v1::WatchRevocationsRequest;
use token_authority_client::{Client, Issue, Target as Address, was_never_sent};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::frames::{ACK, Connection, End, PING, frame, request};
use crate::target::Target;

const CHECK: &str = "/grpc.health.v1.Health/Check";

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_at_its_age_and_no_call_fails() {
    let settings = [("GRPC_MAX_CONNECTION_AGE_SECONDS", "1"), ("REQUEST_TIMEOUT_SECONDS", "3")];
    let target = Target::start(&settings).await;
    let raw = Connection::open(target.service.grpc(), 65_535).await.unwrap();
    let address = target.service.grpc().to_string();
    let client = Client::new(&Address::new(&address).unwrap().api_key(&target.key).unwrap());
    let token = client.issue_tokens(Issue::for_user("alice")).await.unwrap().access_token;
    let until = Instant::now() + Duration::from_secs(6);
    let calls = (0..8).map(|_| async {
        while Instant::now() < until {
            client.validate(&token, None).await.unwrap().unwrap();
        }
    });
    futures::future::join_all(calls).await;
    // It answers no ping, so it is closed once its last requests must have ended.
    assert_eq!(raw.ended(Duration::from_secs(20)).await, End::Goaway(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_crosses_goaway_is_answered() {
    let target = Target::start(&[("GRPC_MAX_CONNECTION_AGE_SECONDS", "1")]).await;
    let mut raw = Connection::open(target.service.grpc(), 65_535).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !raw.has_goaway().await {
        assert!(Instant::now() < deadline, "the connection goes on");
    }
    // The first GOAWAY announces the end, and names no last stream yet (RFC 9113 section 6.8).
    assert_eq!(raw.last_stream(), Some(0x7fff_ffff));
    assert!(raw.send(&request(1, "POST", CHECK)).await);
    while !raw.is_answered(1).await {
        assert!(Instant::now() < deadline, "the request is lost");
    }
    // The answer to the ping says that the client has read GOAWAY.
    for ping in raw.pings() {
        assert!(raw.send(&frame(PING, ACK, 0, &ping)).await);
    }
    while raw.drain().await {
        assert!(Instant::now() < deadline, "the connection goes on");
    }
    assert_eq!(raw.last_stream(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_connection_and_is_resumed() {
    let target = Target::start(&[("GRPC_MAX_CONNECTION_AGE_SECONDS", "1")]).await;
    let mut sessions = target.sessions(&target.key).await;
    let mut ask = WatchRevocationsRequest::default();
    for _ in 0..2 {
        let mut stream = loop {
            match sessions.watch_revocations(ask.clone()).await {
                Ok(answer) => break answer.into_inner(),
                // The connection ended after this client had chosen it.
                Err(status) if was_never_sent(&status) => {}
                Err(status) => panic!("{status:?}"),
            }
        };
        let status = loop {
            match stream.message().await {
                Ok(Some(message)) => ask.cursor = message.cursor,
                Ok(None) => panic!("a stream ends with a reason"),
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(status.get_error_details().retry_info().is_some());
        assert!(!ask.cursor.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_age_connections_stay() {
    let target = Target::start(&[("GRPC_MAX_CONNECTION_AGE_SECONDS", "0")]).await;
    let mut raw = Connection::open(target.service.grpc(), 65_535).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(raw.drain().await);
}
