//! Health probes without end, and what a process may leave behind.

use sqlx::{Connection as _, PgConnection};

use crate::target::Target;
use test_support::postgres::Cluster;
use test_support::replica::Setup;

pub(crate) async fn transactions(url: &str, database: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let count = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1";
    sqlx::query_scalar(count).bind(database).fetch_one(&mut connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_asks_the_database_once_a_second() {
    let database = Cluster::shared().make_database().await;
    let url = Cluster::shared().url(&database);
    let target = Target::start(&[("DATABASE_URL", &url)]).await;
    let before = transactions(&url, &database).await;
    let begun = std::time::Instant::now();
    let http = target.service.http();
    for _ in 0..2000 {
        assert_eq!(http.get("/readyz").await.status, 200);
    }
    let seconds = i64::try_from(begun.elapsed().as_secs()).unwrap() + 1;
    // Postgres counts with a delay.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let asked = transactions(&url, &database).await - before;
    // The followers ask a few times a second as well.
    assert!(asked < 30 * (seconds + 2), "{asked} transactions in {seconds} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn production_leaves_no_core_dump() {
    let core = |target: &Target| {
        let limits = format!("/proc/{}/limits", target.service.pid());
        let limits = std::fs::read_to_string(limits).unwrap();
        let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
        line.unwrap().split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let database = Cluster::shared().make_database().await;
    let url = Cluster::shared().url(&database);
    let setup = Setup::new()
        .set("DATABASE_URL", &url)
        .set("JWT_SECRET", "kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=")
        .set("TLS", "off")
        .under(&["prlimit", "--core=1000000:1000000", "--"]);
    assert!(setup.run(&["migrate"]).status.success());
    let development = Target::start_from(setup.clone(), &[]).await;
    assert_eq!(core(&development), ["1000000", "1000000"]);
    drop(development);
    std::fs::remove_file(setup.folder().join("callers.json")).unwrap();
    let production = Target::start_from(setup, &[("ENVIRONMENT", "production")]).await;
    assert_eq!(core(&production), ["0", "0"]);
}
