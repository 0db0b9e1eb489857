//! Postgres is down, hangs, is full of locks or is read-only: the store reports it in time, and
//! recovers by itself.

use std::future::Future;
use std::time::{Duration, Instant};

use futures::future::join_all;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use test_support::pgbouncer::PgBouncer;
use test_support::postgres::Cluster;
use test_support::process::free_port;
use token_authority::store::postgres::{Options, PgRows, connect};
use token_authority::store::rows::Schema;
use token_authority::store::sessions::STATEMENT_TIMEOUT;
use token_authority::store::{Open, Rows, Store, StoreError};
use token_authority::token::id::UserId;
use token_authority::token::refresh::RefreshToken;
use token_authority::token::session::RevocationReason;

use crate::logins::{DAY, Logins, POLICY, REACH, START};

async fn migrated(url: &str) -> std::sync::Arc<PgRows> {
    let rows = connect(Options::new(url)).unwrap();
    assert_eq!(rows.migrate().await.unwrap(), Schema::Current);
    rows
}

/// Waits for an operation that must report in time that the database cannot be reached.
async fn expect_unavailable<T: std::fmt::Debug>(
    operation: impl Future<Output = Result<T, StoreError>>,
) -> String {
    let began = Instant::now();
    let error = operation.await.unwrap_err();
    assert!(began.elapsed() < STATEMENT_TIMEOUT * 2, "it took {:?}", began.elapsed());
    let StoreError::Unavailable(why) = error else { panic!("{error:?}") };
    why
}

/// Repeats an operation until the database is found again.
async fn recover<T, F: Future<Output = Result<T, StoreError>>>(operation: impl Fn() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match operation().await {
            Ok(done) => return done,
            Err(error) => assert!(Instant::now() < deadline, "still {error}"),
        }
    }
}

async fn logged_in(store: &Store, logins: &Logins, count: usize) -> Vec<(Open, RefreshToken)> {
    let logged_in: Vec<_> = (0..count).map(|_| logins.login("u", START)).collect();
    for opened in join_all(logged_in.iter().map(|(open, _)| store.open(open.clone()))).await {
        opened.unwrap();
    }
    logged_in
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_down_at_the_start_is_found_later() {
    let port = free_port();
    let url = format!("postgres://postgres:hunter2@127.0.0.1:{port}/postgres?sslmode=disable");
    let rows = connect(Options::new(&url)).unwrap();
    let store = Store::new(rows.clone(), POLICY, REACH);
    let why = expect_unavailable(store.check()).await;
    assert!(!why.contains("hunter2"), "{why}");
    for part in [&format!("127.0.0.1:{port}/postgres as postgres"), "connection refused"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let logins = Logins::new(30);
    expect_unavailable(store.open(logins.login("u", START).0)).await;
    expect_unavailable(rows.purge(START, 1)).await;

    let _cluster = Cluster::start_on(port);
    assert_eq!(recover(|| rows.migrate()).await, Schema::Current);
    store.open(logins.login("u", START).0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_is_unavailable_until_it_goes_on() {
    hang(|cluster| cluster.url("postgres")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_is_one_behind_a_pooler() {
    let bouncer = std::sync::OnceLock::new();
    let start = |cluster: &Cluster| PgBouncer::start(cluster, 5, "");
    hang(|cluster| bouncer.get_or_init(|| start(cluster)).url("postgres")).await;
}

async fn hang(url: impl FnOnce(&Cluster) -> String) {
    let cluster = Cluster::start();
    cluster.make_database().await;
    let rows = migrated(&url(&cluster)).await;
    let store = Store::new(rows.clone(), POLICY, REACH);
    let logins = Logins::new(31);
    let logged_in = logged_in(&store, &logins, 40).await;
    for round in 1..=2 {
        cluster.pause();
        let now = START + DAY * round;
        let finds = join_all(
            logged_in.iter().map(|(open, _)| expect_unavailable(store.find(open.session.id))),
        );
        let refreshes = join_all(
            logged_in
                .iter()
                .map(|(_, first)| expect_unavailable(store.refresh(logins.refresh(first, now)))),
        );
        let user = UserId::new("u").unwrap();
        let list = expect_unavailable(store.list(&user, None, 10, now));
        let purge = expect_unavailable(store.purge(START, 10));
        tokio::join!(finds, refreshes, list, purge);
        cluster.resume();

        let id = logged_in[0].0.session.id;
        recover(|| store.find(id)).await;
        recover(|| store.refresh(logins.refresh(&logged_in[0].1, now))).await;
        // Each client has a token that still works, whatever happened to the earlier refreshes.
        let again = logged_in
            .iter()
            .map(|(_, first)| recover(|| store.refresh(logins.refresh(first, now))));
        assert!(join_all(again).await.iter().all(|refreshed| refreshed.token.is_some()));
    }
    cluster.pause();
    // A shutdown does not wait for it without a limit.
    tokio::time::timeout(STATEMENT_TIMEOUT * 2, store.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_server_closes_are_replaced() {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    let store = Store::new(migrated(&url).await, POLICY, REACH);
    let logins = Logins::new(32);
    let logged_in = logged_in(&store, &logins, 20).await;
    for _ in 0..10 {
        let finds = || join_all(logged_in.iter().map(|(open, _)| store.find(open.session.id)));
        assert!(finds().await.iter().all(Result::is_ok));
        let mut admin = PgConnection::connect(&url).await.unwrap();
        let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'token-authority'";
        assert!(!admin.fetch_all(terminate).await.unwrap().is_empty());
        // Reads are retried on another connection.
        for found in finds().await {
            assert!(found.unwrap().is_some());
        }
    }
}

/// Opens another transaction that locks all rows.
async fn lock_all(url: &str) -> PgConnection {
    let mut other = PgConnection::connect(url).await.unwrap();
    other.execute("BEGIN").await.unwrap();
    other.execute("SELECT id FROM user_sessions FOR UPDATE").await.unwrap();
    other
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_does_not_leave_its_connection_unusable() {
    let cluster = Cluster::shared();
    let name = cluster.make_database().await;
    let direct = cluster.url(&name);
    migrated(&direct).await;
    for (seed, url) in [(35, direct.clone()), (36, PgBouncer::shared().url(&name))] {
        let rows = connect(Options { max_connections: 1, ..Options::new(&url) }).unwrap();
        let logins = Logins::new(seed);
        let open = logins.login("u", START).0;
        rows.insert(std::slice::from_ref(&open)).await.unwrap();
        let other = lock_all(&direct).await;
        for _ in 0..3 {
            let user = UserId::new("u").unwrap();
            let revocation =
                rows.revoke_user(&user, None, START.into(), RevocationReason::User, REACH);
            let left = tokio::time::timeout(Duration::from_millis(100), revocation).await;
            assert!(left.is_err());
            assert!(rows.load(&[open.session.id]).await.unwrap()[0].is_some());
        }
        drop(other);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_held_too_long_is_given_up_by_the_server_too() {
    let cluster = Cluster::shared();
    let name = cluster.make_database().await;
    let direct = cluster.url(&name);
    migrated(&direct).await;
    for (seed, url) in [(33, direct.clone()), (37, PgBouncer::shared().url(&name))] {
        is_given_up(seed, &url, &direct).await;
    }
}

async fn is_given_up(seed: u64, url: &str, direct: &str) {
    let rows = connect(Options::new(url)).unwrap();
    let open = Logins::new(seed).login("u", START).0;
    rows.insert(std::slice::from_ref(&open)).await.unwrap();
    let mut other = lock_all(direct).await;
    let user = UserId::new("u").unwrap();
    let revoke = || rows.revoke_user(&user, None, START.into(), RevocationReason::User, REACH);
    let held = revoke().await;
    assert!(matches!(held, Err(StoreError::Locked)), "{held:?}");
    // The sweeper skips the locked rows.
    let purged = rows.purge(START + 100 * DAY, 10).await.unwrap();
    assert_eq!(purged.examined, 0);
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let mut admin = PgConnection::connect(direct).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while admin.fetch_one(waiting).await.unwrap().get::<i64, _>(0) > 0 {
        assert!(Instant::now() < deadline, "the server still waits");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    other.execute("ROLLBACK").await.unwrap();
    assert_eq!(revoke().await.unwrap().len(), 1);
    rows.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_only_reads_is_unavailable_for_writing() {
    let cluster = Cluster::shared();
    let name = cluster.make_database().await;
    let url = cluster.url(&name);
    let rows = migrated(&url).await;
    rows.close().await;
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    admin.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(read_only))).await.unwrap();
    let rows = connect(Options::new(&url)).unwrap();
    let open = Logins::new(34).login("u", START).0;
    let why = expect_unavailable(rows.insert(std::slice::from_ref(&open))).await;
    assert!(why.contains("read-only (SQLSTATE 25006)") && why.contains(&name), "{why}");
    assert_eq!(rows.check().await.unwrap(), Schema::Current);
}
