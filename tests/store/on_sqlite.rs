//! What concerns SQLite alone: the file, and other processes at it.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use token_authority::store::sessions::STATEMENT_TIMEOUT;
use token_authority::store::{LegacyRows as _, Rows, StoreError, sqlite};
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
    std::fs::write(&path, "certainly no database, however long one reads".repeat(100)).unwrap();
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
    // Reading goes on meanwhile.
    assert!(rows.load(&[old.session.id]).await.unwrap()[0].is_some());
    // A caller that leaves does not leave the one connection that writes unusable.
    let user = UserId::new("u").unwrap();
    let revocation = rows.revoke_user(&user, None, START, RevocationReason::User, START + REACH);
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
    // The files as a crash would leave them: nobody has closed the database.
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
            // It reads before it writes, and what it has read may not change in between.
            process.purge(START + Duration::from_secs(1), 10).await.unwrap();
        }
    };
    tokio::join!(work(&processes[0]), work(&processes[1]));
    let left = processes[0].purge(START + Duration::from_secs(1), 10).await.unwrap();
    assert_eq!(left.examined, 0);
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
            ('bytes', x'ff00ff', 1893553445)";
    owner.execute(made).await.unwrap();
    owner.close().await.unwrap();
    let before = std::fs::read(&path).unwrap();
    for (token, end) in [
        ("iso", 1_893_553_445_678_000),
        ("text", 1_893_553_445_678_000),
        ("seconds", 1_893_553_445_000_000),
        ("milliseconds", 1_893_553_445_678_000),
        ("fraction", 1_893_553_445_678_000),
    ] {
        let found = find(token).await.unwrap().pop().unwrap().unwrap();
        assert_eq!((found.user_id.as_str(), found.expires_at.as_micros()), ("7", end), "{token}");
    }
    for token in ["never", "null", "bytes"] {
        assert_eq!(find(token).await.unwrap(), [None], "{token}");
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "files lie beside it");
}
