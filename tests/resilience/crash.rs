//! The database crashes and comes back ten seconds later.

use std::time::{Duration, Instant};

use test_support::measured::measured;
use test_support::postgres::Cluster;
use test_support::replica::Replica;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::replica;
use crate::user::{User, client};

const OUTAGE: Duration = Duration::from_secs(10);
/// How long the service may take to recover after the database is back.
const RECOVERY: Duration = Duration::from_secs(2);

/// Checks that the service recovers within two seconds after the database is back.
pub(crate) async fn recovers(replica: &Replica, user: &mut User) {
    let back = Instant::now();
    user.refresh_patiently().await;
    let refreshed = back.elapsed();
    while !replica.is_ready() {
        assert!(back.elapsed() < RECOVERY, "it is not ready again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let ready = back.elapsed();
    measured(&format!("after the database was back: refreshed {refreshed:?}, ready {ready:?}"));
    assert!(refreshed < RECOVERY, "it took {refreshed:?} to recover");
}

/// Refreshes every 20 ms until `stop`. While the database is unreachable, it repeats with the same
/// token. Returns how often that happened.
async fn refresh(mut user: User, stop: CancellationToken) -> (User, u64) {
    let mut refused = 0;
    while !stop.is_cancelled() {
        if let Err(status) = user.refresh().await {
            assert_eq!(status.code(), Code::Unavailable, "a session was lost: {status:?}");
            refused += 1;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (user, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_the_database_loses_no_session() {
    let mut postgres = Cluster::start();
    let mut replica = replica::start(&postgres.url("postgres")).await;
    let client = client(replica.grpc().port());
    let stop = CancellationToken::new();
    let mut at_work = Vec::new();
    for at in 0..20 {
        let user = User::log_in(&client, &format!("user-{at}")).await.unwrap();
        at_work.push(tokio::spawn(refresh(user, stop.clone())));
    }
    let resting = User::log_in(&client, "resting").await.unwrap();
    let validating = tokio::spawn(resting.clone().check_until(stop.clone()));
    tokio::time::sleep(Duration::from_secs(2)).await;

    tokio::task::block_in_place(|| postgres.crash());
    tokio::time::sleep(OUTAGE).await;
    assert!(replica.is_running() && !replica.is_ready(), "it reports that it is ready");
    tokio::task::block_in_place(|| postgres.start_again());

    recovers(&replica, &mut resting.at(&client)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.cancel();
    let checked = validating.await.unwrap();
    assert!(checked > 100, "only {checked} checks are too few");
    let mut refused = 0;
    for user in at_work {
        let (mut user, times) = user.await.unwrap();
        refused += times;
        user.refresh().await.unwrap();
    }
    assert!(refused > 0, "no refresh failed during the outage");
    assert!(replica.is_running(), "the service crashed");
    assert_eq!(
        postgres
            .ask("postgres", "SELECT count(*) FROM user_sessions WHERE revoked_at IS NOT NULL")
            .await,
        0,
        "a user was mistaken for a thief"
    );
}
