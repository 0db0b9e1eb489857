//! Three replicas behind `HAProxy` are restarted one by one, twice over: no client notices.

use std::time::{Duration, Instant};

use crate::cluster::Postgres;
use crate::haproxy::HaProxy;
use crate::load::Load;
use crate::replica::Replica;
use crate::support::http::Http;
use crate::support::measured::measured;
use crate::user::client;

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_costs_no_request() {
    let postgres = Postgres::start();
    let mut replicas = [(); 3].map(|()| Replica::start(&postgres.url()));
    let (proxy, browsers) = HaProxy::before_replicas(&replicas);
    let load = Load::begin(&client(proxy.port), &Http::new(browsers), 20).await;
    let begun = Instant::now();
    for _ in 0..2 {
        for replica in &mut replicas {
            tokio::task::block_in_place(|| {
                replica.end();
                replica.start_again();
            });
            // As a roll-out does, let the balancer see the new one before the next goes.
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
    assert!(rate > 150, "only {rate} requests a second: this shows nothing");
    for user in &mut users {
        user.refresh().await.unwrap();
    }
    for browser in &mut browsers {
        browser.refresh().await.unwrap();
    }
}
