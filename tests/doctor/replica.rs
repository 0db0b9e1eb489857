//! A running service that has lost the revocation feed.

use std::time::{Duration, Instant};

use test_support::pgbouncer::PgBouncer;
use test_support::postgres::Cluster;
use test_support::process::free_port;

use crate::installation::Installation;

#[tokio::test]
async fn one_that_is_cut_off_from_the_feed() {
    let (cluster, database) = (Cluster::shared(), Cluster::shared().make_database().await);
    let pooler = PgBouncer::start(cluster, 5, "");
    let installation = Installation::on(&cluster.url(&database))
        .with("REVOCATION_MAX_STALENESS_SECONDS", "2")
        .with("GRPC_ADDR", "127.0.0.1:0")
        .with("HTTP_ADDR", "127.0.0.1:0");
    // The service uses the pooler, and the doctor uses the database directly.
    let through = installation.setup().set("DATABASE_URL", &pooler.url(&database));
    let _replica = through.spawn(&["serve"]);

    let deadline = Instant::now() + Duration::from_secs(30);
    while installation.examine().of("revocations.fresh") != Some("ok") {
        assert!(Instant::now() < deadline, "{:#?}", installation.examine().all);
    }
    installation.examine().assert_healthy();
    pooler.pause();
    while installation.examine().of("revocations.fresh") != Some("error") {
        assert!(Instant::now() < deadline, "{:#?}", installation.examine().all);
    }
    installation.examine().assert_only("error", "revocations.fresh");
    pooler.resume();
}

#[test]
fn a_service_of_another_installation_is_not_taken_for_this_one() {
    let metrics = format!("127.0.0.1:{}", free_port());
    let theirs = Installation::healthy()
        .with("METRICS_ADDR", &metrics)
        .with("GRPC_ADDR", "127.0.0.1:0")
        .with("HTTP_ADDR", "127.0.0.1:0");
    let _replica = theirs.setup().spawn(&["serve"]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while theirs.examine().of("revocations.fresh") != Some("ok") {
        assert!(Instant::now() < deadline, "{:#?}", theirs.examine().all);
    }
    let other = "Zx3LqW8nB1vK6yTe0RmUo5JpGh7dSc2fAi9XwNbQkEs=";
    let ours = Installation::healthy().with("METRICS_ADDR", &metrics).with("JWT_SECRET", other);
    let report = ours.examine();
    report.assert_healthy();
    assert!(report.message("replica.version").contains("another installation"), "{:?}", report.all);
    assert_eq!(report.of("revocations.fresh"), None);
}
