//! The way to the feed is lost for a while: validation goes on, and afterwards nothing is missed.

use std::time::Duration;

use crate::proxy::{Mode, Proxy};
use crate::replica::Replica;
use crate::support::postgres::Cluster;

const OUTAGE: Duration = Duration::from_secs(5);

async fn nothing_is_missed(trouble: Mode) {
    let cluster = Cluster::shared();
    let direct = cluster.url(&cluster.make_database().await);
    let proxy = Proxy::before(cluster.port()).await;
    let around = direct.replace(&cluster.port().to_string(), &proxy.port.to_string());
    let a = Replica::start(&direct, &[]).await;
    let b = Replica::start(&around, &[]).await;
    let issued = a.issue_many(200).await;
    let (during, alive) = issued.split_at(150);

    proxy.set(trouble);
    let pause = OUTAGE / 150;
    for tokens in during {
        a.revoke(&tokens.session_id).await;
        // Neither the loss of the database nor its silence is felt here.
        assert!(!b.refuses(&alive[0].access_token).await);
        assert!(!b.refuses(&tokens.access_token).await, "the way is not cut");
        tokio::time::sleep(pause).await;
    }
    proxy.set(Mode::Pass);
    let mut longest = Duration::ZERO;
    for tokens in during {
        longest = longest.max(b.until_refused(&tokens.access_token).await);
    }
    println!("{trouble:?} for {OUTAGE:?}: caught up within {longest:?}");
    for tokens in alive {
        assert!(!b.refuses(&tokens.access_token).await);
    }
    b.until_ready(true).await;
    assert!(b.log().contains("followed again"), "{}", b.log());
    // What comes after it comes as before.
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
