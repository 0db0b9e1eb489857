//! Notifications between replicas arrive, also after their connection was lost.

use std::sync::Arc;
use std::time::Duration;

use test_support::pgbouncer::PgBouncer;
use test_support::postgres::Cluster;
use test_support::process::free_port;
use test_support::proxy::{Mode, Proxy};
use test_support::until::until;
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

/// Runs a command on a Redis as an operator.
async fn operate(url: &str, words: &[&str]) {
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd(words[0]).arg(&words[1..]).exec_async(&mut connection).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_password_of_redis_is_read_from_its_file_without_a_restart() {
    let (server, elsewhere) = (RedisServer::start(), RedisServer::start());
    let with = |password: &str| format!("redis://:{password}@127.0.0.1:{}", server.port);
    operate(&server.url(), &["CONFIG", "SET", "requirepass", "first"]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    let write = |url: &str| std::fs::write(&file, format!("{url}\n")).unwrap();
    write(&with("first"));
    let signal = || {
        let url = RedisUrl::parse(&with("first")).unwrap();
        Arc::new(RedisSignal::new(&url, Some(file.clone())).unwrap())
    };
    let (listener, raiser) = (signal(), signal());
    let heard = Arc::new(Notify::new());
    let listening = tokio::spawn(listen(listener, Arc::clone(&heard)));
    heard_soon(&heard).await;
    raiser.raise().await.unwrap();
    heard_soon(&heard).await;

    // The password is rotated first, and everybody is cut off; then the file changes.
    operate(&with("first"), &["CONFIG", "SET", "requirepass", "sec%nd"]).await;
    for kind in ["pubsub", "normal"] {
        operate(&with("sec%25nd"), &["CLIENT", "KILL", "TYPE", kind]).await;
    }
    // The first ones may still find the broken connection.
    let told = until("the login is refused", async || {
        let told = raiser.raise().await.err()?.to_string();
        told.contains("password").then_some(told)
    })
    .await;
    assert!(told.contains("REDIS_URL_FILE"), "{told}");
    assert!(told.contains(&server.port.to_string()) && !told.contains("first"), "{told}");
    // A file that is not a URL changes nothing.
    write("redis://:sec%nd@127.0.0.1");
    raiser.raise().await.unwrap_err();
    write(&with("sec%25nd"));
    a_signal_gets_through(&*raiser, &heard).await;

    // A change of the file alone moves to another server, though the old one still answers.
    let there = Arc::new(Notify::new());
    let url = RedisUrl::parse(&elsewhere.url()).unwrap();
    let listener: Arc<dyn Notifier> = Arc::new(RedisSignal::new(&url, None).unwrap());
    let listening_there = tokio::spawn(listen(listener, Arc::clone(&there)));
    heard_soon(&there).await;
    write(&elsewhere.url());
    raiser.raise().await.unwrap();
    heard_soon(&there).await;
    listening.abort();
    listening_there.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_not_there_or_refuses_is_named_with_the_cause() {
    let server = RedisServer::start();
    operate(&server.url(), &["ACL", "SETUSER", "deaf", "on", ">hunter2", "+ping"]).await;
    let refusal = async |url: &str| {
        let signal = RedisSignal::new(&RedisUrl::parse(url).unwrap(), None).unwrap();
        let told = signal.raise().await.unwrap_err().to_string();
        assert!(!told.contains("hunter"), "{told}");
        told
    };
    let (place, free) = (format!("127.0.0.1:{}", server.port), free_port());
    for (url, parts) in [
        (format!("redis://deaf:hunter3@{place}"), [place.as_str(), "wrong user or password"]),
        (format!("redis://deaf:hunter2@{place}"), [place.as_str(), "may not publish"]),
        (format!("redis://:hunter2@127.0.0.1:{free}"), ["127.0.0.1:", "refused"]),
    ] {
        let told = refusal(&url).await;
        assert!(parts.iter().all(|part| told.contains(part)), "{url}: {told}");
    }
    operate(&server.url(), &["CONFIG", "SET", "requirepass", "hunter2"]).await;
    assert!(refusal(&server.url()).await.contains("password"));
}
