//! Both kinds of access token side by side, at every percentage.

use std::time::Duration;

use test_support::postgres::Cluster;
use test_support::replica::{Replica, Setup};
use token_authority::token::id::UserId;
use token_authority::token::rollout::bucket;
use token_authority::transport::proto::v1::{
    AuthMethod, InactiveReason, IssueTokensRequest, ListSessionsRequest, RevokeSessionRequest,
    SetRolloutRequest, ValidateTokenRequest, ValidateTokensRequest,
};
use tonic::Code;

use crate::users::{check, issue, log_in, spread};

use crate::{SECRET, deployment};

async fn set(replica: &Replica, percentage: i32) {
    let ask = SetRolloutRequest { percentage: Some(percentage), jwt_enabled: None };
    replica.rollout().set_rollout(ask).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn both_kinds_are_good_at_every_percentage_and_a_refresh_moves_a_user() {
    let replica = Setup::new().start().await;
    let mut client = replica.tokens();
    let users = spread(1);
    let mut all = Vec::new();
    let mut held = Vec::new();
    for user in &users {
        held.push(log_in(&mut client, user).await);
    }
    for percentage in [0, 1, 10, 50, 99, 100, 0] {
        set(&replica, percentage).await;
        for held in &mut held {
            assert_eq!(held.renew(&mut client).await, 1800);
            let place = i32::from(bucket(&UserId::new(&held.user).unwrap()));
            assert_eq!(held.method == AuthMethod::Jwt, place < percentage, "{}", held.user);
            let said = held.check(&mut client).await;
            assert!(said.active && said.auth_method() == held.method);
            assert_eq!((&said.user_id, &said.session_id), (&held.user, &held.session));
            all.push((held.user.clone(), held.access.clone()));
        }
    }
    // Every token that was ever issued is still valid.
    for (user, token) in all {
        let said = check(&mut client, &token).await.unwrap();
        assert!(said.active && said.user_id == user);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_token_says_what_a_jwt_says() {
    let replica = Setup::new().start().await;
    let mut client = replica.tokens();
    let claims = prost_types::Struct {
        fields: [("role".to_owned(), prost_types::value::Kind::StringValue("admin".into()))]
            .map(|(name, kind)| (name, prost_types::Value { kind: Some(kind) }))
            .into(),
    };
    let ask = IssueTokensRequest {
        user_id: "u".into(),
        audience: vec!["api".into(), "web".into()],
        scopes: vec!["read".into()],
        claims: Some(claims),
        ..Default::default()
    };
    let mut answers = Vec::new();
    for percentage in [100, 0] {
        set(&replica, percentage).await;
        let held = issue(&mut client, ask.clone()).await;
        let mut said = held.check(&mut client).await;
        assert!(said.active && said.auth_method() == held.method && !said.token_id.is_empty());
        assert_eq!(said.session_id, held.session);
        let lives = said.expires_at.unwrap().seconds - said.issued_at.unwrap().seconds;
        assert_eq!(lives, 1800);
        for (audience, good) in [("web", true), ("other", false)] {
            let ask =
                ValidateTokenRequest { token: held.access.clone(), audience: audience.into() };
            let said = client.validate_token(ask).await.unwrap().into_inner();
            assert_eq!(said.active, good);
            let reason =
                if good { InactiveReason::Unspecified } else { InactiveReason::WrongAudience };
            assert_eq!(said.inactive_reason(), reason);
        }
        let list = ListSessionsRequest { user_id: "u".into(), ..Default::default() };
        let listed = replica.sessions().list_sessions(list).await.unwrap().into_inner().sessions;
        assert_eq!(listed[0].auth_method(), held.method);
        (said.auth_method, said.issued_at, said.expires_at) = (0, None, None);
        (said.session_id, said.token_id) = (String::new(), String::new());
        answers.push(said);
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_token_ends_with_its_session_and_garbage_reaches_no_database() {
    let replica = Setup::new().set("JWT_ROLLOUT_PERCENTAGE", "0").start().await;
    let mut client = replica.tokens();
    let held = log_in(&mut client, "u").await;
    assert!(held.check(&mut client).await.active);
    let asked = replica.metric("auth_db_queries_total{method=\"session\"}");

    let mut forged = held.access.clone().into_bytes();
    let middle = forged.len() / 2;
    forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    for (token, reason) in [
        (forged.as_str(), InactiveReason::BadSignature),
        (&held.access[..held.access.len() - 1], InactiveReason::Malformed),
        ("tas_", InactiveReason::Malformed),
        (&held.refresh, InactiveReason::Malformed),
    ] {
        let said = check(&mut client, token).await.unwrap();
        assert!(!said.active && said.inactive_reason() == reason, "{said:?}");
    }
    assert!((replica.metric("auth_db_queries_total{method=\"session\"}") - asked).abs() < 0.5);

    let ask = RevokeSessionRequest { session_id: held.session.clone() };
    replica.sessions().revoke_session(ask).await.unwrap();
    assert_eq!(held.check(&mut client).await.inactive_reason(), InactiveReason::Revoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_login_keeps_its_kind() {
    let replica = Setup::new().start().await;
    let mut client = replica.tokens();
    for (percentage, other) in [(100, 0), (0, 100)] {
        set(&replica, percentage).await;
        let request_id = format!("018f3b1e-0000-7000-8000-{percentage:012}");
        let ask = IssueTokensRequest { user_id: "u".into(), request_id, ..Default::default() };
        let first = issue(&mut client, ask.clone()).await;
        set(&replica, other).await;
        let again = issue(&mut client, ask).await;
        assert_eq!((&again.access, again.method), (&first.access, first.method));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_secret_logs_nobody_out() {
    const OTHER: &str = "another-secret-0tYb7RfW5sLc2HdPg9uEa4iTo6Nw";
    let before = deployment().set("JWT_ROLLOUT_PERCENTAGE", "0");
    let replica = before.start().await;
    let held = log_in(&mut replica.tokens(), "u").await;
    drop(replica);
    let swapped = before.clone().set("JWT_SECRET", OTHER).set("JWT_SECRET_PREVIOUS", SECRET);
    let of_its_own = before.clone().set("AUTHORITY_SECRET", OTHER);
    for after in [swapped, of_its_own] {
        let replica = after.start().await;
        assert!(held.check(&mut replica.tokens()).await.active);
    }
    let lost = before.set("JWT_SECRET", OTHER).start().await;
    let said = held.check(&mut lost.tokens()).await;
    assert_eq!(said.inactive_reason(), InactiveReason::BadSignature);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_jwts_go_on_and_session_tokens_are_unavailable() {
    let cluster = Cluster::start();
    let url = cluster.url(&cluster.make_database().await);
    let replica = Setup::on(&url).quiet().start().await;
    // Before it has read the revocations, it vouches for no JWT.
    replica.ready().await;
    let mut client = replica.tokens();
    let jwt = log_in(&mut client, "u").await;
    set(&replica, 0).await;
    let session = log_in(&mut client, "u").await;
    drop(cluster);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(jwt.check(&mut client).await.active);
    let refused = check(&mut client, &session.access).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    for (tokens, code) in [
        (vec![jwt.access.clone(), "garbage".into()], Code::Ok),
        (vec![jwt.access.clone(), session.access.clone()], Code::Unavailable),
    ] {
        let ask = ValidateTokensRequest { tokens, audience: String::new() };
        let answer = client.validate_tokens(ask).await;
        assert_eq!(answer.err().map_or(Code::Ok, |error| error.code()), code);
    }
}
