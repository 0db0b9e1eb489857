//! The history of sessions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{AssertSqlSafe, Executor as _};
use test_support::until::TIMEOUT;
use token_authority::clock::Timestamp;
use token_authority::store::rows::SessionBound;
use token_authority::store::{Audit, EventPosition, EventsOf, Revoke, Update};
use token_authority::token::event::{Happened, SessionEvent};
use token_authority::token::grant::{GrantChange, GrantField};
use token_authority::token::id::{SessionId, UserId};
use token_authority::token::rotation::Verdict;
use token_authority::token::session::RevocationReason;

use crate::database::Database;
use crate::logins::{DAY, Logins, POLICY, REACH, START};

const SECOND: Duration = Duration::from_secs(1);
const SUPPORT: &str = "support";

fn user(id: &str) -> EventsOf {
    EventsOf::User(UserId::new(id).unwrap())
}

async fn all(database: &Database, of: &EventsOf) -> Vec<SessionEvent> {
    database.rows.events(of, None, 1000).await.unwrap()
}

/// What happened to one session, newest first.
async fn told(database: &Database, id: SessionId) -> Vec<(Happened, String)> {
    let events = all(database, &EventsOf::Session(id)).await;
    events.into_iter().map(|event| (event.what, event.actor)).collect()
}

fn by(actor: &str, at: Timestamp) -> Audit<'_> {
    Audit { actor, at }
}

fn revoked(reason: RevocationReason, actor: &str) -> (Happened, String) {
    (Happened::Revoked(reason), actor.to_owned())
}

pub(crate) async fn every_change_is_told_once_with_its_actor(database: Database) {
    let logins = Logins::new(100);
    let store = database.store(POLICY).await;
    let mut ids = Vec::new();
    let mut tokens = Vec::new();
    for _ in 0..6 {
        let (open, token) = logins.login("u", START);
        ids.push(open.session.id);
        tokens.push(token);
        store.open(open).await.unwrap();
    }
    let at = |seconds: u32| START + SECOND * seconds;
    let claims = json!({ "role": "user" }).as_object().cloned();
    let change = GrantChange { claims, audience: Some(Vec::new()), ..GrantChange::default() };
    for (second, refresh_now) in [(1, false), (2, true)] {
        let update = Update {
            session_id: ids[0],
            change: change.clone(),
            refresh_now,
            now: at(second),
            actor: SUPPORT.into(),
        };
        store.update(update).await.unwrap().unwrap();
    }
    store.revoke(Revoke::Session(ids[0]), by(SUPPORT, at(3))).await.unwrap();
    // Repeated, it is told no second time.
    store.revoke(Revoke::Session(ids[0]), by("another", at(4))).await.unwrap();
    store.revoke(Revoke::ByToken(tokens[1].clone()), by("app", at(3))).await.unwrap();
    store.revoke(Revoke::OfToken(ids[2]), by("app", at(3))).await.unwrap();
    let fields = vec![GrantField::Audience, GrantField::Claims];
    let updated = |refresh_now| {
        (Happened::Updated { fields: fields.clone(), refresh_now }, SUPPORT.to_owned())
    };
    let issued = || (Happened::Issued, String::new());
    let expected =
        [revoked(RevocationReason::Admin, SUPPORT), updated(true), updated(false), issued()];
    assert_eq!(told(&database, ids[0]).await, expected);
    for id in [ids[1], ids[2]] {
        let expected = [revoked(RevocationReason::Logout, "app"), issued()];
        assert_eq!(told(&database, id).await, expected);
    }

    // A theft: the first token comes back after its successor was in use.
    let next = store.refresh(logins.refresh(&tokens[3], START + DAY)).await.unwrap().token.unwrap();
    store.refresh(logins.refresh(&next, START + DAY * 2)).await.unwrap();
    let again = store.refresh(logins.refresh(&tokens[3], START + DAY * 3)).await.unwrap();
    assert_eq!(again.verdict, Verdict::Theft);
    let found = told(&database, ids[3]).await;
    assert_eq!(found[0], revoked(RevocationReason::Reuse, ""));
    assert_eq!((&found[1].0, found.len()), (&Happened::Refreshed, 3));

    let revoke = Revoke::User { user_id: UserId::new("u").unwrap(), except: Some(ids[4]) };
    store.revoke(revoke, by("auth-server", at(9))).await.unwrap();
    assert_eq!(told(&database, ids[4]).await, [issued()]);
    assert_eq!(told(&database, ids[5]).await[0], revoked(RevocationReason::User, "auth-server"));

    // The bound evicts the one that is left.
    let open = logins.login("u", at(10)).0;
    let bound = SessionBound { most: 1, now: at(10), retention: REACH };
    database.rows.insert_bounded(&[open], bound).await.unwrap();
    assert_eq!(told(&database, ids[4]).await[0], revoked(RevocationReason::Evicted, ""));
}

pub(crate) async fn logins_and_refreshes_add_no_row(database: Database) {
    let logins = Logins::new(101);
    let store = database.store(POLICY).await;
    let (open, mut token) = logins.login("u", START);
    let id = open.session.id;
    store.open(open).await.unwrap();
    for day in 1..=3 {
        let refreshed = store.refresh(logins.refresh(&token, START + DAY * day)).await.unwrap();
        assert_eq!(refreshed.verdict, Verdict::Rotate);
        token = refreshed.token.unwrap();
    }
    let count = || database.query("SELECT session_id FROM session_events");
    assert_eq!(count().await.len(), 0);
    let events = all(&database, &EventsOf::Session(id)).await;
    let told: Vec<_> = events.iter().map(|event| (&event.what, event.at)).collect();
    assert_eq!(told, [(&Happened::Refreshed, START + DAY * 3), (&Happened::Issued, START)]);
    // A change that is refused, or that finds nothing to change, is no event.
    store.revoke(Revoke::Session(SessionId::NIL), START).await.unwrap();
    let late = Update {
        session_id: id,
        change: GrantChange::default(),
        refresh_now: true,
        now: START + DAY * 400,
        actor: String::new(),
    };
    assert_eq!(store.update(late).await.unwrap(), None);
    assert_eq!(count().await.len(), 0);
}

pub(crate) async fn a_history_has_pages_and_ends(database: Database) {
    let logins = Logins::new(102);
    let store = database.store(POLICY).await;
    for i in 0..7_u32 {
        let open = logins.login("u", START).0;
        let id = open.session.id;
        store.open(open).await.unwrap();
        // Several at the same moment.
        store.revoke(Revoke::Session(id), by(SUPPORT, START + SECOND * (i / 3))).await.unwrap();
    }
    store.open(logins.login("v", START).0).await.unwrap();
    let whole = all(&database, &user("u")).await;
    assert_eq!(whole.len(), 14);
    assert!(whole.is_sorted_by(|one, next| one.at >= next.at));
    for size in [1, 4] {
        let (mut paged, mut before) = (Vec::new(), None);
        loop {
            let page = database.rows.events(&user("u"), before, size).await.unwrap();
            before = page.last().map(EventPosition::of);
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, whole);
    }
    // A kind that a later version writes is left out.
    database.execute("UPDATE session_events SET kind = 'dissolved' WHERE actor = 'support'").await;
    assert_eq!(all(&database, &user("u")).await.len(), 7);

    // The oldest three, two of which in the first step.
    let kept_from = START + SECOND;
    assert_eq!(store.purge_events(kept_from, 2).await.unwrap(), 2);
    assert_eq!(store.purge_events(kept_from, 2).await.unwrap(), 1);
    assert_eq!(store.purge_events(kept_from, 2).await.unwrap(), 0);
    assert_eq!(database.query("SELECT session_id FROM session_events").await.len(), 4);
}

pub(crate) async fn an_erased_user_has_no_history(database: Database) {
    let logins = Logins::new(103);
    let store = database.store(POLICY).await;
    let (before, live) = (logins.login("gone", START).0, logins.login("gone", START).0);
    let ids = [before.session.id, live.session.id];
    store.open(before).await.unwrap();
    store.open(live).await.unwrap();
    store.revoke(Revoke::Session(ids[0]), by(SUPPORT, START + SECOND)).await.unwrap();
    let gone = UserId::new("gone").unwrap();
    store.erase_user(&gone, by("cli:operator", START + SECOND * 2)).await.unwrap();
    assert_eq!(all(&database, &user("gone")).await, []);
    let stored = database.query("SELECT user_id FROM session_events").await;
    assert_eq!(stored, [[Some(ids[1].to_string())]]);
    // Who ended the live one is still told, without the user.
    let events = all(&database, &EventsOf::Session(ids[1])).await;
    assert!(events.iter().all(|event| event.user_id.is_none()));
    assert_eq!(events[0].actor, "cli:operator");
    assert_eq!(events[0].what, Happened::Revoked(RevocationReason::User));
}

/// A change that commits while the erasure waits for it adds its rows after the erasure began.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_forgets_what_is_written_while_it_waits() {
    for database in [Database::postgres().await, Database::pgbouncer().await] {
        let logins = Logins::new(104);
        let store = Arc::new(database.store(POLICY).await);
        let open = logins.login("gone", START).0;
        let id = open.session.id;
        store.open(open).await.unwrap();
        let mut other = database.direct().await;
        let change = format!(
            "BEGIN;
             UPDATE user_sessions SET revision = revision + 1 WHERE id = '{id}';
             INSERT INTO session_events (session_id, happened_at, kind, user_id, actor, detail)
             VALUES ('{id}', now(), 'updated', 'gone', 'support', 'scopes');
             INSERT INTO revocations (session_id, user_id, revoked_at, expires_at, reason, recorded_at)
             VALUES ('{id}', 'gone', now(), now() + interval '1 day', 'admin', now())"
        );
        other.execute(sqlx::raw_sql(AssertSqlSafe(change))).await.unwrap();
        let gone = UserId::new("gone").unwrap();
        let erasure = tokio::spawn({
            let store = Arc::clone(&store);
            async move { store.erase_user(&gone, by("support", START + SECOND)).await }
        });
        let waiting = "SELECT 1 FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let deadline = Instant::now() + TIMEOUT;
        while database.query(waiting).await.is_empty() {
            assert!(Instant::now() < deadline, "the erasure does not wait for the change");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        other.execute("COMMIT").await.unwrap();
        assert_eq!(erasure.await.unwrap().unwrap().len(), 1);
        for table in ["user_sessions", "session_events", "revocations"] {
            let left = format!("SELECT user_id FROM {table} WHERE user_id = 'gone'");
            assert_eq!(database.query(&left).await.len(), 0, "{table}");
        }
    }
}
