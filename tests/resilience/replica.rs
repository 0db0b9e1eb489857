//! The setup of this suite's replicas.

use std::path::Path;

use test_support::replica::{Replica, Setup};

/// How many seconds a replica still accepts requests after SIGTERM.
pub(crate) const DRAIN_SECONDS: u64 = 2;

/// Returns the setup of a replica on a database. The replica keeps its ports over a restart.
pub(crate) fn setup(database_url: &str) -> Setup {
    Setup::on(database_url)
        .on_fixed_ports()
        .set("JWT_SECRET", "mFv1Qd0s7Zk4Xb9TnWc2Rj6Lp8Ye3Ga5UhIoKxNzJqM=")
        // A short window, so that the tests' refreshes rotate.
        .set("REFRESH_CONCURRENCY_WINDOW_SECONDS", "1")
        .set("SHUTDOWN_DELAY_SECONDS", &DRAIN_SECONDS.to_string())
        .set("SHUTDOWN_GRACE_SECONDS", "10")
        .set("LOG_LEVEL", "error,token_authority::cli=info")
}

/// Starts a replica of this version on a database, and waits until it is ready.
pub(crate) async fn start(database_url: &str) -> Replica {
    ready(&setup(database_url)).await
}

/// Starts a replica of any version, and waits until it is ready.
pub(crate) async fn ready(setup: &Setup) -> Replica {
    let replica = setup.start().await;
    replica.ready().await;
    replica
}

/// Starts three replicas of one version, each on ports of its own.
pub(crate) async fn three(program: &Path, database_url: &str) -> [Replica; 3] {
    let one = async || ready(&setup(database_url).program(program)).await;
    [one().await, one().await, one().await]
}
