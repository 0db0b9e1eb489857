//! Connections that do nothing.

use std::time::Duration;

use crate::frames::Connection;
use crate::target::Target;
use test_support::replica::Setup;

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_of_one_address_lock_nobody_out() {
    let few = Setup::new().under(&["prlimit", "--nofile=300:300", "--"]);
    let target = Target::start_from(few, &[]).await;
    let honest = target.honest().await;
    let mut idle = Vec::new();
    for address in [target.service.grpc(), target.service.http_addr()] {
        for _ in 0..300 {
            // A refused connection does not help the attacker.
            idle.extend(Connection::open(address, 65_535).await.ok());
        }
    }
    honest.end().await;
    drop(idle);
    assert!(!target.service.log().contains("cannot accept"), "descriptors are kept in reserve");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_descriptors_is_raised_to_what_is_allowed() {
    let low = Setup::new().under(&["prlimit", "--nofile=64:2000", "--"]);
    let target = Target::start_from(low, &[]).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", target.service.pid())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().take(2).collect::<Vec<_>>(), ["2000", "2000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_idle_connection_of_the_same_address_goes_first() {
    let target = Target::start(&[("MAX_CONNECTIONS_PER_CLIENT", "3")]).await;
    let address = target.service.grpc();
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(Connection::open(address, 65_535).await.unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let newest = Connection::open(address, 65_535).await.unwrap();
    let oldest = kept.remove(0);
    oldest.ended(Duration::from_secs(5)).await;
    for mut other in kept.into_iter().chain([newest]) {
        assert!(other.drain().await, "only the oldest connection is closed");
    }
}
