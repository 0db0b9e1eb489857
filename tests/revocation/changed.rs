//! A role that is taken away: refused on every replica and told to every watcher within a second, while
//! the session lives on.

use std::time::{Duration, Instant};

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use test_support::postgres::Cluster;
use token_authority::transport::proto::v1;
use token_authority::transport::proto::v1::update_sessions_request::Target;
use token_authority::transport::proto::v1::watch_revocations_response::Event;

use crate::replica::Replica;

const SECOND: Duration = Duration::from_secs(1);

fn role(name: &str) -> Struct {
    let value = Value { kind: Some(Kind::StringValue(name.into())) };
    Struct { fields: [("role".to_owned(), value)].into() }
}

async fn log_in(replica: &Replica, user: &str) -> v1::IssueTokensResponse {
    let ask = v1::IssueTokensRequest {
        user_id: user.into(),
        claims: Some(role("admin")),
        ..Default::default()
    };
    replica.tokens.clone().issue_tokens(ask).await.unwrap().into_inner()
}

async fn update(replica: &Replica, target: Target, refresh_now: bool) -> i32 {
    let ask = v1::UpdateSessionsRequest {
        target: Some(target),
        claims: Some(role("user")),
        refresh_now,
        ..Default::default()
    };
    let answer = replica.sessions.clone().update_sessions(ask).await.unwrap();
    answer.into_inner().updated_count
}

async fn refresh(replica: &Replica, token: &str) -> v1::RefreshAccessTokenResponse {
    let ask = v1::RefreshAccessTokenRequest { refresh_token: token.into(), ..Default::default() };
    replica.tokens.clone().refresh_access_token(ask).await.unwrap().into_inner()
}

async fn is_stale(replica: &Replica, token: &str) -> bool {
    let answer = replica.validate(token).await.unwrap();
    let stale = answer.inactive_reason() == v1::InactiveReason::Stale;
    assert!(answer.active != stale, "{answer:?}");
    stale
}

/// A watcher that knows nothing of stale tokens, and one that does.
#[derive(Default)]
struct Watcher {
    revoked: Vec<String>,
    stale: Vec<(String, u32)>,
    cursor: String,
    as_of: (i64, i32),
}

impl Watcher {
    /// Takes messages in until the condition holds.
    async fn until(
        &mut self,
        stream: &mut tonic::Streaming<v1::WatchRevocationsResponse>,
        holds: impl Fn(&Self) -> bool,
    ) {
        while !holds(self) {
            let message = stream.message().await.unwrap().unwrap();
            let stale = match message.event.unwrap() {
                Event::Snapshot(snapshot) => {
                    let over = snapshot.revocations.into_iter().map(|one| one.session_id);
                    self.revoked.extend(over);
                    snapshot.stale_tokens
                }
                Event::Revocation(one) => {
                    self.revoked.push(one.session_id);
                    Vec::new()
                }
                Event::Heartbeat(heartbeat) => {
                    let as_of = heartbeat.as_of.unwrap();
                    // An earlier watcher takes it for a heartbeat, so it must not set the time back.
                    assert!((as_of.seconds, as_of.nanos) >= self.as_of, "{as_of:?}");
                    self.as_of = (as_of.seconds, as_of.nanos);
                    heartbeat.stale_tokens
                }
            };
            self.stale.extend(stale.into_iter().map(|one| (one.session_id, one.epoch)));
            self.cursor = message.cursor;
        }
    }
}

async fn replicas() -> [Replica; 3] {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    [
        Replica::start(&url, &[]).await,
        Replica::start(&url, &[("SHUTDOWN_DRAIN_SECONDS", "0")]).await,
        Replica::start(&url, &[]).await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_taken_away_is_refused_everywhere_and_the_user_stays_logged_in() {
    let replicas = replicas().await;
    let [a, b, c] = &replicas;
    let mut stream = b.watch("").await.unwrap();
    let mut watcher = Watcher::default();
    watcher.until(&mut stream, |watcher| watcher.as_of.0 > 0).await;

    for round in 1..=3 {
        let login = log_in(a, "alice").await;
        let other = log_in(c, "bob").await;
        for replica in &replicas {
            assert!(!is_stale(replica, &login.access_token).await);
        }
        let updated = update(b, Target::SessionId(login.session_id.clone()), true).await;
        let answered = Instant::now();
        assert_eq!(updated, 1);
        assert!(is_stale(b, &login.access_token).await, "not in force where it was answered");

        // New tokens are good at once, in the same second, also if the refresh token stays the same.
        let first = refresh(b, &login.refresh_token).await;
        let second = refresh(b, &first.refresh_token).await;
        assert_eq!(second.refresh_token, first.refresh_token);
        for replica in &replicas {
            while !is_stale(replica, &login.access_token).await {
                assert!(answered.elapsed() < SECOND * 10, "it was missed");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        let refused_after = answered.elapsed();
        test_support::measured::measured(&format!("refused everywhere after {refused_after:?}"));
        for tokens in [&first, &second] {
            for replica in &replicas {
                let seen = replica.validate(&tokens.access_token).await.unwrap();
                assert!(seen.active, "{seen:?}");
                assert_eq!(seen.claims, Some(role("user")));
            }
        }
        assert!(!is_stale(a, &other.access_token).await);

        let expected = (login.session_id.clone(), 1);
        watcher.until(&mut stream, |watcher| watcher.stale.contains(&expected)).await;
        assert_eq!((watcher.stale.len(), watcher.revoked.len()), (round, 0));

        // Once more: what was good before is stale now.
        update(a, Target::UserId("alice".into()), true).await;
        assert!(is_stale(a, &second.access_token).await);
        let third = refresh(a, &second.refresh_token).await;
        assert!(!is_stale(a, &third.access_token).await);
        let ask = v1::RevokeSessionRequest { session_id: login.session_id.clone() };
        a.sessions.clone().revoke_session(ask).await.unwrap();
        watcher.until(&mut stream, |watcher| watcher.revoked.contains(&login.session_id)).await;
        assert!(a.refuses(&third.access_token).await);
        (watcher.stale, watcher.revoked) = Default::default();
        watcher.stale.resize(round, Default::default());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_tokens_are_in_snapshots_and_after_cursors_and_survive_a_restart() {
    let [a, b, c] = replicas().await;
    let mut stream = a.watch("").await.unwrap();
    let mut watcher = Watcher::default();
    watcher.until(&mut stream, |watcher| watcher.as_of.0 > 0).await;
    let (first, second) = (log_in(&a, "alice").await, log_in(&a, "alice").await);
    let over = log_in(&a, "carol").await;
    assert_eq!(update(&a, Target::UserId("alice".into()), true).await, 2);
    a.revoke(&over.session_id).await;

    let knows = |watcher: &Watcher| {
        let told = |id: &str| watcher.stale.iter().any(|one| *one == (id.to_owned(), 1));
        told(&first.session_id) && told(&second.session_id) && watcher.revoked.len() == 1
    };
    // At the same replica and at another one, from the cursor and from the beginning.
    for (replica, cursor) in [(&a, &watcher.cursor), (&b, &watcher.cursor), (&c, &String::new())] {
        let mut resumed = Watcher { cursor: cursor.clone(), ..Watcher::default() };
        let mut stream = replica.watch(cursor).await.unwrap();
        resumed.until(&mut stream, knows).await;
    }
    // A replica that starts later reads them.
    assert!(is_stale(&c, &first.access_token).await);
    assert!(!is_stale(&c, &refresh(&c, &first.refresh_token).await.access_token).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_without_refresh_now_waits_for_the_next_refresh() {
    let [a, b, _c] = replicas().await;
    let login = log_in(&a, "alice").await;
    assert_eq!(update(&b, Target::SessionId(login.session_id.clone()), false).await, 1);
    let seen = b.validate(&login.access_token).await.unwrap();
    assert_eq!((seen.active, seen.claims), (true, Some(role("admin"))));
    let renewed = refresh(&a, &login.refresh_token).await;
    assert_eq!(b.validate(&renewed.access_token).await.unwrap().claims, Some(role("user")));
    assert_eq!(update(&b, Target::UserId("nobody".into()), true).await, 0);
}
