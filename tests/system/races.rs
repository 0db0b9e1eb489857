//! Many requests at once: one successor and one session, whichever replicas they reach.

use std::collections::BTreeSet;

use futures::future::join_all;
use test_support::replica::Setup;
use token_authority::transport::proto::v1::{IssueTokensRequest, IssueTokensResponse};

use crate::database::Database;
use crate::wire::{self, Tokens};

const MANY: usize = 50;

on_both! {
    fifty_refreshes_of_one_token_get_one_successor
    fifty_logins_under_one_request_open_one_session
    a_young_token_stays_as_it_is
}

async fn fifty_refreshes_of_one_token_get_one_successor(database: Database, setup: Setup) {
    let service = setup.start().await;
    // Half of the clients have separate connections.
    let clients: Vec<Tokens> = (0..MANY / 2).map(|_| service.tokens()).collect();
    refresh_all_at_once(&database, &clients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_refreshes_spread_over_replicas_get_one_successor() {
    let (database, setup) = Database::postgres().await;
    // Each replica has its own folder. Both have the same secret, so one mints tokens that the
    // other refreshes.
    let (_, other) = Database::at(database.url());
    let secret = "a secret that both replicas are given, 32 bytes and more";
    let replicas = [setup, other].map(|setup| setup.set("JWT_SECRET", secret));
    let services = join_all(replicas.iter().map(Setup::start)).await;
    for _ in 0..4 {
        let clients: Vec<Tokens> =
            (0..MANY / 2).map(|i| services[i % services.len()].tokens()).collect();
        refresh_all_at_once(&database, &clients).await;
    }
}

/// Logs in, then refreshes the same token with all clients at once, and again with the successor.
async fn refresh_all_at_once(database: &Database, clients: &[Tokens]) {
    let before = database.count().await;
    let issued = wire::issue(&clients[0], "alice").await;
    let token = &issued.refresh_token;
    let all = (0..MANY).map(|i| wire::refresh(&clients[i % clients.len()], token));
    let answers: Vec<_> = join_all(all).await.into_iter().map(Result::unwrap).collect();

    let successors: BTreeSet<_> = answers.iter().map(|answer| &answer.refresh_token).collect();
    assert_eq!(successors.len(), 1);
    assert!(!successors.contains(token));
    assert!(answers.iter().all(|answer| answer.session_id == issued.session_id));
    let minted: BTreeSet<_> = answers.iter().map(|answer| &answer.access_token).collect();
    assert_eq!(minted.len(), MANY, "each client has its own access token");
    assert_eq!(database.generation(&issued.session_id).await, 1);
    assert_eq!(database.count().await, before + 1);

    // The race logged no client out, also not the one that comes late.
    let successor = &answers[0].refresh_token;
    for late in [token, successor] {
        assert_eq!(&wire::refresh(&clients[0], late).await.unwrap().refresh_token, successor);
    }
    for answer in &answers {
        assert!(wire::validate(&clients[0], &answer.access_token).await.active);
    }
}

async fn log_in(client: Tokens, user: &str, request_id: &str) -> IssueTokensResponse {
    let ask = IssueTokensRequest {
        user_id: user.into(),
        request_id: request_id.into(),
        ..Default::default()
    };
    client.clone().issue_tokens(ask).await.unwrap().into_inner()
}

async fn fifty_logins_under_one_request_open_one_session(database: Database, setup: Setup) {
    let service = setup.start().await;
    let client = service.tokens();
    let request = "0192f6b0-8f5e-7c3a-9d1e-2b4f6a8c0e12";
    let all = (0..MANY).map(|_| log_in(client.clone(), "alice", request));
    let answers = join_all(all).await;
    let tokens: BTreeSet<_> = answers
        .iter()
        .map(|answer| (&answer.session_id, &answer.access_token, &answer.refresh_token))
        .collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(database.count().await, 1);
    assert!(wire::refresh(&client, &answers[0].refresh_token).await.is_ok());

    let other_user = log_in(client.clone(), "bob", request).await;
    assert_ne!(other_user.session_id, answers[0].session_id);
    let other_request = log_in(client.clone(), "alice", &request.replace("12", "13")).await;
    assert_ne!(other_request.session_id, answers[0].session_id);
    let shouted = log_in(client.clone(), "alice", &request.to_uppercase()).await;
    assert_eq!(shouted.session_id, answers[0].session_id, "a UUID in capitals is the same");
    assert_eq!(database.count().await, 3);
    let without = [log_in(client.clone(), "alice", "").await, log_in(client, "alice", "").await];
    assert_ne!(without[0].session_id, without[1].session_id);
}

async fn a_young_token_stays_as_it_is(database: Database, setup: Setup) {
    let service = setup.start().await;
    let (client, http) = (service.tokens(), service.http());
    let issued = wire::issue(&client, "alice").await;
    let rotated = http.refresh(&issued.refresh_token).await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    let successor = rotated.new_token().expect("a changed token is set");
    let attributes = rotated.header("set-cookie").unwrap().split_once("; ").unwrap().1;
    assert_eq!(attributes, "HttpOnly; Secure; SameSite=Lax; Path=/api/auth; Max-Age=604800");

    let young = join_all((0..MANY).map(|_| http.refresh(&successor))).await;
    for answer in young {
        assert_eq!((answer.status, answer.header("set-cookie")), (200, None));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let access = answer.json()["accessToken"].as_str().unwrap().to_owned();
        assert!(wire::validate(&client, &access).await.active);
    }
    let over_grpc = wire::refresh(&client, &successor).await.unwrap();
    assert_eq!(over_grpc.refresh_token, successor);
    assert_eq!(database.generation(&issued.session_id).await, 1);
}
