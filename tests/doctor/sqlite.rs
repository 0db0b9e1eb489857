//! Faults of an SQLite installation.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt as _;

use crate::installation::Installation;

#[test]
fn a_database_that_anyone_reads() {
    let installation = Installation::healthy();
    set_permissions(installation.path("token-authority.db"), Permissions::from_mode(0o644))
        .unwrap();
    installation.examine().assert_only("error", "files.private");
}

#[test]
fn a_generated_secret_that_anyone_reads() {
    let installation =
        Installation::healthy().with("ENVIRONMENT", "development").without("JWT_SECRET");
    let secret = installation.path("jwt_secret");
    std::fs::write(&secret, "Zt8Yq1Wn4Ck7Vm0Bx3Lr6Jp9Fd2Sg5HyUaEoIiQwRtPs").unwrap();
    set_permissions(&secret, Permissions::from_mode(0o644)).unwrap();
    let report = installation.examine();
    report.assert_only("error", "files.private");
    assert!(report.message("secrets.fingerprints").contains("JWT_SECRET "));
}

#[test]
fn a_file_that_is_not_there_in_production() {
    let installation = Installation::unmigrated();
    installation.examine().assert_only("error", "database.reachable");
    assert_eq!(installation.files(), [], "the inspection created a file");
}

#[test]
fn a_file_that_is_no_database() {
    let installation = Installation::healthy();
    std::fs::write(installation.path("token-authority.db"), "nonsense ".repeat(1000)).unwrap();
    installation.examine().assert_only("error", "database.reachable");
}

#[test]
fn a_file_that_nobody_migrated() {
    let installation = Installation::healthy();
    std::fs::write(installation.path("token-authority.db"), "").unwrap();
    let before = installation.files();
    installation.examine().assert_only("error", "database.schema");
    assert_eq!(installation.files(), before);
}

#[test]
fn older_sessions_that_cannot_be_looked_up() {
    let installation = Installation::healthy().with("LEGACY_SESSIONS", "better-auth");
    let before = installation.files();
    installation.examine().assert_only("error", "legacy.readable");
    assert_eq!(installation.files(), before, "the inspection changed a file");
}

#[test]
fn a_file_with_another_applications_tables() {
    let installation = Installation::healthy();
    let path = installation.path("token-authority.db");
    std::fs::remove_file(&path).unwrap();
    let made = "CREATE TABLE user_sessions (id INTEGER); CREATE TABLE signing_keys (id INTEGER)";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let mut owner = options.create_if_missing(true).connect().await.unwrap();
        owner.execute(made).await.unwrap();
        owner.close().await.unwrap();
    });
    set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let report = installation.examine();
    assert_eq!(report.of("database.foreign_objects"), Some("error"), "{:?}", report.all);
    let told = report.message("database.foreign_objects");
    assert!(told.contains("signing_keys, user_sessions"), "{told}");
}
