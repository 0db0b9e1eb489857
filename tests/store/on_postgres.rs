//! Cases for Postgres only: the pooler in between, and how rows are stored.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use test_support::pgbouncer::PgBouncer;
use test_support::postgres::Cluster;
use token_authority::clock::Timestamp;
use token_authority::store::legacy::LegacyTable;
use token_authority::store::postgres::{Options, connect};
use token_authority::store::rows::{CompareAndSwap, OptimisticRotation, Row, Schema};
use token_authority::store::{LegacyRows, Open, Receipt, Rows, Store, StoreError};
use token_authority::token::refresh::RefreshToken;
use token_authority::token::rotation::Verdict;
use token_authority::token::session::Session;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::logins::{DAY, Logins, POLICY, REACH, START, WINDOW, rotation};

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_is_noticed() {
    let cluster = Cluster::shared();
    let name = cluster.make_database().await;
    let transaction = PgBouncer::shared().url(&name);
    let single = PgBouncer::start(cluster, 1, "");
    let lenient = PgBouncer::start(cluster, 5, "ignore_startup_parameters = options");
    let direct = cluster.url(&name);
    let told = format!("{direct}&pgbouncer=true");
    for (url, pooled) in [
        (direct, false),
        (transaction, true),
        (single.url(&name), true),
        (lenient.url(&name), true),
        (told, true),
    ] {
        let rows = connect(Options { max_connections: 4, ..Options::new(&url) }).unwrap();
        assert_eq!(rows.migrate().await.unwrap(), Schema::Current);
        assert_eq!(rows.check().await.unwrap(), Schema::Current);
        assert_eq!(rows.is_pooled(), pooled, "{url}");
        let logins = Logins::new(40);
        let opens: Vec<_> = (0..50).map(|_| logins.login("u", START).0).collect();
        rows.insert(&opens).await.unwrap();
        let loads = opens.iter().map(|open| async { rows.load(&[open.session.id]).await.unwrap() });
        for loaded in join_all(loads).await {
            assert!(loaded[0].is_some());
        }
        rows.purge(START + 100 * DAY, 1000).await.unwrap();
        rows.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_is_noticed_while_others_use_it() {
    let cluster = Cluster::shared();
    let name = cluster.make_database().await;
    let url = PgBouncer::shared().url(&name);
    let replicas: Vec<_> = (0..40).map(|_| connect(Options::new(&url)).unwrap()).collect();
    replicas[0].migrate().await.unwrap();
    for schema in join_all(replicas.iter().map(|rows| rows.check())).await {
        assert_eq!(schema.unwrap(), Schema::Current);
    }
    assert!(replicas.iter().all(|rows| rows.is_pooled()));
}

/// Forwards each new connection to the port that `target` holds at that time.
async fn detour(target: &Arc<AtomicU16>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = Arc::clone(target);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let address = (Ipv4Addr::LOCALHOST, target.load(Ordering::SeqCst));
            let mut server = TcpStream::connect(address).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_comes_later_is_noticed_by_what_it_loses() {
    let cluster = Cluster::shared();
    let name = cluster.make_database().await;
    let target = Arc::new(AtomicU16::new(cluster.port()));
    let port = detour(&target).await;
    let url = format!("postgres://postgres@127.0.0.1:{port}/{name}?sslmode=disable");
    let rows = connect(Options { max_connections: 4, ..Options::new(&url) }).unwrap();
    rows.migrate().await.unwrap();
    let logins = Logins::new(42);
    let opens: Vec<_> = (0..100).map(|_| logins.login("u", START).0).collect();
    rows.insert(&opens).await.unwrap();
    let load = |open: &Open| {
        let id = open.session.id;
        let rows = rows.clone();
        async move { rows.load(&[id]).await.map(|mut row| row.pop().flatten().is_some()) }
    };
    assert!(join_all(opens.iter().map(load)).await.into_iter().all(Result::unwrap));
    assert!(!rows.is_pooled());

    let bouncer = PgBouncer::start(cluster, 3, "");
    target.store(bouncer.port(), Ordering::SeqCst);
    let mut admin = PgConnection::connect(&cluster.url(&name)).await.unwrap();
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'token-authority'";
    admin.execute(terminate).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !rows.is_pooled() {
        for found in join_all(opens.iter().map(load)).await {
            assert!(found.unwrap());
        }
        assert!(Instant::now() < deadline, "the pooler was not detected");
    }
    assert!(join_all(opens.iter().map(load)).await.into_iter().all(Result::unwrap));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_touches_no_index() {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    let rows = connect(Options::new(&url)).unwrap();
    rows.migrate().await.unwrap();
    let store = Store::new(rows.clone(), POLICY, REACH);
    let logins = Logins::new(41);
    let (open, mut token) = logins.login("u", START);
    let (user_id, session_id) = (open.session.user_id.clone(), open.session.id);
    store.open(open).await.unwrap();
    let mut now = START;
    for _ in 0..30 {
        now = now + WINDOW * 2;
        let refreshed = store.refresh(logins.refresh(&token, now)).await.unwrap();
        assert_eq!(refreshed.verdict, Verdict::Rotate);
        token = refreshed.token.unwrap();
        let receipt = Receipt { session_id, generation: token.generation(), seen_at: now };
        assert_eq!(rows.record_receipts(&[receipt]).await.unwrap(), 1);
    }
    let reason = token_authority::token::session::RevocationReason::User;
    assert_eq!(rows.revoke_user(&user_id, None, now.into(), reason, REACH).await.unwrap().len(), 1);

    let mut admin = PgConnection::connect(&url).await.unwrap();
    let counts = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables
        WHERE relname = 'user_sessions'";
    let deadline = Instant::now() + Duration::from_mins(1);
    // The server counts in the background and with a delay, at the latest when its connections end.
    rows.close().await;
    let (updates, hot) = loop {
        let row = admin.fetch_one(counts).await.unwrap();
        let (updates, hot) = (row.get::<i64, _>(0), row.get::<i64, _>(1));
        if updates >= 61 {
            break (updates, hot);
        }
        assert!(Instant::now() < deadline, "only {updates} updates were counted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    // Not all updates, because a transaction may hold an old snapshot at the time. With an index on
    // a column that a rotation changes, it would be half of them.
    assert!(hot * 10 >= updates * 9, "{hot} of {updates}");
}

/// Logs fifty users in, and returns their first tokens.
async fn log_fifty_in(store: &Store, logins: &Logins) -> Vec<RefreshToken> {
    let logged_in: Vec<_> = (0..50).map(|_| logins.login("u", START)).collect();
    let opens = logged_in.iter().map(|(open, _)| store.open(open.clone()));
    assert!(join_all(opens).await.iter().all(Result::is_ok));
    logged_in.into_iter().map(|(_, token)| token).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_row_holds_up_no_other_session() {
    let cluster = Cluster::shared();
    let name = cluster.make_database().await;
    let direct = cluster.url(&name);
    holds_up_no_other(&direct, &direct).await;
    holds_up_no_other(&PgBouncer::shared().url(&name), &direct).await;
}

async fn holds_up_no_other(url: &str, direct: &str) {
    let rows = connect(Options::new(url)).unwrap();
    rows.migrate().await.unwrap();
    let store = Store::new(rows.clone(), POLICY, REACH);
    let logins = Logins::new(if url == direct { 43 } else { 45 });
    let tokens = log_fifty_in(&store, &logins).await;
    let mut holder = PgConnection::connect(direct).await.unwrap();
    let mut holding = holder.begin().await.unwrap();
    let lock = sqlx::query("SELECT FROM user_sessions WHERE id = $1 FOR UPDATE");
    lock.bind(tokens[7].session_id().as_uuid()).execute(&mut *holding).await.unwrap();
    for attempt in 1..=2 {
        let now = START + DAY * attempt;
        let all = tokens.iter().map(|token| store.refresh(logins.refresh(token, now)));
        for (i, refreshed) in join_all(all).await.into_iter().enumerate() {
            match refreshed {
                Err(StoreError::Locked) => assert_eq!(i, 7),
                refreshed => assert!(i != 7 && refreshed.unwrap().token.is_some()),
            }
        }
    }
    let alone = store.refresh(logins.refresh(&tokens[7], START + DAY)).await;
    assert!(matches!(alone, Err(StoreError::Locked)), "{alone:?}");
    nothing_is_left_open(direct).await;
    holding.rollback().await.unwrap();
    let refreshed = store.refresh(logins.refresh(&tokens[7], START + DAY)).await.unwrap();
    assert_eq!(refreshed.verdict, Verdict::Rotate);
}

/// Checks that a failed transaction has ended, although no later statement has used its connection.
async fn nothing_is_left_open(url: &str) {
    let mut admin = PgConnection::connect(url).await.unwrap();
    let failed = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'idle in transaction (aborted)'";
    let deadline = Instant::now() + Duration::from_secs(10);
    while admin.fetch_one(failed).await.unwrap().get::<i64, _>(0) > 0 {
        assert!(Instant::now() < deadline, "a failed transaction is still open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_the_server_does_not_take_is_done_without() {
    let name = Cluster::shared().make_database().await;
    // More milliseconds than the setting can hold.
    let patience = Duration::from_hours(24 * 365);
    for (seed, url) in
        [Cluster::shared().url(&name), PgBouncer::shared().url(&name)].iter().enumerate()
    {
        let rows = connect(Options { timeout: patience, ..Options::new(url) }).unwrap();
        rows.migrate().await.unwrap();
        let open = Logins::new(46 + u64::try_from(seed).unwrap()).login("u", START).0;
        assert_eq!(rows.insert(std::slice::from_ref(&open)).await.unwrap(), [true]);
        assert!(rows.load(&[open.session.id]).await.unwrap()[0].is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_made_for_an_empty_table_reads_no_full_one() {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    // One connection, so that its plans are those of the empty table.
    let rows = connect(Options { max_connections: 1, ..Options::new(&url) }).unwrap();
    rows.migrate().await.unwrap();
    let mut admin = PgConnection::connect(&url).await.unwrap();
    admin.execute("ALTER TABLE user_sessions SET (autovacuum_enabled = off)").await.unwrap();
    let logins = Logins::new(44);
    let mut alone = log_in(&*rows, &logins, 1).await;
    let mut pair = log_in(&*rows, &logins, 2).await;
    let mut now = START;
    for round in 0..40 {
        now = now + WINDOW * 2;
        // A single row has other statements than several rows.
        for sessions in [&mut alone, &mut pair] {
            rotate(&*rows, &logins, sessions, now).await;
            change(&*rows, sessions).await;
        }
        if round == 20 {
            let fill = "INSERT INTO user_sessions (id, user_id, token, expires_at, generation,
                    lineage_key, handed_out_at, created_at, last_used_at, granted, user_agent,
                    ip_address, device_name, revision, sweep_at)
                SELECT gen_random_uuid(), 'user-' || n, repeat('a', 64), expires_at, 0, lineage_key,
                    handed_out_at, created_at, last_used_at, granted, '', '', '', 0, sweep_at
                FROM user_sessions, generate_series(1, 20000) AS n";
            admin.execute(fill).await.unwrap();
            admin.execute("SELECT pg_stat_force_next_flush()").await.unwrap();
        }
    }
    rows.close().await;
    // The migrations and the insertion above read the whole table a few times, when it has at most
    // one row. A plan for the empty table would do so 19 times.
    let scans = "SELECT seq_scan, idx_scan FROM pg_stat_user_tables
        WHERE relname = 'user_sessions'";
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let row = admin.fetch_one(scans).await.unwrap();
        let (whole, by_index) = (row.get::<i64, _>(0), row.get::<i64, _>(1));
        assert!(whole < 10, "{whole} scans of the whole table");
        if by_index >= 40 * 8 {
            break;
        }
        assert!(Instant::now() < deadline, "only {by_index} scans were counted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

type LoggedIn = Vec<(Session, RefreshToken)>;

async fn log_in(rows: &dyn Rows, logins: &Logins, count: usize) -> LoggedIn {
    let opened: Vec<_> = (0..count).map(|_| logins.login("u", START)).collect();
    let opens: Vec<Open> = opened.iter().map(|(open, _)| open.clone()).collect();
    assert_eq!(rows.insert(&opens).await.unwrap(), vec![true; count]);
    opened.into_iter().map(|(open, token)| (open.session, token)).collect()
}

/// Rotates without a read first.
async fn rotate(rows: &dyn Rows, logins: &Logins, sessions: &mut LoggedIn, now: Timestamp) {
    let try_optimistic =
        |(session, token): &(Session, RefreshToken)| rotation(session, &logins.refresh(token, now));
    let rotations: Vec<OptimisticRotation> = sessions.iter().map(try_optimistic).collect();
    let rotated = rows.rotate(&rotations).await.unwrap();
    *sessions = rotated
        .into_iter()
        .zip(rotations)
        .map(|(session, rotation)| (session.unwrap(), rotation.optimistic.successor))
        .collect();
}

/// Reads and writes.
async fn change(rows: &dyn Rows, sessions: &LoggedIn) {
    let ids: Vec<_> = sessions.iter().map(|(session, _)| session.id).collect();
    let read = rows.load(&ids).await.unwrap().into_iter().map(Option::unwrap);
    let swap = |row: Row| CompareAndSwap {
        session: row.session,
        revision: row.revision,
        grant_changed: false,
        revocation: None,
        events: Vec::new(),
    };
    let swaps: Vec<CompareAndSwap> = read.map(swap).collect();
    assert_eq!(rows.swap(&swaps).await.unwrap(), vec![true; swaps.len()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_only_select_from_anothers_table_finds_its_sessions() {
    let cluster = Cluster::shared();
    let name = cluster.make_database().await;
    let url = cluster.url(&name);
    let mut owner = PgConnection::connect(&url).await.unwrap();
    let made = "CREATE SCHEMA auth;
        CREATE TABLE auth.\"Session\" (token varchar(64) UNIQUE, \"user\" int, zoned timestamptz,
                                      plain timestamp(3));
        INSERT INTO auth.\"Session\" VALUES
            ('a', 7, '2030-01-02 03:04:05.678+00', '2030-01-02 03:04:05.678'),
            ('b', 7, 'infinity', 'infinity'), ('c', 7, NULL, NULL);
        CREATE ROLE legacy_reader LOGIN;
        GRANT USAGE ON SCHEMA auth TO legacy_reader;
        GRANT SELECT ON auth.\"Session\" TO legacy_reader;
        ALTER ROLE legacy_reader SET default_transaction_read_only = on;
        ALTER ROLE legacy_reader SET timezone = 'America/New_York'";
    owner.execute(made).await.unwrap();
    let rows = connect(Options::new(url.replace("postgres@", "legacy_reader@"))).unwrap();
    let table = |column: &str| {
        let name = |text: &str| text.parse().unwrap();
        LegacyTable {
            table: name("auth.Session"),
            token: name("token"),
            user: name("user"),
            expires: name(column),
        }
    };
    for column in ["zoned", "plain"] {
        let tokens = ["a", "b", "c"].map(str::to_owned);
        let found = rows.find_legacy(&table(column), &tokens).await.unwrap();
        let end = |at: usize| {
            let session = found[at].as_ref().unwrap();
            assert_eq!(session.user_id.as_str(), "7");
            session.expires_at.as_micros()
        };
        assert_eq!((end(0), end(1)), (1_893_553_445_678_000, 253_402_300_799_000_000));
        assert_eq!(found[2], None);
    }
    owner.execute("REVOKE SELECT ON auth.\"Session\" FROM legacy_reader").await.unwrap();
    let refused = rows.find_legacy(&table("zoned"), &["a".to_owned()]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
}

/// A legacy table with columns of many types, and one row that makes no sense.
const OTHER_TYPES: &str =
    "CREATE TABLE session (token uuid PRIMARY KEY, user_id uuid, seconds bigint,
                    millis bigint, micros bigint, nanos numeric, numbers numeric, day date,
                    written text, local timestamp, zoned timestamptz, json json, jsonb jsonb,
                    never timestamptz DEFAULT 'infinity', yes boolean DEFAULT true,
                    bytes bytea DEFAULT '\\x00', list text[] DEFAULT '{}', short varchar(26),
                    number_id bigint DEFAULT 7, padded char(9) DEFAULT 'alice',
                    json_id jsonb DEFAULT '\"alice\"', bytes_id bytea DEFAULT '\\x61',
                    yes_id boolean DEFAULT true);
        SET TIME ZONE 'Asia/Tokyo';
        INSERT INTO session VALUES
            ('7d9c3f6e-3f0b-4a58-9f3b-0d6b2f1f6a11', '018f3b1e-0000-7000-8000-000000000001',
             1893553445, 1893553445678, 1893553445678000, 1893553445678000000, 1893553445.678,
             '2030-01-02', '2030-01-02T03:04:05.678Z', '2030-01-02 03:04:05.678',
             '2030-01-02 03:04:05.678Z', '\"2030-01-02T03:04:05.678Z\"', '1893553445678'),
            ('7d9c3f6e-3f0b-4a58-9f3b-0d6b2f1f6a12', '018f3b1e-0000-7000-8000-000000000001',
             NULL, NULL, NULL, NULL, NULL, NULL, 'never', NULL, NULL, '{}', 'null')";

#[tokio::test(flavor = "multi_thread")]
async fn anothers_columns_may_have_other_types() {
    let url = Cluster::shared().url(&Cluster::shared().make_database().await);
    let mut owner = PgConnection::connect(&url).await.unwrap();
    owner.execute(sqlx::raw_sql(OTHER_TYPES)).await.unwrap();
    let rows = connect(Options::new(&url)).unwrap();
    let tokens = [
        "7d9c3f6e-3f0b-4a58-9f3b-0d6b2f1f6a11",
        "7d9c3f6e-3f0b-4a58-9f3b-0d6b2f1f6a12",
        "7d9c3f6e-3f0b-4a58-9f3b-0d6b2f1f6a13",
        "a token of 32 characters, not a uuid",
        // Other forms of the first token, of which Postgres would refuse some.
        "urn:uuid:7d9c3f6e-3f0b-4a58-9f3b-0d6b2f1f6a11",
        "{7d9c3f6e-3f0b-4a58-9f3b-0d6b2f1f6a11}",
        "7d9c3f6e3f0b4a589f3b0d6b2f1f6a11",
        "7D9C3F6E-3F0B-4A58-9F3B-0D6B2F1F6A11",
    ];
    let tokens = tokens.map(str::to_owned);
    let name = |text: &str| text.parse().unwrap();
    let with = |token: &str, user: &str, expires: &str| LegacyTable {
        table: name("session"),
        token: name(token),
        user: name(user),
        expires: name(expires),
    };
    for (column, end) in [
        ("seconds", 1_893_553_445_000_000),
        ("millis", 1_893_553_445_678_000),
        ("numbers", 1_893_553_445_678_000),
        ("day", 1_893_542_400_000_000),
        ("written", 1_893_553_445_678_000),
        ("micros", 1_893_553_445_678_000),
        ("nanos", 1_893_553_445_678_000),
        ("local", 1_893_553_445_678_000),
        ("zoned", 1_893_553_445_678_000),
        ("json", 1_893_553_445_678_000),
        ("jsonb", 1_893_553_445_678_000),
    ] {
        let found = rows.find_legacy(&with("token", "user_id", column), &tokens).await.unwrap();
        let session = found[0].as_ref().unwrap();
        let told = (session.user_id.as_str(), session.expires_at.as_micros());
        assert_eq!(told, ("018f3b1e-0000-7000-8000-000000000001", end), "{column}");
        assert!(found[1..].iter().all(Option::is_none), "{column}: {found:?}");
    }
    let of_first = async |user: &str, expires: &str| {
        let found = rows.find_legacy(&with("token", user, expires), &tokens[..1]).await;
        found.unwrap().pop().unwrap()
    };
    assert!(of_first("user_id", "never").await.is_some());
    for column in ["yes", "bytes", "list", "short", "user_id"] {
        assert_eq!(of_first("user_id", column).await, None, "{column} is no end");
    }
    for (column, id) in [("number_id", "7"), ("padded", "alice")] {
        assert_eq!(of_first(column, "seconds").await.unwrap().user_id.as_str(), id);
    }
    for column in ["json_id", "bytes_id", "yes_id", "short"] {
        assert_eq!(of_first(column, "seconds").await, None, "{column} is no user id");
    }
    // A table that cannot be looked up by token is not a table of bad rows.
    let rows = connect(Options::new(&url)).unwrap();
    for column in ["bytes_id", "json_id", "number_id", "yes_id", "seconds"] {
        let failed = rows.find_legacy(&with(column, "user_id", "seconds"), &tokens[..1]).await;
        assert!(matches!(failed, Err(StoreError::Inconsistent(_))), "{column}: {failed:?}");
    }
}
