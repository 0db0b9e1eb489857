//! Logins of users whose sessions are bounded, on Postgres: a lock that another transaction holds fails
//! the logins of its user alone, and a replica that vanishes keeps no lock.

use std::net::Ipv4Addr;

use futures::future::join_all;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use test_support::pgbouncer::PgBouncer;
use test_support::postgres::Cluster;
use test_support::until::until;
use token_authority::store::postgres::{Options, connect};
use token_authority::store::{Rows as _, Store, StoreError};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::logins::{Logins, POLICY, REACH, START};

/// Opens a store that leaves each user one session.
async fn bounded(url: &str) -> Store {
    let rows = connect(Options::new(url)).unwrap();
    rows.migrate().await.unwrap();
    Store::new(rows, POLICY, REACH).with_max_sessions(1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_lock_fails_the_logins_of_its_user_alone() {
    let cluster = Cluster::shared();
    let direct = cluster.url(&cluster.make_database().await);
    held_up(&direct, &direct, 96).await;
    let name = cluster.make_database().await;
    held_up(&PgBouncer::shared().url(&name), &cluster.url(&name), 97).await;
}

async fn held_up(url: &str, direct: &str, seed: u64) {
    const HELD: usize = 4;
    let store = bounded(url).await;
    let logins = Logins::new(seed);
    let mut holder = PgConnection::connect(direct).await.unwrap();
    let mut holding = holder.begin().await.unwrap();
    holding.execute("INSERT INTO login_locks (user_id) VALUES ('user-4')").await.unwrap();
    for _ in 0..2 {
        let login = |i| logins.login(&format!("user-{i}"), START).0;
        let opens = (0..7).map(|i| store.open(login(i)));
        for (i, opened) in join_all(opens).await.into_iter().enumerate() {
            match opened {
                Err(StoreError::Locked) => assert_eq!(i, HELD),
                opened => assert!(i != HELD && opened.is_ok(), "{i}: {opened:?}"),
            }
        }
    }
    holding.rollback().await.unwrap();
    store.open(logins.login("user-4", START).0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_vanishes_keeps_no_lock() {
    let cluster = Cluster::shared();
    let direct = cluster.url(&cluster.make_database().await);
    vanish(&direct, &direct, 98).await;
    let name = cluster.make_database().await;
    vanish(&PgBouncer::shared().url(&name), &cluster.url(&name), 99).await;
}

async fn vanish(url: &str, direct: &str, seed: u64) {
    let logins = Logins::new(seed);
    let other = bounded(direct).await;
    let mut admin = PgConnection::connect(direct).await.unwrap();
    // The replica must vanish while it holds the locks. On a busy machine that takes several attempts.
    let store = until("a replica vanished in its transaction", async || {
        let first = logins.login("u", START).0;
        other.open(first.clone()).await.ok()?;
        let (vanished, is_vanished) = watch::channel(false);
        let store = bounded(&detour(url, is_vanished).await).await;
        // The login waits for this row, which it is about to end.
        let mut holder = PgConnection::connect(direct).await.unwrap();
        let mut holding = holder.begin().await.unwrap();
        let hold = sqlx::query("SELECT FROM user_sessions WHERE id = $1 FOR UPDATE");
        hold.bind(first.session.id.as_uuid()).execute(&mut *holding).await.unwrap();
        let attempt = tokio::spawn({
            let open = logins.login("u", START).0;
            async move { (store.open(open).await, store) }
        });
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while admin.fetch_one(waiting).await.unwrap().get::<i64, _>(0) == 0
            && !attempt.is_finished()
        {}
        vanished.send_replace(true);
        holding.rollback().await.unwrap();
        let idle = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND state = 'idle in transaction'";
        for _ in 0..20 {
            if admin.fetch_one(idle).await.unwrap().get::<i64, _>(0) > 0 {
                return Some((attempt, vanished));
            }
        }
        None
    })
    .await;
    assert!(matches!(other.open(logins.login("u", START).0).await, Err(StoreError::Locked)));
    until("the lock is free", async || other.open(logins.login("u", START).0).await.ok()).await;
    drop(store);
}

/// Starts a proxy in front of a database URL's port, and returns the URL through it. When `vanished`
/// becomes true, the proxy forwards nothing more and closes nothing, like a machine without power.
async fn detour(url: &str, vanished: watch::Receiver<bool>) -> String {
    let (before, after) = url.rsplit_once(':').unwrap();
    let (port, after) = after.split_once('/').unwrap();
    let target: u16 = port.parse().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut vanished = vanished.clone();
            tokio::spawn(async move {
                let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await.unwrap();
                let is_lost = tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => false,
                    lost = vanished.wait_for(|vanished| *vanished) => lost.is_ok(),
                };
                if is_lost {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    format!("{before}:{port}/{after}")
}
