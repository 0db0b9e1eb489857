//! The connection to the feed is lost for a while: validation continues, and afterwards no
//! revocation is missed.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use test_support::measured::measured;
use test_support::postgres::Cluster;
use test_support::proxy::{Mode, Proxy};

use crate::replica::Replica;

const OUTAGE: Duration = Duration::from_secs(5);

/// A transaction of a slow replica, for example, that has revoked a session and has not committed
/// yet.
struct Held(PgConnection);

impl Held {
    async fn begin(url: &str, session_id: &str) -> Self {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let sql = format!(
            "BEGIN; INSERT INTO revocations
                 (session_id, user_id, revoked_at, expires_at, reason, recorded_at)
             VALUES ('{session_id}', 'u', now(), now() + interval '30 min', 'admin',
                     clock_timestamp())"
        );
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
        Self(connection)
    }

    async fn commit(mut self) {
        self.0.execute(sqlx::raw_sql("COMMIT")).await.unwrap();
    }
}

async fn nothing_is_missed(trouble: Mode) {
    let cluster = Cluster::shared();
    let direct = cluster.url(&cluster.make_database().await);
    let proxy = Proxy::before(cluster.port()).await;
    let around = direct.replace(&cluster.port().to_string(), &proxy.port.to_string());
    let a = Replica::start(&direct, &[]).await;
    let b = Replica::start(&around, &[]).await;
    let issued = a.issue_many(200).await;
    let (during, alive) = issued.split_at(150);
    // Two commits that all of these overtake: one during the outage, one long after it.
    let ([overtaken, latest], alive) = alive.split_first_chunk().unwrap();
    let overtaking = Held::begin(&direct, &overtaken.session_id).await;
    let last = Held::begin(&direct, &latest.session_id).await;

    proxy.set(trouble);
    let pause = OUTAGE / 150;
    for tokens in during {
        a.revoke(&tokens.session_id).await;
        // Validation notices neither the loss of the database nor its silence.
        assert!(!b.refuses(&alive[0].access_token).await);
        assert!(!b.refuses(&tokens.access_token).await, "the connection is not cut");
        tokio::time::sleep(pause).await;
    }
    overtaking.commit().await;
    proxy.set(Mode::Pass);
    let mut longest = Duration::ZERO;
    for tokens in during {
        longest = longest.max(b.until_refused(&tokens.access_token).await);
    }
    longest = longest.max(b.until_refused(&overtaken.access_token).await);
    measured(&format!("feed, {trouble:?} for {OUTAGE:?}: caught up within {longest:?}"));
    assert!(!b.refuses(&latest.access_token).await);
    last.commit().await;
    b.until_refused(&latest.access_token).await;
    for tokens in alive {
        assert!(!b.refuses(&tokens.access_token).await);
    }
    b.until_ready(true).await;
    assert!(b.log().contains("can be read again"), "{}", b.log());
    // Later revocations arrive as usual.
    a.revoke(&alive[0].session_id).await;
    b.until_refused(&alive[0].access_token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missed_when_connections_end() {
    nothing_is_missed(Mode::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missed_when_connections_hang() {
    nothing_is_missed(Mode::Hang).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_stops_no_validation() {
    let cluster = Cluster::start();
    let url = cluster.url(&cluster.make_database().await);
    let a = Replica::start(&url, &[]).await;
    let b = Replica::start(&url, &[]).await;
    let issued = a.issue_many(20).await;
    let (before, after) = issued.split_at(10);
    for tokens in before {
        a.revoke(&tokens.session_id).await;
        b.until_refused(&tokens.access_token).await;
    }
    cluster.pause();
    for _ in 0..50 {
        assert!(b.refuses(&before[0].access_token).await);
        assert!(!b.refuses(&after[0].access_token).await);
        tokio::time::sleep(OUTAGE / 50).await;
    }
    cluster.resume();
    a.until_ready(true).await;
    for tokens in after {
        a.revoke(&tokens.session_id).await;
        b.until_refused(&tokens.access_token).await;
    }
}
