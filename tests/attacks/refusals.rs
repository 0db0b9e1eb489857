//! Calls that are refused, again and again.

use std::time::{Duration, Instant};

use serde_json::Value;
use token_authority::transport::proto::v1::ValidateTokenRequest;
use token_authority::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use tonic::Code;

use crate::target::{Target, key};

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
    let mut answers = futures::stream::iter(calls);
    let mut answers = std::pin::pin!(futures::StreamExt::buffer_unordered(&mut answers, 50));
    while let Some(status) = futures::StreamExt::next(&mut answers).await {
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
