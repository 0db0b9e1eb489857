//! Cases for SQLite only: the file, and other processes that use it.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _};
use token_authority::clock::Timestamp;
use token_authority::store::legacy::LegacyTable;
use token_authority::store::rows::Position;
use token_authority::store::sessions::STATEMENT_TIMEOUT;
use token_authority::store::{Inspect as _, LegacyRows as _, Rows, StoreError, sqlite};
use token_authority::token::id::UserId;
use token_authority::token::session::RevocationReason;

use crate::legacy::better_auth;
use crate::logins::{Logins, REACH, START};

#[tokio::test(flavor = "multi_thread")]
async fn its_files_are_for_their_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made").join("sessions.db");
    let rows = sqlite::open(&path).await.unwrap();
    rows.migrate().await.unwrap();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap().to_owned()), 0o700);
    for file in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        assert_eq!(mode(file.unwrap().path()), 0o600);
    }
    rows.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    std::fs::write(&path, "certainly not a database, at any offset".repeat(100)).unwrap();
    let refused = sqlite::open(&path).await;
    assert!(matches!(refused, Err(StoreError::Inconsistent(_))), "{refused:?}");
    let refused = sqlite::open(folder.path()).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_writer_is_waited_for_but_not_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let rows = sqlite::open(&path).await.unwrap();
    rows.migrate().await.unwrap();
    let logins = Logins::new(50);
    let (old, new) = (logins.login("u", START).0, logins.login("u", START).0);
    rows.insert(std::slice::from_ref(&old)).await.unwrap();

    let mut other = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let began = Instant::now();
    let refused = rows.insert(std::slice::from_ref(&new)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(began.elapsed() < STATEMENT_TIMEOUT * 2);
    // Reads continue meanwhile.
    assert!(rows.load(&[old.session.id]).await.unwrap()[0].is_some());
    // A caller that leaves does not make the only writing connection unusable.
    let user = UserId::new("u").unwrap();
    let revocation = rows.revoke_user(&user, None, START.into(), RevocationReason::User, REACH);
    assert!(tokio::time::timeout(Duration::from_millis(50), revocation).await.is_err());
    other.execute("ROLLBACK").await.unwrap();
    assert_eq!(rows.insert(&[new]).await.unwrap(), [true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_in_the_file_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let rows = sqlite::open(&path).await.unwrap();
    rows.migrate().await.unwrap();
    let open = Logins::new(51).login("u", START).0;
    rows.insert(std::slice::from_ref(&open)).await.unwrap();
    // The files as a crash would leave them: the database was not closed.
    let copy = folder.path().join("copy.db");
    for end in ["", "-wal"] {
        let name = |path: &std::path::Path| format!("{}{end}", path.display());
        std::fs::copy(name(&path), name(&copy)).unwrap();
    }
    let rows = sqlite::open(&copy).await.unwrap();
    let found = rows.load(&[open.session.id]).await.unwrap().pop().unwrap().unwrap();
    assert_eq!(found.session, open.session);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let processes = [sqlite::open(&path).await.unwrap(), sqlite::open(&path).await.unwrap()];
    processes[0].migrate().await.unwrap();
    let logins = Logins::new(52);
    let work = async |process: &sqlite::SqliteRows| {
        for _ in 0..100 {
            let mut open = logins.login("u", START).0;
            open.session.expires_at = START;
            assert_eq!(process.insert(&[open]).await.unwrap(), [true]);
            // This operation reads before it writes, and the rows may not change in between.
            process.purge(START + Duration::from_secs(1), 10).await.unwrap();
        }
    };
    tokio::join!(work(&processes[0]), work(&processes[1]));
    let left = processes[0].purge(START + Duration::from_secs(1), 10).await.unwrap();
    assert_eq!(left.examined, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_follows_all_others_whatever_the_clocks_of_their_writers_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let rows = sqlite::open(&path).await.unwrap();
    rows.migrate().await.unwrap();
    let mut other = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let logins = Logins::new(53);
    let (mut horizon, mut last) = (Timestamp::EPOCH, Timestamp::EPOCH);
    let ended = |at: Timestamp| at + REACH + Duration::from_secs(1);
    for (number, purged) in [false, true, false, true, true].into_iter().enumerate() {
        let user = UserId::new(format!("user{number}")).unwrap();
        let open = logins.login(user.as_str(), START).0;
        rows.insert(std::slice::from_ref(&open)).await.unwrap();
        let reason = RevocationReason::Admin;
        rows.revoke_user(&user, None, START.into(), reason, REACH).await.unwrap();
        let page = rows.feed(Position::before(horizon), START, 10).await.unwrap();
        let newest = page.recorded.last().unwrap();
        assert_eq!(newest.revocation.session_id, open.session.id);
        assert!(newest.position.recorded_at > last && page.horizon == newest.position.recorded_at);
        // A reader begins there after its next read.
        (horizon, last) = (page.horizon, newest.position.recorded_at);
        if purged {
            rows.purge_revocations(ended(START), 10).await.unwrap();
        } else {
            // Seen from a clock that was an hour ahead, all later writers are slow.
            let ahead = "UPDATE revocations SET recorded_at = recorded_at + 3600000000";
            other.execute(ahead).await.unwrap();
            last = last + Duration::from_hours(1);
        }
    }
    let kept = rows.feed(Position::before(Timestamp::EPOCH), START, 10).await.unwrap();
    assert_eq!(kept.recorded.len(), 1, "the last position is kept, and no other");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_s_sessions_end_in_any_of_sqlites_forms_and_their_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.db");
    let rows = sqlite::SqliteLegacy::new(&path);
    let find = |token: &str| {
        let tokens = [token.to_owned()];
        let rows = &rows;
        async move { rows.find_legacy(&better_auth(), &tokens).await }
    };
    assert!(matches!(find("iso").await, Err(StoreError::Unavailable(_))));
    assert!(!path.exists(), "a look-up made a file");

    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut owner = options.connect().await.unwrap();
    let made = "CREATE TABLE session (token TEXT PRIMARY KEY, userId INTEGER, expiresAt);
        INSERT INTO session VALUES
            ('iso', 7, '2030-01-02T03:04:05.678Z'), ('text', 7, '2030-01-02 03:04:05.678'),
            ('seconds', 7, 1893553445), ('milliseconds', 7, 1893553445678),
            ('fraction', 7, 1893553445.678), ('never', 7, 'never'), ('null', 7, NULL),
            ('bytes', x'ff00ff', 1893553445), ('offset', 7, '2030-01-02 04:04:05.678+01:00'),
            ('digits', 7, '1893553445678'), ('microseconds', 7, 1893553445678000),
            ('julian', 7, '2462503.5'), ('blob', 7, x'00ff'), ('now', 7, 'now'),
            ('nobody', '', 1893553445), ('unknown', NULL, 1893553445);
        CREATE TABLE numbers (token STRING, userId ANY, expiresAt DATETIME);
        INSERT INTO numbers VALUES ('1234567890123456', 'alice', 1893553445)";
    owner.execute(made).await.unwrap();
    owner.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();
    for (token, end) in [
        ("iso", 1_893_553_445_678_000),
        ("text", 1_893_553_445_678_000),
        ("seconds", 1_893_553_445_000_000),
        ("milliseconds", 1_893_553_445_678_000),
        ("fraction", 1_893_553_445_678_000),
        ("offset", 1_893_553_445_678_000),
        ("digits", 1_893_553_445_678_000),
        ("microseconds", 1_893_553_445_678_000),
        // A number is always the time since 1970, never the number of a day.
        ("julian", 2_462_503_500_000),
    ] {
        let found = find(token).await.unwrap().pop().unwrap().unwrap();
        assert_eq!((found.user_id.as_str(), found.expires_at.as_micros()), ("7", end), "{token}");
    }
    for token in ["never", "null", "bytes", "blob", "now", "nobody", "unknown"] {
        assert_eq!(find(token).await.unwrap(), [None], "{token}");
    }
    // SQLite keeps a token of digits as a number in a column of this type.
    let numbers = LegacyTable { table: "numbers".parse().unwrap(), ..better_auth() };
    let found = rows.find_legacy(&numbers, &["1234567890123456".to_owned()]).await.unwrap();
    assert_eq!(found[0].as_ref().unwrap().user_id.as_str(), "alice");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "files were created beside it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_removed_moved_or_replaced_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let elsewhere = folder.path().join("elsewhere.db");
    let rows = sqlite::open(&path).await.unwrap();
    rows.migrate().await.unwrap();
    let logins = Logins::new(53);
    let refused = async |word: &str| {
        let open = logins.login("u", START).0;
        for refused in [
            rows.insert(&[open]).await.map(drop),
            rows.probe_write().await,
            rows.check().await.map(drop),
        ] {
            let error = refused.unwrap_err();
            assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
            let told = error.to_string();
            assert!(told.contains(word) && told.contains(path.to_str().unwrap()), "{told}");
        }
    };
    std::fs::rename(&path, &elsewhere).unwrap();
    refused("removed or moved").await;
    assert!(!path.exists(), "it was created again");
    std::fs::copy(&elsewhere, &path).unwrap();
    refused("replaced").await;
    // When it is put back, it is the same file, and nothing was lost.
    std::fs::rename(&elsewhere, &path).unwrap();
    let open = logins.login("u", START).0;
    assert_eq!(rows.insert(std::slice::from_ref(&open)).await.unwrap(), [true]);
    rows.probe_write().await.unwrap();
    std::fs::remove_file(&path).unwrap();
    refused("removed or moved").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_applications_tables_are_named_and_left_alone() {
    for (made, name) in [
        ("CREATE TABLE user_sessions (id INTEGER)", "user_sessions"),
        (
            "CREATE TABLE t (id INTEGER); CREATE INDEX revocations_by_end ON t (id)",
            "revocations_by",
        ),
        ("CREATE VIEW signing_keys AS SELECT 1", "signing_keys"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("theirs.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut owner = options.connect().await.unwrap();
        owner.execute(made).await.unwrap();
        let objects = "SELECT group_concat(name) FROM sqlite_schema";
        let before: String = owner.fetch_one(objects).await.unwrap().get(0);
        let rows = sqlite::open(&path).await.unwrap();
        let told = rows.migrate().await.unwrap_err().to_string();
        for part in [name, "did not create", "another file", path.to_str().unwrap()] {
            assert!(told.contains(part) || part.contains('/'), "{part}: {told}");
        }
        let after: String = owner.fetch_one(objects).await.unwrap().get(0);
        assert_eq!(after, before, "a refused migration left something behind");
        let inspected = sqlite::SqliteInspection::new(&path).foreign_objects().await.unwrap();
        assert!(inspected[0].starts_with(name), "{inspected:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_service_is_refused_until_the_first_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let first = sqlite::claim(&path).unwrap();
    let told = sqlite::claim(&path).unwrap_err().to_string();
    let process = format!("process {}", std::process::id());
    assert!(told.contains(&process) && told.contains("sessions.db"), "{told}");
    sqlite::claim(&folder.path().join("other.db")).unwrap();
    drop(first);
    sqlite::claim(&path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_whole_and_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let rows = sqlite::open(&path).await.unwrap();
    rows.migrate().await.unwrap();
    let logins = Logins::new(54);
    let open = logins.login("u", START).0;
    rows.insert(std::slice::from_ref(&open)).await.unwrap();
    // Another process writes meanwhile, and the commit is still in the log beside the file.
    let mut other = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    other.execute("BEGIN IMMEDIATE; DELETE FROM user_sessions").await.unwrap();
    let copy = folder.path().join("copy.db");
    sqlite::backup(&path, &copy).await.unwrap();
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    other.execute("ROLLBACK").await.unwrap();

    let told = sqlite::backup(&path, &copy).await.unwrap_err().to_string();
    assert!(told.contains("exists") && told.contains("copy.db"), "{told}");
    let nowhere = folder.path().join("nowhere/copy.db");
    let told = sqlite::backup(&path, &nowhere).await.unwrap_err().to_string();
    assert!(told.contains("nowhere/copy.db"), "{told}");
    let missing = folder.path().join("missing.db");
    let left = folder.path().join("left.db");
    let told = sqlite::backup(&missing, &left).await.unwrap_err().to_string();
    assert!(told.contains("missing.db") && !missing.exists(), "{told}");
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    let partial = names.iter().any(|name| name.to_str().unwrap().ends_with(".partial"));
    assert!(!partial && !left.exists(), "{names:?}");

    let restored = sqlite::open(&copy).await.unwrap();
    let found = restored.load(&[open.session.id]).await.unwrap().pop().unwrap().unwrap();
    assert_eq!(found.session, open.session);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_delays_the_end_of_an_erasure_and_stops_no_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let rows = sqlite::open(&path).await.unwrap();
    rows.migrate().await.unwrap();
    let logins = Logins::new(57);
    let user = UserId::new("erase-me@example.com").unwrap();
    rows.insert(&[logins.login(user.as_str(), START).0]).await.unwrap();
    let is_there = |name: &str| {
        let bytes = std::fs::read(path.with_file_name(name)).unwrap();
        bytes.windows(user.as_str().len()).any(|found| found == user.as_str().as_bytes())
    };

    let mut reader = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    reader.execute("BEGIN").await.unwrap();
    reader.fetch_all("SELECT id FROM user_sessions").await.unwrap();
    let began = Instant::now();
    rows.erase_user(&user, START.into(), REACH).await.unwrap();
    // The busy timeout, for which the lock of all writers would be held.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    rows.insert(&[logins.login("someone else", START).0]).await.unwrap();
    assert!(is_there("sessions.db-wal"));

    reader.execute("ROLLBACK").await.unwrap();
    rows.finish_erasures().await;
    assert!(!is_there("sessions.db-wal") && !is_there("sessions.db"));
}
