//! A running service that has lost the revocation feed.

use std::time::{Duration, Instant};

use test_support::pgbouncer::PgBouncer;
use test_support::postgres::Cluster;

use crate::installation::Installation;

#[tokio::test]
async fn one_that_is_cut_off_from_the_feed() {
    let (cluster, database) = (Cluster::shared(), Cluster::shared().make_database().await);
    let pooler = PgBouncer::start(cluster, 5, "");
    let installation = Installation::on(&cluster.url(&database))
        .with("REVOCATION_MAX_STALENESS_SECONDS", "2")
        .with("GRPC_ADDR", "127.0.0.1:0")
        .with("HTTP_ADDR", "127.0.0.1:0");
    // The service goes through the pooler, and the doctor past it.
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
