//! Batches that keep a thread busy.

use std::collections::BTreeSet;

use token_authority::transport::proto::v1::{
    InactiveReason, IssueTokensRequest, ValidateTokenRequest, ValidateTokensRequest,
};

use crate::target::Target;
use test_support::replica::Setup;

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_wrong_signatures_lets_others_have_their_turn() {
    let secret = "kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=";
    for algorithm in ["ES256", "EdDSA"] {
        let setup = Setup::new()
            .set("JWT_ALGORITHM", algorithm)
            .set("AUTHORITY_SECRET", secret)
            // With one thread, others have their turn only if the batch yields.
            .set("TOKIO_WORKER_THREADS", "1");
        let target = Target::start_from(setup, &[]).await;
        let mut tokens = target.tokens().await;
        let ask = IssueTokensRequest { user_id: "alice".into(), ..Default::default() };
        let good = tokens.issue_tokens(ask).await.unwrap().into_inner().access_token;
        let (signed, _) = good.rsplit_once('.').unwrap();
        // 64 bytes in base64url: the last character has four spare bits, which must be zero.
        let wrong = |n: usize| format!("{signed}.{n:A>6}{}A", "B".repeat(79));
        let wrong = (0..1000).map(wrong).collect();
        let batch = ValidateTokensRequest { tokens: wrong, ..Default::default() };
        let (mut other, mut batches) = (target.tokens().await, target.tokens().await);
        let ask = ValidateTokenRequest { token: good, ..Default::default() };
        assert!(other.validate_token(ask.clone()).await.unwrap().into_inner().active);

        let running = tokio::spawn(async move { batches.validate_tokens(batch).await.unwrap() });
        let mut answered = 0;
        while !running.is_finished() {
            assert!(other.validate_token(ask.clone()).await.unwrap().into_inner().active);
            answered += 1;
        }
        let results = running.await.unwrap().into_inner().results;
        assert_eq!(results.len(), 1000);
        let bad = InactiveReason::BadSignature;
        assert!(results.iter().all(|result| result.inactive_reason() == bad), "{:?}", results[0]);
        // One call before the batch begins and one after it ends would prove nothing.
        assert!(answered > 10, "{algorithm}: {answered} calls were answered beside the batch");
    }
}

/// Batches take turns at verifying signatures. A batch without a signature to verify waits for none of
/// them.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_known_tokens_does_not_wait_for_batches_of_wrong_ones() {
    const WRONG: usize = 12;
    let setup = Setup::new()
        .set("JWT_ALGORITHM", "ES256")
        .set("AUTHORITY_SECRET", "kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=");
    let target = Target::start_from(setup, &[]).await;
    let mut tokens = target.tokens().await;
    let ask = IssueTokensRequest { user_id: "alice".into(), ..Default::default() };
    let good = tokens.issue_tokens(ask).await.unwrap().into_inner().access_token;
    let known = ValidateTokensRequest { tokens: vec![good.clone(); 100], ..Default::default() };
    tokens.validate_tokens(known.clone()).await.unwrap();

    let (signed, _) = good.rsplit_once('.').unwrap();
    let wrong = |n: usize| format!("{signed}.{n:A>6}{}A", "B".repeat(79));
    let batch =
        ValidateTokensRequest { tokens: (0..1000).map(wrong).collect(), ..Default::default() };
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..WRONG {
        let (mut batches, batch) = (target.tokens().await, batch.clone());
        running.spawn(async move { batches.validate_tokens(batch).await.unwrap() });
    }
    let mut answered = 0;
    while running.try_join_next().is_none() {
        let results = tokens.validate_tokens(known.clone()).await.unwrap().into_inner().results;
        assert!(results.iter().all(|result| result.active));
        answered += 1;
    }
    // If each of them waited for its turn, there would be about one for each batch of wrong tokens.
    let before = "batches were answered before the first of wrong tokens";
    assert!(answered > 5 * WRONG, "{answered} {before}");
    running.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_in_the_order_of_the_tokens() {
    let target = Target::start(&[("JWT_ROLLOUT_PERCENTAGE", "50")]).await;
    let mut tokens = target.tokens().await;
    let mut all = Vec::new();
    for n in 0..20 {
        let ask = IssueTokensRequest { user_id: format!("user{n}"), ..Default::default() };
        all.push(tokens.issue_tokens(ask).await.unwrap().into_inner().access_token);
        all.push(format!("nonsense{n}"));
    }
    let batch = ValidateTokensRequest { tokens: all, ..Default::default() };
    let results = tokens.validate_tokens(batch).await.unwrap().into_inner().results;
    let users: Vec<_> = results.iter().map(|result| result.user_id.clone()).collect();
    let expected = (0..20).flat_map(|n| [format!("user{n}"), String::new()]);
    assert_eq!(users, expected.collect::<Vec<_>>());
    let methods: BTreeSet<_> =
        results.iter().filter(|result| result.active).map(|result| result.auth_method).collect();
    assert_eq!(methods.len(), 2, "tokens of both kinds");
}
