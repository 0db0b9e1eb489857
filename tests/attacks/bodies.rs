//! Messages that are too large, too many or never finished.

use token_authority::transport::proto::v1::{
    IssueTokensRequest, ValidateTokenRequest, ValidateTokensRequest,
};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::frames::{Connection, frame, unfinished};
use crate::target::Target;

const BATCH: &str = "/token_authority.v1.TokenAuthorityService/ValidateTokens";
const MIB: usize = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_messages_of_one_caller_are_bounded() {
    let target = Target::start(&[("REQUEST_TIMEOUT_SECONDS", "60")]).await;
    let honest = target.honest().await;
    let attack = async {
        let mut all = Vec::new();
        for _ in 0..4 {
            let address = target.service.grpc();
            let Ok(mut connection) = Connection::open(address, 65_535).await else { continue };
            for n in 0..8 {
                let stream = 2 * n + 1;
                let mut bytes = unfinished(stream, BATCH, &target.key);
                // The message is announced with 4 MiB, and one byte of it never comes.
                let mut message = vec![0];
                message.extend(u32::try_from(4 * MIB).unwrap().to_be_bytes());
                message.resize(4 * MIB + 4, 7);
                bytes.extend(message.chunks(16_384).flat_map(|part| frame(0, 0, stream, part)));
                // The window is 1 MiB: the service takes more of it as it reads.
                connection.send(&bytes).await;
                connection.drain().await;
            }
            all.push(connection);
        }
        all
    };
    let (grown, connections) = target.growth(attack).await;
    // All of them would be 128 MiB, and twice as much while they are read.
    assert!(grown < 110, "{grown} MiB for {} connections", connections.len());
    drop(connections);
    // The honest client uses the same key: it is served as soon as the messages are given up.
    let mut tokens = target.tokens().await;
    let asked = ValidateTokenRequest { token: "x".into(), ..Default::default() };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while tokens.validate_token(asked.clone()).await.is_err() {
        assert!(std::time::Instant::now() < deadline, "the caller is locked out");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    honest.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_counted_before_they_are_decoded() {
    let target = Target::start(&[]).await;
    let honest = target.honest().await;
    let mut tokens = target.tokens().await;
    for count in [1001, 2_000_000] {
        let many =
            ValidateTokensRequest { tokens: vec![String::new(); count], ..Default::default() };
        let (grown, answer) = target.growth(tokens.validate_tokens(many)).await;
        let status = answer.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        let details = status.get_error_details();
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "tokens");
        assert!(grown < 30, "{grown} MiB for {count} tokens");
    }
    honest.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_batches_may_be_large() {
    let target = Target::start(&[]).await;
    let mut tokens = target.tokens().await;
    let large = "a".repeat(65 * 1024);
    let issue = IssueTokensRequest { user_id: large.clone(), ..Default::default() };
    let refused = tokens.issue_tokens(issue).await.map(drop).unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    let one = ValidateTokenRequest { token: large.clone(), ..Default::default() };
    let refused = tokens.validate_token(one).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
    let batch = ValidateTokensRequest { tokens: vec![large; 20], ..Default::default() };
    let answer = tokens.validate_tokens(batch).await.unwrap().into_inner();
    assert!(answer.results.len() == 20 && answer.results.iter().all(|result| !result.active));
}
