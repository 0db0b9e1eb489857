//! From login to logout, followed by a verifier.

use std::time::{Duration, Instant};

use serde_json::json;
use token_authority_client::{ClientError, Happened, Issue, Method, Target, Update, Verifier};

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
async fn a_role_taken_away_is_refused_within_a_second_and_the_session_lives() {
    let service = Service::start(&[]).await;
    let (client, verifier) = (service.client(), service.verifier().build().unwrap());
    let role = |name: &str| json!({ "role": name }).as_object().unwrap().clone();
    let login = async || {
        let issue = Issue { claims: role("admin"), ..Issue::for_user("alice") };
        client.issue_tokens(issue).await.unwrap()
    };
    let (mut held, other) = (login().await, login().await);
    assert_eq!(refusal(&verifier, &held.access_token).await, "");
    // Twice, because the second change replaces the entry of the first.
    for name in ["user", "guest"] {
        let update = Update { claims: Some(role(name)), refresh_now: true, ..Update::default() };
        assert!(client.update_session(&held.session_id, update).await.unwrap());
        let changed = Instant::now();
        // The new token is minted in the same second, and is good before and after the news arrives.
        let renewed = client.refresh(&held.refresh_token).await.unwrap();
        assert_eq!(refusal(&verifier, &renewed.access_token).await, "");
        let is_stale = async || refusal(&verifier, &held.access_token).await == "stale";
        until("it is stale", is_stale).await;
        assert!(changed.elapsed() < Duration::from_secs(1), "{:?}", changed.elapsed());
        let identity = verifier.verify(&renewed.access_token).await.unwrap();
        assert_eq!(identity.claims, role(name));
        held = renewed;
    }
    assert_eq!(refusal(&verifier, &other.access_token).await, "");
    // One that begins later learns of it from the snapshot.
    let late = service.verifier().build().unwrap();
    assert_eq!(refusal(&late, &held.access_token).await, "");
    let changed = Update { claims: Some(role("x")), refresh_now: true, ..Update::default() };
    assert_eq!(client.update_user_sessions("alice", changed).await.unwrap(), 2);
    for token in [&held.access_token, &other.access_token] {
        until("it is stale", async || refusal(&late, token).await == "stale").await;
    }
    let told = client.session_events(&held.session_id).await.unwrap();
    let happened: Vec<&Happened> = told.iter().map(|event| &event.happened).collect();
    let updated = Happened::Updated { fields: vec!["claims".into()], refresh_now: true };
    // A token that is young is not rotated, so the last rotation may be the first or the second one.
    let rotation = happened.iter().position(|one| **one == Happened::Refreshed).unwrap();
    assert!(rotation == 1 || rotation == 2, "{happened:?}");
    let (others, first) = (happened.iter().filter(|one| ***one == updated), happened.last());
    assert_eq!((others.count(), first, told.len()), (3, Some(&&Happened::Issued), 5));
    assert!(
        told.iter().all(|event| event.user_id == "alice" && event.session_id == held.session_id)
    );
    assert!(told.is_sorted_by(|one, next| one.occurred_at >= next.occurred_at));
    assert_eq!(client.user_session_events("alice").await.unwrap().len(), 7);
    assert_eq!(client.erase_user("alice").await.unwrap(), 2);
    assert_eq!(client.user_session_events("alice").await.unwrap(), []);
    let told = client.session_events(&held.session_id).await.unwrap();
    assert_eq!(told[0].happened, Happened::Revoked("user".into()));
    assert!(told.iter().all(|event| event.user_id.is_empty()));
    for token in [&held.access_token, &other.access_token] {
        until("it is over", async || refusal(&late, token).await == "revoked").await;
    }
    assert_eq!(client.erase_user("alice").await.unwrap(), 0);
    let unknown = Update { refresh_now: true, ..Update::default() };
    assert!(!client.update_session(&held.session_id, unknown).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_may_ask_for_a_shorter_life() {
    let service = Service::start(&[]).await;
    let client = service.client();
    let issue = Issue {
        refresh_lifetime: Some(Duration::from_hours(1)),
        max_lifetime: Some(Duration::from_hours(2)),
        persistent: Some(false),
        ..Issue::for_user("alice")
    };
    let issued = client.issue_tokens(issue).await.unwrap();
    assert_eq!((issued.refresh_expires_in, issued.persistent), (Duration::from_hours(1), false));
    assert!(!client.refresh(&issued.refresh_token).await.unwrap().persistent);
    assert!(client.issue_tokens(Issue::for_user("alice")).await.unwrap().persistent);
    let issue = Issue { max_lifetime: Some(Duration::MAX), ..Issue::for_user("alice") };
    match client.issue_tokens(issue).await {
        Err(ClientError::Refused { fields, .. }) => assert_eq!(fields, ["max_lifetime"]),
        other => panic!("{other:?}"),
    }
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
