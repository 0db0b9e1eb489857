//! Three replicas behind `HAProxy` are restarted one by one, twice, and no client notices.

use std::time::{Duration, Instant};

use test_support::http::Http;
use test_support::measured::measured;
use test_support::postgres::Cluster;
use test_support::replica::binary;

use crate::haproxy::HaProxy;
use crate::load::Load;
use crate::replica;
use crate::user::client;

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_costs_no_request() {
    let postgres = Cluster::start();
    let mut replicas = replica::three(&binary(), &postgres.url("postgres")).await;
    let (proxy, browsers) = HaProxy::before_replicas(&replicas);
    let load = Load::begin(&client(proxy.port), &Http::new(browsers), 20).await;
    let begun = Instant::now();
    for _ in 0..2 {
        for replica in &mut replicas {
            replica.end().await;
            replica.start_again().await;
            replica.ready().await;
            // Like an orchestrator, wait until the balancer knows the new replica before the next
            // one stops.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    let (mut users, mut browsers, tally) = load.end().await;
    let rate = tally.good / begun.elapsed().as_secs();
    measured(&format!(
        "rolling: {} requests, {rate} a second, {} rotations",
        tally.good, tally.rotations
    ));
    assert!(tally.errors.is_empty(), "{:?} {}", tally.errors, proxy.log());
    assert!(tally.rotations > 0, "no refresh rotated");
    assert!(rate > 150, "only {rate} requests a second: too few");
    for user in &mut users {
        user.refresh().await.unwrap();
    }
    for browser in &mut browsers {
        browser.refresh().await.unwrap();
    }
}
