//! The ways to a Postgres: hosts, sockets, schemas and rotated passwords, and the error if none
//! leads to it.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, Row as _,
};
use token_authority::store::postgres::{Options, PgRows, connect};
use token_authority::store::rows::Schema;
use token_authority::store::{Inspect, Rows, Store, StoreError};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixListener};

use crate::logins::{Logins, POLICY, REACH, START};
use test_support::pgbouncer::PgBouncer;
use test_support::postgres::Cluster;
use test_support::process::free_port;

/// Runs statements as the superuser.
async fn execute(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.unwrap();
    connection.close().await.unwrap();
}

fn in_schema(url: &str, schema: &str) -> Arc<PgRows> {
    connect(Options { schema: Some(schema.parse().unwrap()), ..Options::new(url) }).unwrap()
}

async fn refusal(url: &str) -> String {
    let rows = connect(Options::new(url)).unwrap();
    let began = Instant::now();
    let error = rows.migrate().await.unwrap_err().to_string();
    assert!(began.elapsed() < Duration::from_secs(20), "{error}: {:?}", began.elapsed());
    assert!(!error.contains("hunter2"), "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn another_applications_tables_are_named_at_once_and_left_alone() {
    let cluster = Cluster::shared();
    for (made, name) in [
        ("CREATE TABLE user_sessions (id integer)", "user_sessions"),
        (
            "CREATE TABLE theirs (id integer); CREATE INDEX revocations_by_end ON theirs (id)",
            "revocations_by_end",
        ),
        ("CREATE VIEW signing_keys AS SELECT 1", "signing_keys"),
        ("CREATE TYPE revocations AS (a integer)", "revocations"),
        ("CREATE SEQUENCE rollout_changes", "rollout_changes"),
    ] {
        let database = cluster.make_database().await;
        let url = cluster.url(&database);
        execute(&url, made).await;
        let before = cluster.dump(&database);
        let told = refusal(&url).await;
        for part in [name, "did not create", "DATABASE_SCHEMA", &database] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let changed: Vec<String> = cluster.dump(&database).lines().map(str::to_owned).collect();
        let ours = changed.iter().filter(|line| line.starts_with("CREATE TABLE")).count();
        let theirs = before.lines().filter(|line| line.starts_with("CREATE TABLE")).count();
        // Earlier migrations may have been applied completely, and listed.
        assert!(name != "user_sessions" || ours == theirs + 1, "{changed:?}");

        let rows = in_schema(&url, "own");
        assert_eq!(rows.migrate().await.unwrap(), Schema::Current);
        let open = Logins::new(60).login("u", START).0;
        assert_eq!(rows.insert(std::slice::from_ref(&open)).await.unwrap(), [true]);
        assert!(rows.load(&[open.session.id]).await.unwrap()[0].is_some());
        let mut direct = PgConnection::connect(&url).await.unwrap();
        let count = direct.fetch_one("SELECT count(*) FROM own.user_sessions").await.unwrap();
        assert_eq!(count.get::<i64, _>(0), 1);
        Rows::close(&*rows).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_applications_list_of_migrations_is_left_alone() {
    let cluster = Cluster::shared();
    for entry in ["1, 'create users'", "20240101000000, 'create users'"] {
        let url = cluster.url(&cluster.make_database().await);
        let list = format!(
            "CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, description text NOT NULL,
                 installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL,
                 checksum bytea NOT NULL, execution_time bigint NOT NULL);
             INSERT INTO _sqlx_migrations VALUES ({entry}, now(), true, '', 0)"
        );
        execute(&url, &list).await;
        let told = refusal(&url).await;
        assert!(told.contains("another application") && told.contains("DATABASE_SCHEMA"), "{told}");
        let inspected = connect(Options::new(&url)).unwrap();
        assert!(Inspect::schema(&*inspected).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_its_own_also_works_behind_a_pooler() {
    let cluster = Cluster::shared();
    let database = cluster.make_database().await;
    let direct = cluster.url(&database);
    execute(&direct, "CREATE TABLE user_sessions (id integer)").await;
    let pooled = PgBouncer::shared().url(&database);
    let ours = in_schema(&pooled, "Own-er".replace('-', "_").as_str());
    assert_eq!(ours.migrate().await.unwrap(), Schema::Current);
    assert_eq!(ours.check().await.unwrap(), Schema::Current);
    assert!(ours.is_pooled());
    let store = Store::new(ours.clone(), POLICY, REACH);
    let logins = Logins::new(61);
    let (open, token) = logins.login("u", START);
    store.open(open).await.unwrap();
    store.refresh(logins.refresh(&token, START)).await.unwrap();
    store.check_writes().await.unwrap();
    assert_eq!(ours.check().await.unwrap(), Schema::Current);
    // Other clients of the pooler's connections are not switched to our schema.
    for _ in 0..10 {
        let options = pooled.parse::<PgConnectOptions>().unwrap().extra_float_digits(None);
        let mut other = options.connect().await.unwrap();
        let sql = sqlx::raw_sql("SELECT current_schema()::text");
        let row = other.fetch_one(sql).await.unwrap();
        assert_eq!(row.get::<String, _>(0), "public");
    }
    let another = in_schema(&pooled, "another");
    assert!(matches!(another.check().await.unwrap(), Schema::Behind { applied: 0, .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_create_is_told_so() {
    let cluster = Cluster::shared();
    let database = cluster.make_database().await;
    let url = cluster.url(&database);
    execute(&url, &format!("CREATE ROLE creates_{database} LOGIN")).await;
    let as_role = url.replace("postgres@", &format!("creates_{database}@"));
    let told = refusal(&as_role).await;
    for part in ["permission denied", "42501", "GRANT", &database] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let rows = connect(Options::new(&as_role)).unwrap();
    let privileges = Inspect::privileges(&*rows).await.unwrap().unwrap();
    assert!(!privileges.may_create, "{privileges:?}");
    assert_eq!(privileges.schema.as_deref(), Some("public"));
    connect(Options::new(&url)).unwrap().migrate().await.unwrap();
    let privileges = Inspect::privileges(&*rows).await.unwrap().unwrap();
    assert!(privileges.closed_tables.contains(&"user_sessions".to_owned()), "{privileges:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cause_is_told_in_words_with_a_remedy() {
    let cluster = Cluster::shared();
    let database = cluster.make_database().await;
    let url = cluster.url(&database);
    execute(&url, &format!("CREATE ROLE full_{database} LOGIN CONNECTION LIMIT 0")).await;
    let port = cluster.port();
    let unused = free_port();
    let base = format!("postgres://postgres:hunter2@127.0.0.1:{port}");
    let place = format!("127.0.0.1:{port}/{database} as postgres");
    for (url, parts) in [
        (format!("{base}/nowhere"), vec!["nowhere", "does not exist", "3D000", "create it"]),
        (
            url.replace("postgres@", "nobody_here@"),
            vec!["nobody_here", "login was refused", "28000", "pg_hba.conf"],
        ),
        (
            url.replace("postgres@", &format!("full_{database}@")),
            vec!["too many connections", "53300", "max_connections"],
        ),
        (
            format!("{base}/{database}?sslmode=require"),
            vec![&*place, "does not support TLS", "sslmode"],
        ),
        (
            format!("{base}/{database}?sslmode=verify-full&sslrootcert=/nowhere/ca.pem"),
            vec![&*place, "TLS"],
        ),
        (
            format!("postgres://u:hunter2@127.0.0.1:{unused}/d"),
            vec!["127.0.0.1", "connection refused", "is the server running"],
        ),
        (
            "postgres://u:hunter2@no-such-host.invalid/d".into(),
            vec!["no-such-host.invalid:5432/d", "check the host"],
        ),
        (
            "postgres://u:hunter2@/d?host=/nowhere/at/all".into(),
            vec!["/nowhere/at/all/.s.PGSQL.5432", "no such socket"],
        ),
    ] {
        let told = refusal(&url).await;
        for part in parts {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let told = refusal(&format!("postgres://u:hunter2@127.0.0.1:{port}/d")).await;
    assert!(told.contains(&format!("127.0.0.1:{port}/d")) && told.contains("in time"), "{told}");
    let web = free_port_that_speaks_http().await;
    let told = refusal(&format!("postgres://u:hunter2@127.0.0.1:{web}/d")).await;
    assert!(told.contains(&format!("127.0.0.1:{web}/d")), "{told}");
    let bouncer = PgBouncer::shared().url("no_such_database");
    let told = refusal(&bouncer).await;
    assert!(told.contains("no_such_database"), "{told}");
}

async fn free_port_that_speaks_http() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            use tokio::io::AsyncWriteExt as _;
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_reached_by_an_address_of_ipv6_and_by_a_socket() {
    let cluster = Cluster::shared();
    let database = cluster.make_database().await;
    let port = cluster.port();
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap();
    let six = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let folder = tempfile::tempdir().unwrap();
    // The folder names of Cloud Run.
    let instance = folder.path().join("project:region:instance");
    std::fs::create_dir(&instance).unwrap();
    let socket = UnixListener::bind(instance.join(".s.PGSQL.5432")).unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = socket.accept().await {
            let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let encoded = instance.to_str().unwrap().replace('/', "%2F").replace(':', "%3A");
    for url in [
        format!("postgres://postgres@[::1]:{six}/{database}?sslmode=disable"),
        format!("postgres://postgres@/{database}?hostaddr=::1&port={six}&sslmode=disable"),
        format!("postgres://postgres:pw@/{database}?host={}", instance.display()),
        format!("postgres://postgres:pw@{encoded}/{database}"),
    ] {
        let rows = connect(Options::new(&url)).unwrap();
        assert_eq!(rows.migrate().await.unwrap(), Schema::Current, "{url}");
        let open = Logins::new(62).login("u", START).0;
        rows.insert(std::slice::from_ref(&open)).await.unwrap();
        execute(&cluster.url(&database), "DELETE FROM user_sessions").await;
        Rows::close(&*rows).await;
    }
}

/// Returns the number of sessions in the cluster's database `app`.
async fn count(cluster: &Cluster) -> i64 {
    let mut connection = PgConnection::connect(&cluster.url("app")).await.unwrap();
    let row = connection.fetch_one("SELECT count(*) FROM user_sessions").await.unwrap();
    row.get::<i64, _>(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_hosts_the_writable_one_is_used_also_after_a_failover() {
    let (one, other) = (Cluster::start(), Cluster::start());
    for cluster in [&one, &other] {
        let _ = cluster.make_database().await;
        execute(&cluster.url("postgres"), "CREATE DATABASE app").await;
        let rows = connect(Options::new(cluster.url("app"))).unwrap();
        rows.migrate().await.unwrap();
        Rows::close(&*rows).await;
    }
    let set = |read_only: &'static str| {
        format!(
            "ALTER SYSTEM SET default_transaction_read_only = {read_only}; \
             SELECT pg_reload_conf()"
        )
    };
    let switch = async |cluster: &Cluster, read_only: &'static str| {
        // ALTER SYSTEM cannot run in a transaction, and a read-only server allows it.
        for statement in set(read_only).split("; ") {
            execute(&cluster.url("postgres"), statement).await;
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let mut connection = PgConnection::connect(&cluster.url("app")).await.unwrap();
            let row = connection.fetch_one(sqlx::raw_sql("SHOW transaction_read_only")).await;
            if row.unwrap().get::<String, _>(0) == read_only {
                break;
            }
            assert!(Instant::now() < deadline);
        }
    };
    switch(&one, "on").await;
    let url = format!(
        "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/app?sslmode=disable\
         &target_session_attrs=read-write",
        one.port(),
        other.port()
    );
    let rows = connect(Options::new(&url)).unwrap();
    let logins = Logins::new(63);
    let first = logins.login("u", START).0;
    assert_eq!(rows.insert(std::slice::from_ref(&first)).await.unwrap(), [true]);
    assert_eq!((count(&one).await, count(&other).await), (0, 1));

    // The roles change while connections are open.
    switch(&one, "off").await;
    switch(&other, "on").await;
    let second = logins.login("u", START).0;
    assert_eq!(rows.insert(std::slice::from_ref(&second)).await.unwrap(), [true]);
    assert_eq!((count(&one).await, count(&other).await), (1, 1));

    // Neither host accepts writes.
    switch(&one, "on").await;
    let third = logins.login("u", START).0;
    let refused = rows.insert(std::slice::from_ref(&third)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    assert!(refused.to_string().contains("read-only"), "{refused}");
    // A host that is down is skipped.
    other.crash();
    switch(&one, "off").await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while rows.insert(std::slice::from_ref(&third)).await.is_err() {
        assert!(Instant::now() < deadline, "the writable host was not found again");
    }
}

/// Creates a role whose password the cluster checks.
async fn secured(cluster: &Cluster, password: &str) -> String {
    let admin = cluster.url("postgres");
    let _ = cluster.make_database().await;
    execute(&admin, &format!("CREATE ROLE app LOGIN PASSWORD '{password}'")).await;
    execute(&admin, "CREATE DATABASE app OWNER app").await;
    let mut connection = PgConnection::connect(&admin).await.unwrap();
    let row = connection.fetch_one("SELECT current_setting('hba_file')").await.unwrap();
    let rules = "COPY (VALUES ('host all app all scram-sha-256'), ('host all all all trust')) TO";
    execute(&admin, &format!("{rules} '{}'", row.get::<String, _>(0))).await;
    execute(&admin, "SELECT pg_reload_conf()").await;
    format!("127.0.0.1:{}/app?sslmode=disable", cluster.port())
}

fn write(path: &Path, password: &str, place: &str) {
    let encoded = password.replace('@', "%40").replace('/', "%2F");
    std::fs::write(path, format!("postgres://app:{encoded}@{place}\n")).unwrap();
}

async fn rotate(cluster: &Cluster, password: &str) {
    let admin = cluster.url("postgres");
    execute(&admin, &format!("ALTER ROLE app PASSWORD '{password}'")).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'";
    execute(&admin, end).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_password_is_read_from_its_file_without_a_restart() {
    let cluster = Cluster::start();
    let place = secured(&cluster, "first").await;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        // The rules take effect after a moment.
        let told = refusal(&format!("postgres://app:hunter2@{place}")).await;
        if told.contains("wrong password") {
            assert!(told.contains("28P01") && told.contains("as app"), "{told}");
            break;
        }
        assert!(Instant::now() < deadline, "{told}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    write(&file, "first", &place);
    let url = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    // SCRAM is slow without optimization.
    let options = Options {
        url_file: Some(file.clone()),
        acquire_timeout: Duration::from_secs(20),
        timeout: Duration::from_secs(50),
        ..Options::new(url)
    };
    let rows = connect(options.clone()).unwrap();
    rows.migrate().await.unwrap();
    assert_eq!(rows.check().await.unwrap(), Schema::Current);

    // The file exists before the first login fails.
    write(&file, "se@ond/1", &place);
    rotate(&cluster, "se@ond/1").await;
    assert_eq!(rows.check().await.unwrap(), Schema::Current);
    // The file is changed later, and nothing watches it.
    rotate(&cluster, "third").await;
    let refused = rows.check().await.unwrap_err().to_string();
    assert!(refused.contains("wrong password") && !refused.contains("ond"), "{refused}");
    // A file that is not a URL changes nothing.
    std::fs::write(&file, "postgres://app:a@b/c@d").unwrap();
    assert!(rows.check().await.is_err());
    write(&file, "third", &place);
    assert_eq!(rows.check().await.unwrap(), Schema::Current);

    // A change of the file alone switches to another database, without a failed login.
    execute(&cluster.url("postgres"), "CREATE DATABASE elsewhere OWNER app").await;
    let watched = rows.clone();
    let watching = tokio::spawn(async move { watched.follow_url_file().await });
    write(&file, "third", &place.replace("/app", "/elsewhere"));
    let deadline = Instant::now() + Duration::from_secs(20);
    while rows.check().await.unwrap() == Schema::Current {
        assert!(Instant::now() < deadline, "the change went unnoticed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(matches!(rows.check().await.unwrap(), Schema::Behind { applied: 0, .. }));
    watching.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_refuses_writes_is_noticed_before_the_first_request() {
    let cluster = Cluster::shared();
    let database = cluster.make_database().await;
    let url = cluster.url(&database);
    let rows = connect(Options::new(&url)).unwrap();
    rows.migrate().await.unwrap();
    let open = Logins::new(64).login("u", START).0;
    let store = Store::new(rows.clone(), POLICY, REACH);
    store.check_writes().await.unwrap();
    let mut direct = PgConnection::connect(&url).await.unwrap();
    let count = direct.fetch_one("SELECT count(*) FROM user_sessions").await.unwrap();
    assert_eq!(count.get::<i64, _>(0), 0, "the probe stored something");

    for (broken, mended) in [
        (
            format!("ALTER DATABASE {database} SET default_transaction_read_only = on"),
            format!("ALTER DATABASE {database} RESET default_transaction_read_only"),
        ),
        (
            "ALTER TABLE user_sessions ADD CONSTRAINT refuses CHECK (false) NOT VALID".into(),
            "ALTER TABLE user_sessions DROP CONSTRAINT refuses".into(),
        ),
    ] {
        execute(&url, &broken).await;
        // Separate stores, as in replicas that have just started.
        let probed = Store::new(connect(Options::new(&url)).unwrap(), POLICY, REACH);
        probed.check_writes().await.unwrap_err();
        assert_eq!(probed.check().await.unwrap(), Schema::Current);
        let open_url = "SET default_transaction_read_only = off";
        let mut admin = PgConnection::connect(&url).await.unwrap();
        admin.execute(open_url).await.unwrap();
        admin.execute(sqlx::raw_sql(AssertSqlSafe(mended))).await.unwrap();
        let probed = Store::new(connect(Options::new(&url)).unwrap(), POLICY, REACH);
        probed.check_writes().await.unwrap();
    }
    store.open(open).await.unwrap();
}
