//! Notifications between replicas arrive, also after their connection was lost.

use std::sync::Arc;
use std::time::Duration;

use test_support::pgbouncer::PgBouncer;
use test_support::postgres::Cluster;
use test_support::proxy::{Mode, Proxy};
use token_authority::authority::revocations::signals::listen;
use token_authority::store::Notifier;
use token_authority::store::postgres::{self, Options};
use token_authority::store::redis::{RedisSignal, RedisUrl};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::redis_server::RedisServer;

const SOON: Duration = Duration::from_secs(20);

async fn heard_soon(heard: &Notify) {
    timeout(SOON, heard.notified()).await.expect("nothing was heard");
}

/// Sends notifications until one arrives. A new listener needs a moment.
async fn a_signal_gets_through(raiser: &dyn Notifier, heard: &Notify) {
    let raising = async {
        loop {
            let _ = raiser.raise().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = raising => {}
        () = heard_soon(heard) => {}
    }
}

/// One side listens through the proxy, and the other one sends.
async fn survives_its_way(listener: Arc<dyn Notifier>, raiser: Arc<dyn Notifier>, proxy: Proxy) {
    let heard = Arc::new(Notify::new());
    let listening = tokio::spawn(listen(listener, Arc::clone(&heard)));
    // A new listener notifies once, because it may have missed notifications.
    heard_soon(&heard).await;
    for _ in 0..3 {
        raiser.raise().await.unwrap();
        heard_soon(&heard).await;
    }
    let silent = timeout(Duration::from_millis(300), heard.notified()).await;
    assert!(silent.is_err(), "a notification arrived that was not sent");

    for trouble in [Mode::Cut, Mode::Hang] {
        proxy.set(trouble);
        raiser.raise().await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        proxy.set(Mode::Pass);
        a_signal_gets_through(&*raiser, &heard).await;
    }
    listening.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn through_postgres() {
    let cluster = Cluster::shared();
    let name = cluster.make_database().await;
    let proxy = Proxy::before(cluster.port()).await;
    let direct = cluster.url(&name);
    let around = direct.replace(&cluster.port().to_string(), &proxy.port.to_string());
    let connect = |url: &str| postgres::connect(Options::new(url)).unwrap();
    survives_its_way(connect(&around), connect(&direct), proxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_redis() {
    let server = RedisServer::start();
    let proxy = Proxy::before(server.port).await;
    let connect = |url: &str| RedisSignal::new(&RedisUrl::parse(url).unwrap(), None).unwrap();
    let around = connect(&format!("redis://127.0.0.1:{}", proxy.port));
    let direct = connect(&server.url());
    survives_its_way(Arc::new(around), Arc::new(direct), proxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_transaction_pooler_nobody_listens_in_vain() {
    let cluster = Cluster::shared();
    let url = PgBouncer::shared().url(&cluster.make_database().await);
    let signal = postgres::connect(Options::new(url)).unwrap();
    let heard = Notify::new();
    timeout(SOON, signal.listen(&heard)).await.unwrap().unwrap();
    signal.raise().await.unwrap();
}
