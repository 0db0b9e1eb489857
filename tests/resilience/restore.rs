//! A dump that is restored into an empty cluster is sufficient to continue.

use std::time::Duration;

use test_support::postgres::Cluster;

use crate::replica;
use crate::user::{User, client};

#[tokio::test(flavor = "multi_thread")]
async fn every_refresh_token_works_after_a_restore() {
    let postgres = Cluster::start();
    let mut replica = replica::start(&postgres.url("postgres")).await;
    let mut users = Vec::new();
    for at in 0..50 {
        users.push(
            User::log_in(&client(replica.grpc().port()), &format!("user-{at}")).await.unwrap(),
        );
    }
    // Some users have refreshed. Some of these never received the reply.
    let mut lost = Vec::new();
    for user in &mut users[..20] {
        lost.push(user.clone());
        assert!(user.refresh().await.unwrap(), "the first refresh rotates");
    }
    replica.end().await;
    let dump = postgres.dump("postgres");
    drop(postgres);

    let restored = Cluster::start();
    restored.restore("postgres", &dump);
    let replica = replica::start(&restored.url("postgres")).await;
    let client = client(replica.grpc().port());
    for user in &users[10..] {
        let mut user = user.at(&client);
        assert!(user.validate().await.unwrap());
        user.refresh().await.unwrap();
    }
    // Longer than the window, so that the reply counts as lost, not as simultaneous.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for user in &lost[..10] {
        user.at(&client).refresh().await.unwrap();
    }
    assert_eq!(
        restored
            .ask("postgres", "SELECT count(*) FROM user_sessions WHERE revoked_at IS NOT NULL")
            .await,
        0
    );
}
