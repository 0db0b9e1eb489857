//! A service that runs, and does not know whether it knows every revocation.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::installation::Installation;
use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::Cluster;
use crate::support::supervised::free_port;

/// A service, killed when it is dropped.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(command: &mut Command) -> Served {
    Served(command.arg("serve").spawn().unwrap())
}

#[tokio::test]
async fn one_that_is_cut_off_from_the_feed() {
    let (cluster, database) = (Cluster::shared(), Cluster::shared().make_database().await);
    let pooler = PgBouncer::start(cluster, 5, "");
    let installation = Installation::on(&cluster.url(&database))
        .with("REVOCATION_MAX_STALENESS_SECONDS", "2")
        .with("GRPC_ADDR", &format!("127.0.0.1:{}", free_port()))
        .with("HTTP_ADDR", &format!("127.0.0.1:{}", free_port()))
        .with("LOG_LEVEL", "off");
    // The service goes through the pooler, and the doctor past it.
    let mut command = installation.command(&[]);
    let _served = serve(command.env("DATABASE_URL", pooler.url(&database)));

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
