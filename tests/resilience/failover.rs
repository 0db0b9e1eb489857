//! The primary is lost and its standby takes over, while users are at work.

use std::time::Duration;

use test_support::postgres::{Cluster, url};
use tokio_util::sync::CancellationToken;

use crate::crash::recovers;
use crate::haproxy::HaProxy;
use crate::replica;
use crate::user::{User, client};

#[tokio::test(flavor = "multi_thread")]
async fn sessions_go_on_when_a_standby_is_promoted() {
    let primary = Cluster::start();
    // The schema is created before the standby, so the standby receives it by streaming.
    let standby = primary.standby();
    let proxy = HaProxy::before_databases(&primary, &standby);
    let mut replica = replica::start(&url(proxy.port, "postgres")).await;
    let client = client(replica.grpc().port());
    let mut users = Vec::new();
    for at in 0..20 {
        users.push(User::log_in(&client, &format!("user-{at}")).await.unwrap());
    }
    let working: Vec<_> = users
        .into_iter()
        .map(|mut user| {
            tokio::spawn(async move {
                // Over the failover and some time after it.
                for _ in 0..60 {
                    user.refresh_patiently().await;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                user
            })
        })
        .collect();
    let stop = CancellationToken::new();
    let mut resting = User::log_in(&client, "resting").await.unwrap();
    let checking = tokio::spawn(resting.clone().check_until(stop.clone()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    tokio::task::block_in_place(|| {
        primary.crash();
        // During this time there is only a standby, which refuses writes.
        std::thread::sleep(Duration::from_secs(1));
        standby.promote();
    });
    recovers(&replica, &mut resting).await;
    for user in working {
        let mut user = user.await.unwrap();
        assert!(user.validate().await.unwrap());
        user.refresh().await.unwrap();
    }
    stop.cancel();
    let checked = checking.await.unwrap();
    assert!(checked > 100, "only {checked} checks are too few");
    assert!(replica.is_running(), "the service crashed");
    assert_eq!(standby.ask("postgres", "SELECT count(*) FROM user_sessions").await, 21);
    assert_eq!(
        standby
            .ask("postgres", "SELECT count(*) FROM user_sessions WHERE revoked_at IS NOT NULL")
            .await,
        0,
        "a user was mistaken for a thief"
    );
    User::log_in(&client, "new").await.unwrap();
}
