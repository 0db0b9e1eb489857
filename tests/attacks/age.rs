//! Connections that have reached their greatest age.

use std::time::{Duration, Instant};

use token_authority::transport::proto::v1::{
    IssueTokensRequest, ValidateTokenRequest, WatchRevocationsRequest,
};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::frames::{Connection, End};
use crate::target::Target;

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_at_its_age_and_no_call_fails() {
    let settings = [("GRPC_MAX_CONNECTION_AGE_SECONDS", "1"), ("REQUEST_TIMEOUT_SECONDS", "3")];
    let target = Target::start(&settings).await;
    let raw = Connection::open(target.service.grpc(), 65_535).await.unwrap();
    let mut tokens = target.tokens().await;
    let ask = IssueTokensRequest { user_id: "alice".into(), ..Default::default() };
    let token = tokens.issue_tokens(ask).await.unwrap().into_inner().access_token;
    let ask = ValidateTokenRequest { token, ..Default::default() };
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        let answer = tokens.validate_token(ask.clone()).await.unwrap();
        assert!(answer.into_inner().active);
    }
    // It answers no ping, so it is closed once its last requests must have ended.
    assert_eq!(raw.ended(Duration::from_secs(20)).await, End::Goaway(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_connection_and_is_resumed() {
    let target = Target::start(&[("GRPC_MAX_CONNECTION_AGE_SECONDS", "1")]).await;
    let mut sessions = target.sessions(&target.key).await;
    let mut ask = WatchRevocationsRequest::default();
    for _ in 0..2 {
        let mut stream = sessions.watch_revocations(ask.clone()).await.unwrap().into_inner();
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
