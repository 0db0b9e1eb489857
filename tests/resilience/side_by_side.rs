//! The previous version and this one serve side by side on one schema, in either order, and an
//! upgrade and its roll-back under load cost no request.

use std::path::Path;
use std::time::Duration;

use test_support::http::Http;
use test_support::postgres::Cluster;
use test_support::replica::{Replica, binary};
use token_authority::transport::proto::v1::UpdateSessionsRequest;
use token_authority::transport::proto::v1::update_sessions_request::Target;

use crate::haproxy::HaProxy;
use crate::load::Load;
use crate::previous;
use crate::replica;
use crate::user::{Client, User, client};

/// Checks that two replicas accept each other's tokens and changes.
async fn agree(one: &Client, other: &Client, name: &str) {
    for (first, second) in [(one, other), (other, one)] {
        let mut user = User::log_in(first, name).await.unwrap();
        let mut elsewhere = user.at(second);
        assert!(elsewhere.validate().await.unwrap());
        assert!(elsewhere.refresh().await.unwrap(), "the first refresh rotates");
        // The reply was lost, so `user` asks the first replica again with the old token.
        user.refresh().await.unwrap();
        assert_eq!(user.refresh_token, elsewhere.refresh_token);
        assert!(user.at(second).validate().await.unwrap());
    }
}

/// Takes a session's access tokens back at this version. The version before knows nothing of that, so it
/// accepts them until they expire. Both accept the new token, however the session goes on.
async fn declare_stale(old: &Replica, new: &Replica) {
    let mut user = User::log_in(&client(old.grpc().port()), "changed").await.unwrap();
    let ask = UpdateSessionsRequest {
        target: Some(Target::UserId("changed".into())),
        refresh_now: true,
        ..Default::default()
    };
    let updated = new.sessions().update_sessions(ask).await.unwrap().into_inner();
    assert_eq!(updated.updated_count, 1);
    assert!(!user.at(&client(new.grpc().port())).validate().await.unwrap());
    user = user.at(&client(new.grpc().port()));
    // The second one leaves the refresh token as it is.
    for _ in 0..2 {
        user.refresh().await.unwrap();
        for replica in [old, new] {
            assert!(user.at(&client(replica.grpc().port())).validate().await.unwrap());
        }
    }
    // The version before keeps such a session alive.
    let mut elsewhere = user.at(&client(old.grpc().port()));
    elsewhere.refresh().await.unwrap();
    assert_eq!(elsewhere.refresh_token, user.refresh_token);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_before_and_this_one_agree() {
    let previous = tokio::task::block_in_place(previous::binary);
    let postgres = Cluster::start();
    let mut old =
        replica::ready(&replica::setup(&postgres.url("postgres")).program(previous)).await;
    let earlier = User::log_in(&client(old.grpc().port()), "earlier").await.unwrap();

    // The roll-out: this version migrates, and both versions serve.
    let new = replica::start(&postgres.url("postgres")).await;
    assert!(old.is_ready(), "the previous version cannot work with this version's schema");
    agree(&client(old.grpc().port()), &client(new.grpc().port()), "during").await;
    declare_stale(&old, &new).await;

    // The roll-back: the previous version starts on the schema that this version migrated.
    old.end().await;
    old.start_again().await;
    old.ready().await;
    agree(&client(old.grpc().port()), &client(new.grpc().port()), "after").await;
    earlier.at(&client(new.grpc().port())).refresh().await.unwrap();
}

/// Replaces three replicas one by one.
async fn roll(replicas: &mut [Replica; 3], program: &Path) {
    for replica in replicas {
        replica.end().await;
        replica.become_program(program).await;
        replica.ready().await;
        // Like an orchestrator, wait until the balancer knows the new replica before the next one
        // stops.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_and_its_roll_back_cost_no_request() {
    let previous = tokio::task::block_in_place(previous::binary);
    let postgres = Cluster::start();
    let mut replicas = replica::three(previous, &postgres.url("postgres")).await;
    let migrations = || postgres.ask("postgres", "SELECT count(*) FROM _sqlx_migrations");
    let of_previous = i64::try_from(previous::migrations()).unwrap();
    assert_eq!(migrations().await, of_previous, "the previous version is not running");

    let (proxy, browsers) = HaProxy::before_replicas(&replicas);
    let load = Load::begin(&client(proxy.port), &Http::new(browsers), 20).await;
    roll(&mut replicas, &binary()).await;
    assert!(migrations().await >= of_previous, "this version removed migrations");
    for replica in &replicas {
        let mut user =
            User::log_in(&client(replica.grpc().port()), "after the upgrade").await.unwrap();
        assert!(user.validate().await.unwrap());
    }
    roll(&mut replicas, previous).await;

    let (mut users, mut browsers, tally) = load.end().await;
    assert!(tally.errors.is_empty(), "{:?} {}", tally.errors, proxy.log());
    assert!(tally.rotations > 0, "no refresh rotated");
    assert!(tally.good > 1000, "only {} requests are too few", tally.good);
    for user in &mut users {
        user.refresh().await.unwrap();
    }
    for browser in &mut browsers {
        browser.refresh().await.unwrap();
    }
}
