//! From login to logout, followed by a verifier.

use std::time::{Duration, Instant};

use serde_json::json;
use token_authority_client::{ClientError, Issue, Method, Target, Verifier};

use crate::service::{Service, refusal, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_from_login_to_logout() {
    let service = Service::start(&[]).await;
    let (client, verifier) = (service.client(), service.verifier().build().unwrap());
    let issue = Issue {
        audience: vec!["api".into()],
        scopes: vec!["read".into()],
        claims: json!({ "role": "admin", "teams": [1, 2] }).as_object().unwrap().clone(),
        ..Issue::for_user("alice")
    };
    let issued = client.issue_tokens(issue).await.unwrap();
    assert_eq!(issued.expires_in, Duration::from_mins(30));
    assert!(!format!("{issued:?}").contains(&issued.access_token));
    let identity = verifier.verify(&issued.access_token).await.unwrap();
    assert_eq!((&*identity.user_id, identity.method), ("alice", Method::Jwt));
    assert_eq!(identity.session_id.as_deref(), Some(&*issued.session_id));
    assert!(identity.has_scope("read") && identity.audience == ["api"]);
    assert_eq!(identity.claims["teams"], json!([1, 2]));
    let told = client.validate(&issued.access_token, None).await.unwrap().unwrap();
    assert_eq!((told.user_id, told.claims["role"].clone()), ("alice".into(), json!("admin")));

    let renewed = client.refresh(&issued.refresh_token).await.unwrap();
    assert_eq!(renewed.session_id, issued.session_id);
    assert_eq!((&*issued.user_id, &*renewed.user_id), ("alice", "alice"));
    assert_eq!(client.list_sessions("alice").await.unwrap().len(), 1);
    assert_eq!(refusal(&verifier, &renewed.access_token).await, "");
    client.revoke(&renewed.refresh_token).await.unwrap();
    let began = Instant::now();
    for token in [&issued.access_token, &renewed.access_token] {
        until("it is revoked", async || refusal(&verifier, token).await == "revoked").await;
    }
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(verifier.state().revocations, 1);
    match client.refresh(&renewed.refresh_token).await {
        Err(ClientError::RefreshToken(reason)) => assert_eq!(reason, "revoked"),
        other => panic!("{other:?}"),
    }
    match client.issue_tokens(Issue::for_user("")).await {
        Err(ClientError::Refused { reason, fields, .. }) => {
            assert_eq!((&*reason, fields), ("INVALID_FIELD", vec!["user_id".to_owned()]));
        }
        other => panic!("{other:?}"),
    }
    for _ in 0..3 {
        client.issue_tokens(Issue::for_user("bob")).await.unwrap();
    }
    assert_eq!(client.revoke_user_sessions("bob", None).await.unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_survived_and_told() {
    let mut service = Service::start(&[]).await;
    let client = service.client();
    let relaxed = service.verifier().build().unwrap();
    let bound = Duration::from_millis(1500);
    let strict = service.verifier().max_staleness(bound).build().unwrap();
    let good = client.issue_tokens(Issue::for_user("alice")).await.unwrap();
    let bad = client.issue_tokens(Issue::for_user("bob")).await.unwrap();
    client.revoke(&bad.refresh_token).await.unwrap();
    for verifier in [&relaxed, &strict] {
        until("it arrives", async || refusal(verifier, &bad.access_token).await == "revoked").await;
        assert_eq!(refusal(verifier, &good.access_token).await, "");
        assert!(verifier.state().connected);
    }
    service.kill();
    let is_unavailable = async || refusal(&strict, &good.access_token).await == "unavailable";
    until("too old", is_unavailable).await;
    assert!(!relaxed.state().connected);
    assert_eq!(refusal(&relaxed, &good.access_token).await, "");
    for verifier in [&relaxed, &strict] {
        assert_eq!(refusal(verifier, &bad.access_token).await, "revoked");
    }
    // A verifier that begins now accepts nothing, with a bound and without, and lets nobody wait.
    let late = [service.verifier(), service.verifier().max_staleness(bound)];
    let late = late.map(|builder| builder.build().unwrap());
    for verifier in &late {
        assert_eq!(refusal(verifier, &good.access_token).await, "unavailable");
        assert_eq!(verifier.state().fresh_as_of, None);
    }
    service.run().await;
    for verifier in [&relaxed, &strict, &late[0], &late[1]] {
        until("it is back", async || {
            refusal(verifier, &good.access_token).await.is_empty() && verifier.state().connected
        })
        .await;
        assert_eq!(refusal(verifier, &bad.access_token).await, "revoked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn session_tokens_are_asked_for_together() {
    let service = Service::start(&[("JWT_ROLLOUT_PERCENTAGE", "0")]).await;
    let (client, verifier) = (service.client(), service.verifier().build().unwrap());
    let mut tokens = Vec::new();
    for n in 0..20 {
        let issued = client.issue_tokens(Issue::for_user(format!("user-{n}"))).await.unwrap();
        assert_eq!(issued.method, Method::Session);
        tokens.push(issued);
    }
    assert!(verifier.ready(Duration::from_secs(10)).await);
    let asked = tokens.iter().map(|issued| {
        let (verifier, token) = (verifier.clone(), issued.access_token.clone());
        tokio::spawn(async move { verifier.verify(&token).await })
    });
    for (n, asked) in asked.collect::<Vec<_>>().into_iter().enumerate() {
        let identity = asked.await.unwrap().unwrap();
        assert_eq!((identity.user_id, identity.method), (format!("user-{n}"), Method::Session));
    }
    client.revoke(&tokens[0].refresh_token).await.unwrap();
    assert_eq!(refusal(&verifier, &tokens[0].access_token).await, "revoked");
    assert_eq!(refusal(&verifier, "garbage").await, "malformed");
    let alone = Verifier::builder().authority(service.target()).build().unwrap();
    assert_eq!(refusal(&alone, &tokens[1].access_token).await, "", "without any key");
}

#[tokio::test]
async fn a_service_that_is_away_is_unavailable() {
    let nowhere = Target::new("127.0.0.1:9").unwrap();
    let client = token_authority_client::Client::new(&nowhere);
    match client.issue_tokens(Issue::for_user("alice")).await {
        Err(ClientError::Unavailable { .. }) => {}
        other => panic!("{other:?}"),
    }
    assert!(Verifier::builder().build().is_err());
    let verifier = Verifier::builder().authority(nowhere).build().unwrap();
    assert_eq!(refusal(&verifier, "abc").await, "unavailable");
}
