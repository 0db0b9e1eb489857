//! A replica that cannot confirm how fresh its revocations are, or that has more than it may hold.

use std::time::Duration;

use test_support::postgres::Cluster;
use test_support::proxy::{Mode, Proxy};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::replica::{Replica, curl};

async fn stale(policy: &str) -> (Replica, Proxy, String) {
    let cluster = Cluster::shared();
    let direct = cluster.url(&cluster.make_database().await);
    let proxy = Proxy::before(cluster.port()).await;
    let around = direct.replace(&cluster.port().to_string(), &proxy.port.to_string());
    let settings = [("REVOCATION_MAX_STALENESS_SECONDS", "2"), ("REVOCATION_STALE_POLICY", policy)];
    let replica = Replica::start(&around, &settings).await;
    let token = replica.issue("u").await.access_token;
    assert!(replica.validate(&token).await.unwrap().active);
    proxy.set(Mode::Hang);
    // The replica is not stale yet, so the policy does not matter.
    assert!(replica.validate(&token).await.unwrap().active);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let readiness = replica.readiness();
    assert!(readiness.contains("stale") && readiness.ends_with("503"), "{readiness}");
    (replica, proxy, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_goes_on_and_only_says_that_it_is_not_ready() {
    let (replica, proxy, token) = stale("serve").await;
    assert!(replica.validate(&token).await.unwrap().active);
    proxy.set(Mode::Pass);
    replica.until_ready(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refuse_answers_unavailable_until_it_is_fresh_again() {
    let (replica, proxy, token) = stale("refuse").await;
    let refused = replica.validate(&token).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let details = refused.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "STORE_UNAVAILABLE");
    // A token that is invalid for another reason still gets that answer.
    assert!(!replica.validate("bad").await.unwrap().active);
    proxy.set(Mode::Pass);
    replica.until_ready(true).await;
    assert!(replica.validate(&token).await.unwrap().active);
}

/// Starts a replica behind a proxy in that mode. Returns two tokens that another replica issued: of
/// a revoked session, and of a live one.
async fn starting(mode: Mode, policy: &str) -> (Replica, Proxy, [String; 2]) {
    let cluster = Cluster::shared();
    let direct = cluster.url(&cluster.make_database().await);
    let proxy = Proxy::before(cluster.port()).await;
    let around = direct.replace(&cluster.port().to_string(), &proxy.port.to_string());
    let first = Replica::start(&direct, &[]).await;
    let ended = first.issue("u").await;
    first.revoke(&ended.session_id).await;
    let other = first.issue("u").await.access_token;
    proxy.set(mode);
    let second = Replica::start_unready(&around, &[("REVOCATION_STALE_POLICY", policy)]).await;
    (second, proxy, [ended.access_token, other])
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_at_the_start_it_vouches_for_no_token() {
    for policy in ["serve", "refuse"] {
        let (replica, proxy, [ended, other]) = starting(Mode::Cut, policy).await;
        let readiness = replica.readiness();
        assert!(readiness.contains("not loaded") && readiness.ends_with("503"), "{readiness}");
        for token in [&ended, &other] {
            assert_eq!(replica.validate(token).await.unwrap_err().code(), Code::Unavailable);
        }
        // A token that is invalid for another reason still gets that answer.
        assert!(!replica.validate("bad").await.unwrap().active);
        let alive = format!("http://127.0.0.1:{}/healthz", replica.http);
        assert!(curl(&["-w", " %{http_code}", &alive]).ends_with("200"));
        proxy.set(Mode::Pass);
        replica.until_ready(true).await;
        assert!(replica.refuses(&ended).await && !replica.refuses(&other).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_in_the_first_moments_is_answered_once_it_is_known() {
    let (replica, proxy, [ended, other]) = starting(Mode::Hang, "serve").await;
    let pass = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        proxy.set(Mode::Pass);
    };
    let (ended, other, ()) = tokio::join!(replica.refuses(&ended), replica.refuses(&other), pass);
    assert!(ended && !other);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_may_be_held_is_looked_up_and_never_forgotten() {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    let a = Replica::start(&url, &[]).await;
    let b = Replica::start(&url, &[("REVOCATION_MAX_ENTRIES", "5")]).await;
    let issued = a.issue_many(40).await;
    let (ended, alive) = issued.split_at(20);
    let mut watching = b.watch("").await.unwrap();
    for tokens in ended {
        a.revoke(&tokens.session_id).await;
        b.until_refused(&tokens.access_token).await;
    }
    assert!(b.log().contains("REVOCATION_MAX_ENTRIES"), "{}", b.log());
    for tokens in alive {
        assert!(!b.refuses(&tokens.access_token).await);
    }
    // Earlier watchers still receive every revocation. A new watcher gets no incomplete snapshot.
    let mut told = 0;
    while told < ended.len() {
        let message = watching.message().await.unwrap().unwrap();
        told += usize::from(crate::watch::revocation(&message).is_some());
    }
    assert_eq!(b.watch("").await.unwrap_err().code(), Code::ResourceExhausted);
}
