//! The version before and this one serve side by side on one database, in either order.
//!
//! The version before is the newest tag `v*` that is not this version's own; it is built once
//! into `target/previous`. Before there is any such tag this version stands in for it: then the
//! test shows that two processes agree, and nothing about two versions. `PREVIOUS_REVISION` names
//! another revision to build instead.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::Postgres;
use crate::replica::Replica;
use crate::user::{Client, User, client};

fn git(arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    let output = command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn previous_revision() -> Option<String> {
    if let Ok(revision) = std::env::var("PREVIOUS_REVISION") {
        return Some(revision);
    }
    let own = concat!("v", env!("CARGO_PKG_VERSION"));
    let tags = git(&["tag", "--list", "v*", "--sort=-version:refname"]);
    tags.lines().find(|tag| *tag != own).map(str::to_owned)
}

/// The binary of the version before.
fn previous() -> PathBuf {
    let own = Path::new(env!("CARGO_BIN_EXE_token-authority"));
    let Some(revision) = previous_revision() else { return own.to_owned() };
    let commit = git(&["rev-parse", "--verify", &format!("{revision}^{{commit}}")]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/previous").join(commit.trim());
    let binary = folder.join("target/debug/token-authority");
    if !binary.exists() {
        std::fs::create_dir_all(&folder).unwrap();
        let unpacked = Command::new("sh")
            .args(["-c", "git archive \"$0\" | tar -x -C \"$1\"", commit.trim()])
            .arg(&folder)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(unpacked.unwrap().success(), "{revision} cannot be unpacked");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--locked", "--bin", "token-authority"]).current_dir(&folder);
        // Its own folder, whatever this build's is.
        cargo.env("CARGO_TARGET_DIR", folder.join("target"));
        assert!(cargo.status().unwrap().success(), "{revision} cannot be built");
    }
    binary
}

/// Each of two replicas accepts what the other gave out, and each other's changes.
async fn agree(one: &Client, other: &Client, name: &str) {
    for (first, second) in [(one, other), (other, one)] {
        let mut user = User::log_in(first, name).await.unwrap();
        let mut elsewhere = user.at(second);
        assert!(elsewhere.validate().await.unwrap());
        assert!(elsewhere.refresh().await.unwrap(), "the first refresh rotates");
        // The reply was lost to `user`, who asks the first replica again with the old token.
        user.refresh().await.unwrap();
        assert_eq!(user.refresh_token, elsewhere.refresh_token);
        assert!(user.at(second).validate().await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_before_and_this_one_agree() {
    let previous = tokio::task::block_in_place(previous);
    let postgres = Postgres::start();
    let mut old = Replica::start_program(&previous, &postgres.url());
    let earlier = User::log_in(&client(old.grpc), "earlier").await.unwrap();

    // The roll-out: this version migrates, and both serve.
    let new = Replica::start(&postgres.url());
    assert!(old.is_ready(), "the version before cannot work with this one's schema");
    agree(&client(old.grpc), &client(new.grpc), "during").await;

    // The roll-back: the version before starts on what this one has migrated.
    old.end();
    old.start_again();
    agree(&client(old.grpc), &client(new.grpc), "after").await;
    earlier.at(&client(new.grpc)).refresh().await.unwrap();
}
