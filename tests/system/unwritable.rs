//! A database that can be read but not written, and an SQLite file that is moved or shared.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tonic::Code;

use crate::database::Database;
use crate::wire;
use test_support::postgres::Cluster;
use test_support::replica::{Replica, Setup};
use test_support::tools;
use test_support::until::TIMEOUT;

/// Waits until `/readyz` answers with that status.
async fn readiness(service: &Replica, status: u16) -> String {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let answer = service.http().get("/readyz").await;
        if answer.status == status {
            return answer.body;
        }
        assert!(Instant::now() < deadline, "{} {}: {}", answer.status, answer.body, service.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_database_fails_readiness_and_no_validation() {
    let cluster = Cluster::shared();
    let name = cluster.make_database().await;
    let (_, setup) = Database::at(cluster.url(&name));
    let service = setup.start().await;
    let issued = wire::issue(&service.tokens(), "alice").await;
    readiness(&service, 200).await;
    let read_only = async |value: &str| {
        let mut admin = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
        for sql in [
            format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}"),
            format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            ),
        ] {
            admin.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
        }
    };
    read_only("on").await;
    // A successful write counts for a few seconds.
    let told = readiness(&service, 503).await;
    assert!(told.contains("cannot be written to"), "{told}");
    let refused = wire::try_issue(&service.tokens(), "bob").await.err().unwrap();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(wire::validate(&service.tokens(), &issued.access_token).await.active);
    assert_eq!(service.http().get("/healthz").await.status, 200);
    let logged = service.log().matches("the database cannot be written to").count();
    assert_eq!(logged, 1, "{}", service.log());
    assert!(service.log().contains("read-only (SQLSTATE 25006)"), "{}", service.log());
    read_only("off").await;
    readiness(&service, 200).await;
    wire::issue(&service.tokens(), "bob").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_file_fails_readiness_until_it_is_back() {
    let (database, setup) = Database::sqlite().await;
    let Database::Sqlite(file) = database else { unreachable!() };
    let service = setup.start().await;
    let issued = wire::issue(&service.tokens(), "alice").await;
    readiness(&service, 200).await;
    let elsewhere = file.with_extension("moved");
    std::fs::rename(&file, &elsewhere).unwrap();
    readiness(&service, 503).await;
    let refused = wire::try_issue(&service.tokens(), "bob").await.err().unwrap();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(service.log().contains("removed or moved"), "{}", service.log());
    assert!(wire::validate(&service.tokens(), &issued.access_token).await.active);
    std::fs::rename(&elsewhere, &file).unwrap();
    readiness(&service, 200).await;
    assert!(wire::refresh(&service.tokens(), &issued.refresh_token).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_service_on_one_file_is_refused_and_commands_are_not() {
    let (_, setup) = Database::sqlite().await;
    let mut service = setup.start().await;
    wire::issue(&service.tokens(), "alice").await;
    let second = setup.run(&["serve"]);
    let told = tools::text(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{told}");
    let process = format!("process {}", service.pid());
    assert!(told.contains("another service uses") && told.contains(&process), "{told}");
    let listed = setup.run(&["sessions", "list", "alice"]);
    assert!(listed.status.success(), "{}", tools::text(&listed.stderr));
    // A crash leaves no lock behind.
    service.kill();
    let next = setup.start().await;
    wire::issue(&next.tokens(), "alice").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_service_is_restored() {
    let (database, setup) = Database::sqlite().await;
    let Database::Sqlite(file) = database else { unreachable!() };
    let mut service = setup.start().await;
    let issued = wire::issue(&service.tokens(), "alice").await;
    let copied = setup.run(&["backup", "copy.db"]);
    assert!(copied.status.success(), "{}", tools::text(&copied.stderr));
    let again = setup.run(&["backup", "copy.db"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(tools::text(&again.stderr).contains("copy.db: the file exists"));
    assert_eq!(setup.run(&["backup"]).status.code(), Some(64));
    wire::issue(&service.tokens(), "bob").await;
    service.kill();
    // As docs/operations.md describes it.
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", file.display()));
    }
    std::fs::copy(setup.folder().join("copy.db"), &file).unwrap();
    let service = setup.start().await;
    assert!(wire::refresh(&service.tokens(), &issued.refresh_token).await.is_ok());
    assert_eq!(Database::Sqlite(file).count().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_is_backed_up_by_its_own_tools() {
    let setup = Setup::new().set("DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/d");
    let refused = setup.run(&["backup", "copy.db"]);
    let told = tools::text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(told.contains("pg_dump") && !told.contains("hunter2"), "{told}");
    assert!(!setup.folder().join("copy.db").exists());
}
