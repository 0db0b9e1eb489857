//! Calls that are refused, again and again.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use serde_json::Value;
use token_authority::transport::proto::v1::ValidateTokenRequest;
use token_authority::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use tonic::Code;

use crate::frames::{Connection, DATA, END_STREAM, WINDOW_UPDATE, frame, request, unfinished};
use crate::target::{Target, key};
use test_support::until::until;

const CALLS: usize = 4000;

fn lines(target: &Target) -> Vec<Value> {
    target.service.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_calls_do_not_fill_the_log() {
    let target = Target::start(&[]).await;
    let honest = target.honest().await;
    let (mut limited, begun) = (0, Instant::now());
    let channel = target.connect().await;
    let calls = (0..CALLS).map(|n| {
        let wrong = key(&format!("tak_wrong{n}"));
        let mut client = TokenAuthorityServiceClient::with_interceptor(channel.clone(), wrong);
        async move { client.validate_token(ValidateTokenRequest::default()).await.unwrap_err() }
    });
    let calls: Vec<_> = calls.collect();
    let mut answers = std::pin::pin!(futures::stream::iter(calls).buffer_unordered(50));
    while let Some(status) = answers.next().await {
        match status.code() {
            Code::Unauthenticated => {}
            Code::ResourceExhausted => limited += 1,
            other => panic!("{other:?}: {status:?}"),
        }
    }
    assert!(limited > CALLS / 4, "{limited} of {CALLS} were limited");
    honest.end().await;
    let is_refusal =
        |line: &&Value| line["rpc"].is_string() && line["code"] != "Ok" && line["caller"].is_null();
    // Two outcomes, each with 50 lines at once and 10 a second.
    let most = 2 * (50 + 10 * (usize::try_from(begun.elapsed().as_secs()).unwrap() + 1));
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let all = lines(&target);
        let logged = all.iter().filter(is_refusal).count();
        assert!(logged <= most, "{logged} lines for {CALLS} refusals, not {most}");
        let counted: u64 = all.iter().filter_map(|line| line["refused"].as_u64()).sum();
        if usize::try_from(counted).unwrap() + logged == CALLS {
            assert!(logged >= 10 && counted > 0, "{logged} lines, {counted} counted");
            break;
        }
        assert!(Instant::now() < deadline, "{logged} lines and {counted} counted for {CALLS}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A server that resets a refused stream forgets it soon. It then takes the rest of the request for
/// an error of the client, and ends the connection at the 1,024th.
#[tokio::test(flavor = "multi_thread")]
async fn refused_requests_that_are_still_coming_in_do_not_end_the_connection() {
    let target = Target::start(&[]).await;
    for (address, path) in [
        (target.service.grpc(), "/token_authority.v1.TokenAuthorityService/ValidateToken"),
        (target.service.http_addr(), "/oauth2/introspect"),
    ] {
        let mut connection = Connection::open(address, 65_535).await.unwrap();
        let room = frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
        assert!(connection.send(&room).await);
        for group in 0..40 {
            let streams = (0..50).map(|n| 2 * (50 * group + n) + 1);
            let heads = streams.clone().flat_map(|stream| unfinished(stream, path, "tak_wrong"));
            assert!(connection.send(&heads.collect::<Vec<_>>()).await);
            let last = streams.clone().next_back().unwrap();
            until(format!("{path}: {group}"), async || {
                connection.is_answered(last).await.then_some(())
            })
            .await;
            let bodies = streams.flat_map(|stream| frame(DATA, END_STREAM, stream, b"rest"));
            assert!(connection.send(&bodies.collect::<Vec<_>>()).await, "{path}: group {group}");
        }
        assert!(!connection.has_goaway().await, "{path}");
        assert!(connection.send(&request(9001, "GET", "/nothing")).await);
        until(format!("{path}: answered"), async || {
            connection.is_answered(9001).await.then_some(())
        })
        .await;
    }
}
