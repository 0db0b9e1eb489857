//! Faults of a Postgres installation, planted in a real one.

use test_support::postgres::Cluster;
use test_support::process::free_port;

use crate::installation::Installation;

/// Creates a healthy installation with its own database, after `plant` was executed there.
async fn planted(plant: &str) -> Installation {
    let cluster = Cluster::shared();
    let name = cluster.make_database().await;
    let installation = Installation::on(&cluster.url(&name));
    cluster.execute(&name, &plant.replace("{database}", &name)).await;
    installation
}

/// Returns statements that replace `now()` in this database.
fn own_now(expression: &str) -> String {
    format!(
        "CREATE SCHEMA own;
         CREATE FUNCTION own.now() RETURNS timestamptz LANGUAGE sql AS $$ {expression} $$;
         ALTER DATABASE {{database}} SET search_path = own, pg_catalog, public"
    )
}

#[tokio::test]
async fn one_that_does_not_answer() {
    let url = format!("postgres://postgres:hunter2@127.0.0.1:{}/none?sslmode=disable", free_port());
    let report = Installation::unmigrated().with("DATABASE_URL", &url).examine();
    report.assert_only("error", "database.reachable");
    assert!(!format!("{:?}", report.all).contains("hunter2"));
}

#[tokio::test]
async fn one_that_nobody_migrated() {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    let installation = Installation::unmigrated().with("DATABASE_URL", &url);
    installation.examine().assert_only("error", "database.schema");
    installation.examine().assert_only("error", "database.schema");
}

#[tokio::test]
async fn one_that_a_newer_version_has_contracted() {
    let enter = "INSERT INTO _sqlx_migrations
                     (version, description, success, checksum, execution_time)
                 VALUES (9999, 'contract_all', true, '', 0)";
    planted(enter).await.examine().assert_only("error", "database.schema");
}

#[tokio::test]
async fn one_that_a_newer_version_has_expanded_is_no_fault() {
    let enter = "INSERT INTO _sqlx_migrations
                     (version, description, success, checksum, execution_time)
                 VALUES (9999, 'expand_all', true, '', 0)";
    planted(enter).await.examine().assert_healthy();
}

#[tokio::test]
async fn one_that_cannot_be_written_to() {
    let plant = "ALTER DATABASE {database} SET default_transaction_read_only = on";
    // That no other fault is found also shows that the doctor writes nothing.
    planted(plant).await.examine().assert_only("error", "database.writable");
}

#[tokio::test]
async fn one_that_answers_before_it_commits() {
    let plant = "ALTER DATABASE {database} SET synchronous_commit = off";
    planted(plant).await.examine().assert_only("error", "database.durable");
}

#[tokio::test]
async fn one_whose_clock_is_a_little_off() {
    let plant = own_now("SELECT pg_catalog.now() - interval '3 seconds'");
    let report = planted(&plant).await.examine();
    report.assert_only("warn", "database.clock");
    assert!(report.message("database.clock").contains("behind"));
}

#[tokio::test]
async fn one_whose_clock_is_far_off() {
    let plant = own_now("SELECT pg_catalog.now() + interval '1 minute'");
    planted(&plant).await.examine().assert_only("error", "database.clock");
}

#[tokio::test]
async fn one_that_is_far_away() {
    let plant = own_now("SELECT pg_catalog.now() FROM pg_sleep(0.3)");
    planted(&plant).await.examine().assert_only("warn", "database.round_trip");
}

#[tokio::test]
async fn one_that_others_may_listen_to() {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    // Another address of this machine that does not look local.
    let installation = Installation::on(&url.replace("127.0.0.1", "0.0.0.0"));
    installation.examine().assert_only("warn", "database.encrypted");
}

#[tokio::test]
async fn one_whose_older_sessions_cannot_be_looked_up() {
    let table = "CREATE TABLE session (token text UNIQUE, \"userId\" text, ends timestamptz)";
    let installation = planted(table).await.with("LEGACY_SESSIONS", "better-auth");
    let report = installation.examine();
    report.assert_only("error", "legacy.readable");
    assert!(report.message("legacy.readable").contains("42703"), "{:?}", report.all);
    assert!(report.message("legacy.signed").contains("BETTER_AUTH_SECRET is not set"));
    installation.with("LEGACY_SESSIONS_EXPIRES_COLUMN", "ends").examine().assert_healthy();
}

#[tokio::test]
async fn one_whose_older_sessions_make_no_sense() {
    let table = "CREATE TABLE session
            (token text UNIQUE, \"userId\" text, \"expiresAt\" timestamptz, active boolean, id bytea);
        INSERT INTO session VALUES
            ('one', 'alice', now(), true, 'a'), ('two', NULL, now(), true, 'b')";
    let installation = planted(table).await.with("LEGACY_SESSIONS", "better-auth");
    let report = installation.examine();
    report.assert_healthy();
    let told = report.message("legacy.rows");
    assert!(told.contains("1 of the first 2 rows") && told.contains("inactive"), "{told}");
    // Columns of other types: no row can be a session.
    for (setting, column) in
        [("LEGACY_SESSIONS_EXPIRES_COLUMN", "active"), ("LEGACY_SESSIONS_USER_COLUMN", "id")]
    {
        let installation = planted(table).await.with("LEGACY_SESSIONS", "better-auth");
        let report = installation.with(setting, column).examine();
        report.assert_only("error", "legacy.rows");
        let told = report.message("legacy.rows");
        assert!(told.contains(setting) && told.contains(&format!("\"{column}\"")), "{told}");
    }
    let installation = planted(table).await.with("LEGACY_SESSIONS", "better-auth");
    let report = installation.with("LEGACY_SESSIONS_TOKEN_COLUMN", "id").examine();
    report.assert_only("error", "legacy.readable");
}

#[tokio::test]
async fn one_whose_older_sessions_others_may_listen_to() {
    let cluster = Cluster::shared();
    let theirs = cluster.make_database().await;
    let table = "CREATE TABLE session
                     (token text UNIQUE, \"userId\" text, \"expiresAt\" timestamptz)";
    cluster.execute(&theirs, table).await;
    let near = cluster.url(&theirs);
    let installation = planted("SELECT 1").await.with("LEGACY_SESSIONS", "better-auth");
    let installation = installation.with("LEGACY_DATABASE_URL", &near);
    installation.examine().assert_healthy();
    // Another address of this machine that does not look local.
    let far = near.replace("postgres@127.0.0.1", "postgres:hunter2@0.0.0.0");
    let report = installation.with("LEGACY_DATABASE_URL", &far).examine();
    report.assert_only("warn", "legacy.encrypted");
    let told = report.message("legacy.encrypted");
    assert!(told.contains("LEGACY_DATABASE_URL") && !told.contains("hunter2"), "{told}");
}

#[tokio::test]
async fn one_whose_older_sessions_are_in_a_database_that_does_not_answer() {
    let url = format!("postgres://postgres:hunter2@127.0.0.1:{}/none?sslmode=disable", free_port());
    let installation = planted("SELECT 1").await.with("LEGACY_SESSIONS", "better-auth");
    let report = installation.with("LEGACY_DATABASE_URL", &url).examine();
    report.assert_only("error", "legacy.readable");
    assert!(!format!("{:?}", report.all).contains("hunter2"));
}

#[tokio::test]
async fn one_that_nobody_sweeps() {
    let row = "INSERT INTO user_sessions
                   (id, user_id, token, expires_at, generation, lineage_key, handed_out_at,
                    created_at, last_used_at, granted, user_agent, ip_address, device_name,
                    revision, sweep_at)
               SELECT gen_random_uuid(), 'alice', repeat('0', 64), ended, 0,
                      decode(repeat('00', 32), 'hex'), ended, ended, ended, '{}', '', '', '', 0,
                      ended
               FROM (SELECT now() - days * interval '1 day' AS ended
                     FROM generate_series(0, 4) AS days) AS sessions";
    let report = planted(row).await.examine();
    report.assert_only("warn", "database.swept");
    assert!(report.message("database.swept").starts_with("3 ended sessions"), "{:?}", report.all);
}

#[tokio::test]
async fn one_with_another_applications_tables() {
    let cluster = Cluster::shared();
    for (made, named) in [
        ("CREATE TABLE user_sessions (id integer)", "user_sessions"),
        (
            "CREATE TABLE t (a integer); CREATE INDEX revocations_by_end ON t (a)",
            "revocations_by_end",
        ),
    ] {
        let name = cluster.make_database().await;
        cluster.execute(&name, made).await;
        let url = cluster.url(&name);
        let installation = Installation::unmigrated().with("DATABASE_URL", &url);
        let report = installation.examine();
        assert_eq!(report.of("database.foreign_objects"), Some("error"), "{:?}", report.all);
        let told = report.message("database.foreign_objects");
        assert!(told.contains(named) && told.contains("DATABASE_SCHEMA"), "{told}");
        let installation = installation.with("DATABASE_SCHEMA", "own");
        installation.examine().assert_only("error", "database.schema");
        installation.migrate();
        installation.examine().assert_healthy();
    }
}

#[tokio::test]
async fn one_whose_role_may_not_do_what_it_needs_to() {
    let cluster = Cluster::shared();
    let name = cluster.make_database().await;
    cluster.execute(&name, &format!("CREATE ROLE weak_{name} LOGIN")).await;
    let (url, weak) = (cluster.url(&name), format!("weak_{name}@"));
    let installation =
        Installation::unmigrated().with("DATABASE_URL", &url.replace("postgres@", &weak));
    let report = installation.examine();
    assert_eq!(report.of("database.privileges"), Some("error"), "{:?}", report.all);
    let told = report.message("database.privileges");
    assert!(told.contains("GRANT CREATE ON SCHEMA public") && told.contains(&name), "{told}");
    // After another role has migrated, this role needs access to the tables.
    Installation::unmigrated().with("DATABASE_URL", &url).migrate();
    let report = installation.examine();
    assert!(report.message("database.privileges").contains("user_sessions"), "{:?}", report.all);
    let grant = format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO weak_{name}"
    );
    cluster.execute(&name, &grant).await;
    installation.examine().assert_healthy();
}
