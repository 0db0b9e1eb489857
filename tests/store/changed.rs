//! Sessions that are changed, bounded in number, and erased.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use token_authority::clock::Timestamp;
use token_authority::store::rows::{Position, SessionBound};
use token_authority::store::{Open, Opened, Revoke, Update};
use token_authority::token::client::ClientInfo;
use token_authority::token::grant::{Grant, GrantChange};
use token_authority::token::id::{Epoch, SessionId, UserId};
use token_authority::token::rotation::Verdict;
use token_authority::token::session::{Refused, Revocation, RevocationReason, Session};

use crate::database::Database;
use crate::logins::{DAY, Logins, POLICY, REACH, START};

const SECOND: Duration = Duration::from_secs(1);

fn grant(role: &str) -> Grant {
    let claims = json!({ "role": role }).as_object().unwrap().clone();
    Grant::new(vec!["api".into()], vec!["read".into()], claims).unwrap()
}

fn role(role: &str) -> GrantChange {
    let claims = Some(json!({ "role": role }).as_object().unwrap().clone());
    GrantChange { claims, ..GrantChange::default() }
}

async fn feed(database: &Database, now: Timestamp) -> Vec<Revocation> {
    let beginning = Position::before(Timestamp::EPOCH);
    let page = database.rows.feed(beginning, now, 1000).await.unwrap();
    page.recorded.into_iter().map(|recorded| recorded.revocation).collect()
}

fn before(epoch: u32) -> Refused {
    Refused::Before(Epoch::new(epoch))
}

pub(crate) async fn a_change_is_in_force_with_the_next_refresh(database: Database) {
    let logins = Logins::new(90);
    let store = database.store(POLICY).await;
    let (mut open, token) = logins.login("u", START);
    open.session.grant = grant("admin");
    let id = open.session.id;
    store.open(open).await.unwrap();

    let now = START + SECOND;
    let update = |change, refresh_now| Update {
        session_id: id,
        change,
        refresh_now,
        now,
        actor: String::new(),
    };
    let changed = store.update(update(role("user"), false)).await.unwrap().unwrap();
    assert_eq!(changed.stale, None);
    let changed = changed.session;
    assert_eq!((&changed.grant, changed.epoch), (&grant("user"), Epoch::FIRST));
    assert_eq!(database.session(id).await.unwrap(), changed);
    assert_eq!(feed(&database, now).await, []);
    // By the shortest way, which reads nothing before, and by the longer one.
    let other = database.store(POLICY).await;
    for (store, now) in [(&store, now), (&other, now + DAY)] {
        let refreshed = store.refresh(logins.refresh(&token, now)).await.unwrap();
        assert_eq!(refreshed.session.unwrap().grant, grant("user"), "{:?}", refreshed.verdict);
    }

    // What is not named stays; an empty value removes.
    let scopes = GrantChange { scopes: Some(Vec::new()), ..GrantChange::default() };
    let changed = store.update(update(scopes, false)).await.unwrap().unwrap().session;
    assert_eq!((changed.grant.scopes().len(), changed.grant.audience().len()), (0, 1));
    assert_eq!(changed.grant.claims()["role"], "user");

    // Sessions that are over, or that there are none, are not changed.
    let late = Update { now: changed.expires_at, ..update(role("x"), true) };
    assert_eq!(store.update(late).await.unwrap(), None);
    store.revoke(Revoke::Session(id), now).await.unwrap();
    assert_eq!(store.update(update(role("x"), true)).await.unwrap(), None);
    let unknown = Update { session_id: SessionId::NIL, ..update(role("x"), true) };
    assert_eq!(store.update(unknown).await.unwrap(), None);
}

pub(crate) async fn stale_tokens_are_told_through_the_feed(database: Database) {
    let logins = Logins::new(91);
    let store = database.store(POLICY).await;
    let (open, token) = logins.login("u", START);
    let (id, other) = (open.session.id, logins.login("u", START).0);
    store.open(open).await.unwrap();
    store.open(other.clone()).await.unwrap();
    let now = START + SECOND;
    let refreshed = store.refresh(logins.refresh(&token, now)).await.unwrap().session.unwrap();
    let update = |session_id, now| Update {
        session_id,
        change: GrantChange::default(),
        refresh_now: true,
        now,
        actor: String::new(),
    };
    let updated = store.update(update(id, now)).await.unwrap().unwrap();
    assert_eq!(updated.session.epoch, Epoch::new(1));
    store.update(update(other.session.id, now)).await.unwrap();
    let told = feed(&database, now).await;
    let told: Vec<_> = told.iter().map(|one| (one.session_id, one.refused)).collect();
    assert_eq!(told, [(id, before(1)), (other.session.id, before(1))]);
    let stale = updated.stale.unwrap();
    assert_eq!((stale.session_id, stale.refused), told[0]);
    assert_eq!(stale.expires_at, feed(&database, now).await[0].expires_at);

    // The second change of a session takes the place of the first, at the end of the feed.
    tokio::time::sleep(Duration::from_millis(5)).await;
    store.update(update(id, now + SECOND)).await.unwrap();
    let told = feed(&database, now).await;
    assert_eq!((told.len(), told[1].session_id, told[1].refused), (2, id, before(2)));
    assert_eq!((told[1].user_id.clone(), told[1].expires_at), (None, refreshed.access_ends_at));
    // A refresh keeps the epoch, by the shortest way too; a revocation is told beside it.
    let refreshed = store.refresh(logins.refresh(&token, now + SECOND)).await.unwrap();
    assert_eq!(refreshed.session.unwrap().epoch, Epoch::new(2));
    let rotated =
        store.refresh(logins.refresh(&refreshed.token.unwrap(), now + DAY)).await.unwrap();
    assert_eq!(rotated.verdict, Verdict::Rotate);
    assert_eq!(rotated.session.unwrap().epoch, Epoch::new(2));
    store.revoke(Revoke::Session(id), now + DAY).await.unwrap();
    let told = feed(&database, now).await;
    assert_eq!((told.len(), told[2].session_id), (3, id));
    assert_eq!(told[2].refused, Refused::All(RevocationReason::Admin));

    // One at a time misses none, and what matters no more is purged.
    let (mut after, mut paged) = (Position::before(Timestamp::EPOCH), Vec::new());
    while let Some(one) = database.rows.feed(after, now, 1).await.unwrap().recorded.pop() {
        after = one.position;
        paged.push(one.revocation);
    }
    assert_eq!(paged, told);
    assert_eq!(store.purge_revocations(now + DAY * 400, 100).await.unwrap(), 2);
    let left = feed(&database, now).await;
    assert!(left.iter().all(|one| matches!(one.refused, Refused::All(_))), "{left:?}");
}

pub(crate) async fn a_revoked_session_loses_what_nobody_needs(database: Database) {
    let logins = Logins::new(92);
    let store = database.store(POLICY).await;
    for revoke_all in [false, true] {
        let mut open = logins.login("u", START).0;
        open.session.client = ClientInfo::new("Mozilla/5.0 needle", "203.0.113.77", "needle's");
        open.session.grant = grant("needle");
        let (id, user_id) = (open.session.id, open.session.user_id.clone());
        store.open(open).await.unwrap();
        let revoke =
            if revoke_all { Revoke::User { user_id, except: None } } else { Revoke::Session(id) };
        let revoked = store.revoke(revoke, START + SECOND).await.unwrap();
        assert_eq!(revoked.len(), 1);
        let stored = database.session(id).await.unwrap();
        assert_eq!(stored, revoked[0].session);
        assert!(feed(&database, START).await.contains(&revoked[0].revocation));
        assert_eq!((stored.client, stored.grant), (ClientInfo::default(), Grant::default()));
    }
}

pub(crate) async fn nothing_of_an_erased_user_is_left(database: Database) {
    const NEEDLES: [&str; 5] =
        ["erase-me@example.com", "203.0.113.77", "needle-agent", "needle-device", "needle-role"];
    let logins = Logins::new(93);
    let store = database.store(POLICY).await;
    let user = UserId::new(NEEDLES[0]).unwrap();
    let mut ids = Vec::new();
    for key in ["live", "revoked", "rotated", "expired"] {
        let mut open = logins.retriable(NEEDLES[0], key, START);
        open.session.client = ClientInfo::new(NEEDLES[2], NEEDLES[1], NEEDLES[3]);
        open.session.grant = grant(NEEDLES[4]);
        if key == "expired" {
            open.session.expires_at = START + SECOND;
        }
        ids.push(open.session.id);
        store.open(open).await.unwrap();
    }
    let (kept, kept_token) = logins.login("someone else", START);
    let kept_id = kept.session.id;
    store.open(kept).await.unwrap();
    let now = START + SECOND * 2;
    store.revoke(Revoke::Session(ids[1]), now).await.unwrap();
    let stale = Update {
        session_id: ids[2],
        change: role("needle-role"),
        refresh_now: true,
        now,
        actor: "needle-actor".into(),
    };
    store.update(stale).await.unwrap();

    let erased = store.erase_user(&user, now + SECOND).await.unwrap();
    assert_eq!(erased.len(), 4);
    assert!(erased.iter().all(|ended| ended.revocation.user_id.is_none()));
    let dump = database.dump().await;
    for needle in NEEDLES {
        let found = dump.windows(needle.len()).any(|bytes| bytes == needle.as_bytes());
        assert!(!found, "{needle} is still there");
    }
    let secrets = "SELECT id FROM user_sessions WHERE user_id <> 'someone else' \
                   AND (first_tokens IS NOT NULL OR sealed IS NOT NULL)";
    assert_eq!(database.query(secrets).await.len(), 0);

    // The feed tells of the sessions, and of no user.
    let told = feed(&database, now).await;
    for id in &ids {
        let all = |one: &&Revocation| matches!(one.refused, Refused::All(_));
        let told = told.iter().filter(all).find(|one| one.session_id == *id).unwrap();
        assert_eq!(told.user_id, None);
    }
    // A late retry finds an ended session, and opens none.
    let Opened::Before(before) =
        store.open(logins.retriable(NEEDLES[0], "live", START)).await.unwrap()
    else {
        panic!("a new session was opened");
    };
    assert!(before.session.revoked.is_some() && before.sealed.is_none());
    assert_eq!(store.erase_user(&user, now).await.unwrap(), []);
    assert!(database.session(kept_id).await.unwrap().revoked.is_none());
    assert!(store.refresh(logins.refresh(&kept_token, now)).await.unwrap().token.is_some());
}

async fn live(database: &Database, user: &str, now: Timestamp) -> Vec<Session> {
    database.rows.list(&UserId::new(user).unwrap(), None, 1000, now).await.unwrap()
}

pub(crate) async fn a_login_over_the_bound_ends_the_least_recently_used_session(
    database: Database,
) {
    let logins = Logins::new(94);
    let store = database.store(POLICY).await.with_max_sessions(3);
    let at = |i: u32| START + SECOND * i;
    let mut held = Vec::new();
    for i in 0..3 {
        let (open, token) = logins.login("u", at(i));
        held.push((open.session.id, token));
        assert!(matches!(store.open(open).await.unwrap(), Opened::New));
    }
    // The oldest is in use; another user's are not counted.
    store.refresh(logins.refresh(&held[0].1, at(10))).await.unwrap();
    store.open(logins.login("v", at(0)).0).await.unwrap();
    let Opened::Evicting(evicted) = store.open(logins.login("u", at(11)).0).await.unwrap() else {
        panic!("nothing was evicted");
    };
    let [evicted] = &evicted[..] else { panic!("{evicted:?}") };
    assert_eq!(evicted.session.id, held[1].0);
    assert_eq!(evicted.session.revoked.unwrap().reason, RevocationReason::Evicted);
    assert_eq!(database.session(held[1].0).await.unwrap(), evicted.session);
    let told = feed(&database, at(11)).await;
    assert_eq!(told, std::slice::from_ref(&evicted.revocation));
    assert_eq!((told.len(), told[0].session_id), (1, held[1].0));
    assert_eq!(told[0].refused, Refused::All(RevocationReason::Evicted));
    assert_eq!(live(&database, "u", at(11)).await.len(), 3);
    // An earlier version reads a reason that it knows.
    let reasons = "SELECT revocation_reason FROM user_sessions WHERE revoked_at IS NOT NULL \
                   UNION SELECT reason FROM revocations";
    assert_eq!(database.query(reasons).await, [[Some("user".to_owned())]]);
    // A session that has just begun is kept even if its replica's clock is behind.
    let late = logins.login("u", at(0)).0;
    store.open(late.clone()).await.unwrap();
    assert!(live(&database, "u", at(11)).await.iter().any(|one| one.id == late.session.id));
    // A retried login ends nothing.
    store.open(logins.retriable("u", "again", at(12))).await.unwrap();
    let again = store.open(logins.retriable("u", "again", at(12))).await.unwrap();
    let Opened::Before(_) = again else { panic!("it is new") };
    assert_eq!(live(&database, "u", at(12)).await.len(), 3);
}

pub(crate) async fn concurrent_logins_keep_to_the_bound(database: Database) {
    let logins = Logins::new(95);
    let stores = [
        database.store(POLICY).await.with_max_sessions(2),
        database.store(POLICY).await.with_max_sessions(2),
        database.store(POLICY).await.with_max_sessions(2),
    ];
    for round in 0..5 {
        let user = format!("user-{round}");
        let opens = (0..30).map(|i| stores[i % 3].open(logins.login(&user, START).0));
        for opened in join_all(opens).await {
            opened.unwrap();
        }
        assert_eq!(live(&database, &user, START + SECOND).await.len(), 2, "round {round}");
    }
    // Of a single batch, too, and of several users at once.
    let opens: Vec<Open> = (0..9).map(|i| logins.login(["x", "y"][i % 2], START).0).collect();
    let bound = SessionBound { most: 2, now: START, retention: REACH };
    let (inserted, evicted) = database.rows.insert_bounded(&opens, bound).await.unwrap();
    assert_eq!((inserted, evicted.len()), (vec![true; 9], 5));
    assert_eq!(live(&database, "x", START).await.len(), 2);
    assert_eq!(live(&database, "y", START).await.len(), 2);
    if database.path().is_none() {
        assert_eq!(database.query("SELECT user_id FROM login_locks").await.len(), 0);
    }
}
