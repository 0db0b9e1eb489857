//! The other replicas refuse what one replica revokes: by notifications, by polling, and through
//! Redis.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::stream::{self, StreamExt as _};
use test_support::measured::measured;
use test_support::pgbouncer::PgBouncer;
use test_support::postgres::Cluster;
use token_authority::transport::proto::v1;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::redis_server::RedisServer;
use crate::replica::Replica;
use crate::watch::revocation;

/// The promised bound.
const SECOND: Duration = Duration::from_secs(1);
/// After this time, a revocation counts as missed.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// How many revocations are under way at a time.
const AT_ONCE: usize = 16;

/// The receivers by which another replica reports each session.
type Told = HashMap<String, oneshot::Receiver<()>>;

/// Revokes `many` sessions through the first replica. Measures the time from each answer until all
/// other replicas refuse.
async fn spread(replicas: &[Replica], many: usize, how: &str) -> Duration {
    let (first, others) = replicas.split_first().unwrap();
    let issued = first.issue_many(many).await;
    let mut told = Vec::new();
    for other in others {
        assert!(!other.refuses(&issued[0].access_token).await);
        told.push(listen(other, &issued).await);
    }
    let one = |tokens: v1::IssueTokensResponse| {
        let told = told.iter_mut().map(|told| told.remove(&tokens.session_id).unwrap());
        let told = others.iter().zip(told.collect::<Vec<_>>());
        async move {
            first.revoke(&tokens.session_id).await;
            let answered = Instant::now();
            let token = &tokens.access_token;
            assert!(
                first.refuses(token).await,
                "the revocation is not in effect on the replica that answered"
            );
            join_all(told.map(|(other, told)| refused(other, token, told))).await;
            answered.elapsed()
        }
    };
    let delays = stream::iter(issued).map(one).buffer_unordered(AT_ONCE);
    let mut delays: Vec<Duration> = delays.collect().await;
    delays.sort();
    let at = |share: usize| delays[(delays.len() - 1) * share / 100];
    let (p50, p99, max) = (at(50), at(99), at(100));
    measured(&format!("{how}: {many} revocations, p50 {p50:?} p99 {p99:?} max {max:?}"));
    max
}

/// Reports the revocations of a replica's stream. Polling it instead would be a load of its own.
async fn listen(other: &Replica, issued: &[v1::IssueTokensResponse]) -> Told {
    let mut watching = other.watch("").await.unwrap();
    watching.message().await.unwrap().expect("the stream begins with a snapshot");
    let (mut tell, mut told) = (HashMap::new(), Told::new());
    for tokens in issued {
        let (sender, receiver) = oneshot::channel();
        tell.insert(tokens.session_id.clone(), sender);
        told.insert(tokens.session_id.clone(), receiver);
    }
    tokio::spawn(async move {
        while !tell.is_empty() {
            let message =
                watching.message().await.unwrap().expect("the stream does not end by itself");
            let sender = revocation(&message).and_then(|told| tell.remove(&told.session_id));
            // The receiver is gone if the test has failed.
            let _ = sender.map(|sender| sender.send(()));
        }
    });
    told
}

/// Checks that a reported revocation is in effect.
async fn refused(other: &Replica, token: &str, told: oneshot::Receiver<()>) {
    timeout(STATEMENT_TIMEOUT, told).await.expect("a revocation was missed").unwrap();
    assert!(other.refuses(token).await, "the revocation was reported, but is not in effect");
}

async fn three(url: &str, settings: &[(&str, &str)]) -> [Replica; 3] {
    // One after another, because the first one migrates.
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(Replica::start(url, settings).await);
    }
    replicas.try_into().map_err(|_| "three").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_are_refused_everywhere_within_a_second() {
    let cluster = Cluster::shared();
    let replicas = three(&cluster.url(&cluster.make_database().await), &[]).await;
    assert!(spread(&replicas, 1000, "LISTEN/NOTIFY").await < SECOND);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_pooler_polling_keeps_the_same_bound() {
    let cluster = Cluster::shared();
    let url = PgBouncer::shared().url(&cluster.make_database().await);
    let replicas = three(&url, &[]).await;
    assert!(spread(&replicas, 1000, "PgBouncer, polling").await < SECOND);
    assert!(replicas[1].log().contains("revocations arrive by polling"), "{}", replicas[1].log());
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_pooler_redis_wakes_the_others() {
    let cluster = Cluster::shared();
    let url = PgBouncer::shared().url(&cluster.make_database().await);
    let redis = RedisServer::start();
    let replicas = three(&url, &[("REDIS_URL", &redis.url())]).await;
    assert!(spread(&replicas, 1000, "PgBouncer, Redis").await < SECOND);
    // Without Redis, polling continues.
    drop(redis);
    assert!(spread(&replicas, 50, "PgBouncer, Redis gone").await < SECOND);
}

/// All ways to end a session end its access tokens, everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_end_a_session_ends_its_access_tokens() {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    let settings = [("REFRESH_CONCURRENCY_WINDOW_SECONDS", "0")];
    let [a, b, _] = three(&url, &settings).await;
    let refresh = async |token: &str| {
        let ask =
            v1::RefreshAccessTokenRequest { refresh_token: token.into(), ..Default::default() };
        a.tokens.clone().refresh_access_token(ask).await
    };

    // Theft: the first token comes back after two rotations.
    let stolen = a.issue("theft").await;
    let mut latest = stolen.refresh_token.clone();
    let mut access = Vec::new();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let renewed = refresh(&latest).await.unwrap().into_inner();
        latest = renewed.refresh_token;
        access.push(renewed.access_token);
    }
    assert!(refresh(&stolen.refresh_token).await.is_err());
    access.push(stolen.access_token);

    let out = a.issue("logout").await;
    let ask = v1::RevokeRefreshTokenRequest { refresh_token: out.refresh_token };
    a.tokens.clone().revoke_refresh_token(ask).await.unwrap();
    access.push(out.access_token);

    let ended = a.issue("admin").await;
    a.revoke(&ended.session_id).await;
    access.push(ended.access_token);

    let (one, kept) = (a.issue("user").await, a.issue("user").await);
    let ask = v1::RevokeUserSessionsRequest {
        user_id: "user".into(),
        except_session_id: Some(kept.session_id),
    };
    let answer = a.sessions.clone().revoke_user_sessions(ask).await.unwrap().into_inner();
    assert_eq!(answer.revoked_count, 1);
    access.push(one.access_token);

    for token in &access {
        assert!(a.refuses(token).await);
        b.until_refused(token).await;
    }
    assert!(!a.refuses(&kept.access_token).await && !b.refuses(&kept.access_token).await);
}

/// A caller that is told that a session has ended may rely on it, even if another replica ended the
/// session.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_revocation_is_in_force_where_it_is_repeated() {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    let [a, b, _] = three(&url, &[]).await;
    for tokens in a.issue_many(30).await {
        a.revoke(&tokens.session_id).await;
        b.revoke(&tokens.session_id).await;
        assert!(b.refuses(&tokens.access_token).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_another_process_is_heard_and_a_restart_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/a.db", folder.path().display());
    let service = Replica::start(&url, &[]).await;
    let tokens = service.issue("u").await;
    // A second service is refused, but a command works beside the first.
    let revoked = std::process::Command::new(test_support::replica::binary())
        .args(["sessions", "revoke", &tokens.session_id])
        .env_clear()
        .env("DATABASE_URL", &url)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
    assert!(service.until_refused(&tokens.access_token).await < SECOND);
    drop(service);
    let again = Replica::start(&url, &[]).await;
    assert!(again.refuses(&tokens.access_token).await);
}

/// A replica is not ready before it knows all revocations.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_replica_knows_all_before_it_is_ready() {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    let first = Replica::start(&url, &[]).await;
    let issued = first.issue_many(200).await;
    for tokens in &issued {
        first.revoke(&tokens.session_id).await;
    }
    let second = Replica::start(&url, &[]).await;
    for tokens in &issued {
        assert!(second.refuses(&tokens.access_token).await);
    }
}
