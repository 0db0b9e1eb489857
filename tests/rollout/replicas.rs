//! Three replicas on one Postgres follow a change within a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use test_support::measured::measured;
use test_support::postgres::Cluster;
use test_support::replica::{Replica, Setup};
use token_authority::clock::{Clock as _, SystemClock, Timestamp};
use token_authority::transport::proto::v1::{AuthMethod, GetRolloutRequest, SetRolloutRequest};

use crate::users::log_in;

async fn three() -> (Setup, Vec<Replica>) {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    let deployment = Setup::on(&url).quiet().set("USER", "tester");
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(deployment.start().await);
    }
    (deployment, replicas)
}

/// Logs a user in on a replica repeatedly until `stop`. Returns the time of each answer and the
/// kind of its token.
async fn mint(
    replica: &Replica,
    number: usize,
    stop: Arc<AtomicBool>,
) -> Vec<(Timestamp, AuthMethod)> {
    let mut client = replica.tokens();
    let mut minted = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let held = log_in(&mut client, &format!("user-{number}")).await;
        minted.push((SystemClock.now(), held.method));
    }
    minted
}

/// Returns the time of the last change of the roll-out. It is recorded before the change is stored.
async fn changed_at(replica: &Replica) -> Timestamp {
    let standing = replica.rollout().get_rollout(GetRolloutRequest {}).await.unwrap().into_inner();
    let at = standing.updated_at.unwrap();
    Timestamp::from_micros(at.seconds * 1_000_000 + i64::from(at.nanos) / 1_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rollback_the_last_jwt_is_minted_within_a_second() {
    let (deployment, replicas) = three().await;
    let stop = Arc::new(AtomicBool::new(false));
    let minting = replicas.iter().enumerate().map(|(n, replica)| mint(replica, n, stop.clone()));
    let minting = futures::future::join_all(minting);
    let rollback = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let set = move || deployment.succeed(&["rollout", "set", "0"]);
        tokio::task::spawn_blocking(set).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        stop.store(true, Ordering::Relaxed);
    };
    let (minted, ()) = tokio::join!(minting, rollback);
    let changed_at = changed_at(&replicas[0]).await;
    for minted in minted {
        let last = minted.iter().rposition(|(_, method)| *method == AuthMethod::Jwt);
        let last = last.expect("JWTs were minted before");
        assert!(last + 1 < minted.len(), "nothing was minted after the last JWT");
        let after = minted[last].0.since(changed_at);
        measured(&format!("the last JWT came {after:?} after `rollout set 0` made its change"));
        assert!(after < Duration::from_secs(1), "{after:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_in_force_here_at_once_and_everywhere_soon() {
    let (deployment, replicas) = three().await;
    let mut first = replicas[0].rollout();
    let before = first.get_rollout(GetRolloutRequest {}).await.unwrap().into_inner();
    assert_eq!((before.percentage, before.jwt_enabled), (100, true));
    assert_eq!((before.updated_at, before.updated_by.as_str()), (None, ""));

    let set = |percentage, jwt_enabled| SetRolloutRequest { percentage, jwt_enabled };
    let answer = first.set_rollout(set(Some(0), None)).await.unwrap().into_inner();
    assert_eq!((answer.percentage, answer.jwt_enabled), (0, true));
    assert_eq!(log_in(&mut replicas[0].tokens(), "u").await.method, AuthMethod::Session);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for replica in &replicas {
        assert_eq!(log_in(&mut replica.tokens(), "u").await.method, AuthMethod::Session);
        assert!(replica.metric("rollout_percentage").abs() < 0.1);
    }

    let off = replicas[1].rollout().set_rollout(set(Some(100), Some(false))).await.unwrap();
    assert!(!off.into_inner().jwt_enabled);
    assert_eq!(log_in(&mut replicas[1].tokens(), "u").await.method, AuthMethod::Session);
    deployment.succeed(&["rollout", "set", "--jwt-enabled", "true"]);
    let now = first.get_rollout(GetRolloutRequest {}).await.unwrap().into_inner();
    assert_eq!((now.percentage, now.jwt_enabled), (100, true));
    assert!(now.updated_at.is_some());
    assert_eq!(now.updated_by, "cli:tester");

    for refused in [set(Some(101), None), set(Some(-1), None), set(None, None)] {
        let refused = first.set_rollout(refused).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    }
    for arguments in [&["rollout", "set", "101"][..], &["rollout", "set"], &["rollout", "set", "x"]]
    {
        assert!(!deployment.run(arguments).status.success(), "{arguments:?}");
    }
    let shown = deployment.succeed(&["rollout", "show"]);
    for part in ["100 %  JWTs on", "by cli:tester", "JWTs off  by anonymous", "  0 %  JWTs on"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_wins_and_a_lost_database_changes_nothing() {
    let cluster = Cluster::start();
    let url = cluster.url(&cluster.make_database().await);
    let deployment = Setup::on(&url).quiet().set("USER", "tester");
    drop(deployment.start().await);
    deployment.succeed(&["rollout", "set", "0"]);

    let replica = deployment.start().await;
    assert!(replica.log().contains("JWT_ROLLOUT_PERCENTAGE"), "{}", replica.log());
    assert_eq!(log_in(&mut replica.tokens(), "u").await.method, AuthMethod::Session);
    cluster.pause();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(replica.metric("rollout_percentage").abs() < 0.1);
    cluster.resume();
    deployment.succeed(&["rollout", "set", "100"]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while replica.metric("rollout_percentage") < 99.0 {
        assert!(Instant::now() < deadline, "the change was never seen: {}", replica.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(log_in(&mut replica.tokens(), "u").await.method, AuthMethod::Jwt);
}
