//! A revocation outlasts every access token of its session, whatever lifetime and clock the
//! revoking process has. Real processes share an SQLite file, and libfaketime sets their clocks.

use tempfile::TempDir;
use test_support::replica::Setup;
use token_authority::transport::proto::v1::watch_revocations_response::Event;

use crate::replica::{Replica, SECRET};

const LIFETIME: &str = "JWT_ACCESS_TOKEN_EXPIRE_MINUTES";

/// A database, and the processes that use it one after another.
struct Installation {
    folder: TempDir,
}

impl Installation {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn database(&self) -> String {
        format!("sqlite://{}/tokens.db", self.folder.path().display())
    }

    /// Starts the service with that lifetime in minutes and that offset of its clock.
    async fn start(&self, lifetime: &str, clock: &str) -> Replica {
        let library = faketime();
        Replica::start(&self.database(), &settings(lifetime, clock, &library)).await
    }

    /// Revokes a session on the command line.
    fn revoke(&self, session_id: &str, lifetime: &str, clock: &str) {
        let library = faketime();
        let setup = Setup::on(&self.database())
            .set("JWT_SECRET", SECRET)
            .set_all(settings(lifetime, clock, &library));
        let output = setup.run(&["sessions", "revoke", session_id]);
        assert!(output.status.success(), "{output:?}");
    }
}

fn settings<'a>(lifetime: &'a str, clock: &'a str, library: &'a str) -> [(&'a str, &'a str); 4] {
    [
        (LIFETIME, lifetime),
        ("LD_PRELOAD", library),
        ("FAKETIME", clock),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ]
}

/// Returns the path of the library that shifts a process's clock.
fn faketime() -> String {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|folder| folder.unwrap().path());
    let mut found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    let found =
        found.find(|path| path.exists()).expect("libfaketime is missing: run scripts/tools");
    found.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lifetime_that_was_shortened_before_the_revocation() {
    let installation = Installation::new();
    let before = installation.start("10", "+0").await;
    let token = before.issue("alice").await;
    drop(before);
    let shortened = installation.start("1", "+0").await;
    assert!(!shortened.refuses(&token.access_token).await);
    shortened.revoke(&token.session_id).await;
    assert!(shortened.refuses(&token.access_token).await);
    drop(shortened);
    let later = installation.start("1", "+9m").await;
    assert!(later.refuses(&token.access_token).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_line_with_another_lifetime() {
    let installation = Installation::new();
    let replica = installation.start("1440", "+0").await;
    let token = replica.issue("alice").await;
    installation.revoke(&token.session_id, "1", "+0");
    replica.until_refused(&token.access_token).await;
    drop(replica);
    for later in ["+40m", "+23h"] {
        let replica = installation.start("30", later).await;
        assert!(replica.refuses(&token.access_token).await, "{later}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_line_whose_clock_is_wrong() {
    for clock in ["-40m", "+40m"] {
        let installation = Installation::new();
        let replica = installation.start("30", "+0").await;
        let token = replica.issue("alice").await;
        installation.revoke(&token.session_id, "30", clock);
        replica.until_refused(&token.access_token).await;
        drop(replica);
        for later in ["+0", "+29m"] {
            let later = installation.start("30", later).await;
            assert!(later.refuses(&token.access_token).await, "{clock}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_service_follows_command_lines_whatever_their_clocks_say() {
    let installation = Installation::new();
    let replica = installation.start("30", "+0").await;
    for clock in ["+40m", "-40m", "+0", "-40m"] {
        let token = replica.issue("alice").await;
        installation.revoke(&token.session_id, "30", clock);
        replica.until_refused(&token.access_token).await;
    }
    // A revocation of its own follows those of the future.
    let (token, cursor) = (replica.issue("alice").await, watched(&replica, "").await);
    replica.revoke(&token.session_id).await;
    let after = watched(&replica, &cursor).await;
    assert_ne!(after, cursor);
    drop(replica);
    let replica = installation.start("30", "+0").await;
    assert!(replica.refuses(&token.access_token).await);
    watched(&replica, &after).await;
}

/// Watches from that cursor until the first heartbeat. Returns the new cursor.
async fn watched(replica: &Replica, cursor: &str) -> String {
    let mut stream = replica.watch(cursor).await.unwrap();
    loop {
        let message = stream.message().await.unwrap().unwrap();
        if matches!(message.event, Some(Event::Heartbeat(_))) {
            return message.cursor;
        }
    }
}
