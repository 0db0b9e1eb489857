//! Commits that overtake one another, made by hand: a row takes its position in the feed before its
//! commit, so a later row may become visible first.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use test_support::postgres::Cluster;
use token_authority::authority::revocations::follow::follow;
use token_authority::authority::{RevocationSettings, Revocations};
use token_authority::clock::{Clock as _, OsEntropy, SystemClock, Timestamp};
use token_authority::store::postgres::{self, Options};
use token_authority::store::rows::{OVERLAP, Position};
use token_authority::store::{Rows, Store};
use token_authority::token::id::SessionId;
use tokio::sync::Notify;

use crate::logins::{Logins, POLICY, REACH, START};

/// A transaction that has revoked a session and has not committed yet.
struct Held(PgConnection);

impl Held {
    async fn begin(url: &str, id: SessionId) -> Self {
        let mut connection = PgConnection::connect(url).await.unwrap();
        let sql = format!(
            "BEGIN; INSERT INTO revocations
                 (session_id, user_id, revoked_at, expires_at, reason, recorded_at)
             VALUES ('{id}', 'u', now(), now() + interval '30 min', 'admin', clock_timestamp())"
        );
        connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
        Self(connection)
    }

    async fn commit(mut self) {
        self.0.execute(sqlx::raw_sql("COMMIT")).await.unwrap();
    }
}

async fn database() -> (String, Arc<postgres::PgRows>) {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    let rows = postgres::connect(Options::new(&url)).unwrap();
    rows.migrate().await.unwrap();
    (url, rows)
}

fn ids<const N: usize>(seed: u64) -> [SessionId; N] {
    let logins = Logins::new(seed);
    std::array::from_fn(|_| logins.login("u", START).0.session.id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_horizon_lies_before_what_is_under_way() {
    let (url, rows) = database().await;
    let [early, late] = ids(81);
    let now = SystemClock.now();
    let held = Held::begin(&url, early).await;
    Held::begin(&url, late).await.commit().await;
    // Longer than the overlap that applies if running transactions are not known.
    tokio::time::sleep(OVERLAP + Duration::from_secs(1)).await;

    let page = rows.feed(Position::before(Timestamp::EPOCH), now, 10).await.unwrap();
    let found: Vec<SessionId> = page.recorded.iter().map(|one| one.position.session_id).collect();
    assert_eq!(found, [late]);
    held.commit().await;
    let page = rows.feed(Position::before(page.horizon), now, 10).await.unwrap();
    let found: Vec<SessionId> = page.recorded.iter().map(|one| one.position.session_id).collect();
    assert_eq!(found, [early, late]);
    assert!(page.horizon > page.recorded[1].position.recorded_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_misses_no_commit_that_was_overtaken() {
    let (url, rows) = database().await;
    let [loaded, short, long, between, late] = ids(82);
    Held::begin(&url, loaded).await.commit().await;
    let held_at_the_start = Held::begin(&url, long).await;

    let store = Arc::new(Store::new(rows, POLICY, REACH));
    let settings = RevocationSettings::default();
    let known = Arc::new(Revocations::new(settings, Arc::new(SystemClock), &OsEntropy));
    let following = tokio::spawn(follow(store, Arc::clone(&known), Arc::new(Notify::new())));
    tokio::time::timeout(Duration::from_secs(10), known.loaded()).await.unwrap();
    assert!(known.is_revoked(loaded) && !known.is_revoked(long));

    let held = Held::begin(&url, short).await;
    Held::begin(&url, between).await.commit().await;
    until_revoked(&known, between).await;
    assert!(!known.is_revoked(short));
    held.commit().await;
    until_revoked(&known, short).await;

    // Many reads later, and after the overlap.
    tokio::time::sleep(OVERLAP + Duration::from_secs(1)).await;
    Held::begin(&url, late).await.commit().await;
    until_revoked(&known, late).await;
    assert!(!known.is_revoked(long));
    held_at_the_start.commit().await;
    until_revoked(&known, long).await;
    assert_eq!(known.len(), 5);
    following.abort();
}

async fn until_revoked(known: &Revocations, id: SessionId) {
    let begun = Instant::now();
    while !known.is_revoked(id) {
        assert!(begun.elapsed() < Duration::from_secs(5), "a revocation was missed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
