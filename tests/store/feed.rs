//! The revocation feed: every revocation is added to it in the step that makes it, by all paths,
//! and a reader that begins at its horizon misses none.

use std::sync::Arc;
use std::time::Duration;

use token_authority::clock::Timestamp;
use token_authority::store::rows::{CompareAndSwap, FeedPage, OVERLAP, Position, Recorded};
use token_authority::store::{Open, Revoke, Rows, Store, System};
use token_authority::token::id::{SessionId, UserId};
use token_authority::token::refresh::RefreshToken;
use token_authority::token::rotation::Verdict;
use token_authority::token::session::{Refused, Revocation, RevocationReason, Revoked, Session};

use crate::database::Database;
use crate::logins::{Logins, POLICY, REACH, START, WINDOW};

const BEGINNING: Position = Position::before(Timestamp::EPOCH);

async fn read(rows: &Arc<dyn Rows>, after: Position, now: Timestamp, most: u32) -> FeedPage {
    rows.feed(after, now, most).await.unwrap()
}

/// Returns all revocations in the feed at `now`.
async fn feed(database: &Database, now: Timestamp) -> Vec<Revocation> {
    let page = read(&database.rows, BEGINNING, now, 10_000).await;
    page.recorded.into_iter().map(|recorded| recorded.revocation).collect()
}

/// Returns the expected row of the feed for a session revoked at `at`.
fn said(session: &Session, at: Timestamp, reason: RevocationReason) -> Revocation {
    Revocation {
        session_id: session.id,
        user_id: Some(session.user_id.clone()),
        revoked_at: at,
        expires_at: at + REACH,
        refused: Refused::All(reason),
    }
}

async fn log_in(store: &Store, logins: &Logins, user: &str) -> (Session, RefreshToken) {
    let (open, token) = logins.login(user, START);
    let session = open.session.clone();
    store.open(open).await.unwrap();
    (session, token)
}

pub(crate) async fn every_path_tells_once(database: Database) {
    let logins = Logins::new(71);
    let store = database.store(POLICY).await;
    let (stolen, first) = log_in(&store, &logins, "Zoë 🦀").await;
    let (out, out_token) = log_in(&store, &logins, "u").await;
    let (given_back, _) = log_in(&store, &logins, "u").await;
    let (ended, _) = log_in(&store, &logins, "u").await;
    let (one, _) = log_in(&store, &logins, "v").await;
    let (other, _) = log_in(&store, &logins, "v").await;
    let (kept, _) = log_in(&store, &logins, "v").await;

    // Three rotations make the first token an ancestor. A refresh that revokes nothing adds nothing.
    let (mut now, mut latest) = (START, first.clone());
    for _ in 0..3 {
        now = now + WINDOW * 2;
        latest = store.refresh(logins.refresh(&latest, now)).await.unwrap().token.unwrap();
    }
    assert_eq!(feed(&database, now).await, []);

    for _ in 0..2 {
        store.refresh(logins.refresh(&first, now)).await.unwrap();
        store.revoke(Revoke::ByToken(out_token.clone()), now).await.unwrap();
        store.revoke(Revoke::OfToken(given_back.id), now).await.unwrap();
        store.revoke(Revoke::Session(ended.id), now).await.unwrap();
        let user_id = UserId::new("v").unwrap();
        store.revoke(Revoke::User { user_id, except: Some(kept.id) }, now).await.unwrap();
    }
    let mut expected = vec![
        said(&stolen, now, RevocationReason::Reuse),
        said(&out, now, RevocationReason::Logout),
        said(&given_back, now, RevocationReason::Logout),
        said(&ended, now, RevocationReason::Admin),
        said(&one, now, RevocationReason::User),
        said(&other, now, RevocationReason::User),
    ];
    // The session was refreshed a moment ago, and its access tokens live as long as that refresh
    // says.
    expected[0].expires_at = now + REACH + WINDOW;
    let mut found = feed(&database, now).await;
    for all in [&mut expected, &mut found] {
        all.sort_by_key(|revocation| revocation.session_id);
    }
    assert_eq!(found, expected);
}

pub(crate) async fn what_is_not_written_is_not_told(database: Database) {
    let logins = Logins::new(72);
    let opens = [logins.login("u", START).0, logins.login("u", START).0];
    database.rows.insert(&opens).await.unwrap();
    let revoked = |i: usize, revision| {
        let mut session = opens[i].session.clone();
        session.revoked = Some(Revoked { at: START, reason: RevocationReason::Logout });
        let revocation = session.revocation(REACH);
        CompareAndSwap { session, revision, grant_changed: false, revocation, events: Vec::new() }
    };
    let swaps = [revoked(0, 7), revoked(1, 0)];
    assert_eq!(database.rows.swap(&swaps).await.unwrap(), [false, true]);
    let expected = said(&opens[1].session, START, RevocationReason::Logout);
    assert_eq!(feed(&database, START).await, [expected]);
}

pub(crate) async fn what_cannot_be_told_is_not_done(database: Database) {
    let logins = Logins::new(73);
    let store = database.store(POLICY).await;
    let (session, token) = log_in(&store, &logins, "u").await;
    let second = store.refresh(logins.refresh(&token, START)).await.unwrap().token.unwrap();
    let later = START + WINDOW * 2;
    let theft_at = later + WINDOW * 2;
    store.refresh(logins.refresh(&second, later)).await.unwrap();
    let before = database.session(session.id).await;

    database.execute("ALTER TABLE revocations RENAME TO hidden").await;
    let user = |user: &str| Revoke::User { user_id: UserId::new(user).unwrap(), except: None };
    let ways = [Revoke::Session(session.id), Revoke::ByToken(token.clone()), user("u")];
    for way in ways {
        store.revoke(way, later).await.unwrap_err();
    }
    store.refresh(logins.refresh(&token, theft_at)).await.unwrap_err();
    assert_eq!(database.session(session.id).await, before);

    database.execute("ALTER TABLE hidden RENAME TO revocations").await;
    let theft = store.refresh(logins.refresh(&token, theft_at)).await.unwrap();
    assert_eq!(theft.verdict, Verdict::Theft);
    assert_eq!(feed(&database, theft_at).await.len(), 1);
}

pub(crate) async fn it_is_read_in_order_page_by_page(database: Database) {
    let logins = Logins::new(74);
    let store = database.store(POLICY).await;
    let mut expected = Vec::new();
    for i in 0..7 {
        let (session, _) = log_in(&store, &logins, "u").await;
        let at = START + Duration::from_secs(i);
        store.revoke(Revoke::Session(session.id), at).await.unwrap();
        expected.push((session.id, at));
    }
    let ids = |recorded: &[Recorded]| -> Vec<SessionId> {
        recorded.iter().map(|recorded| recorded.revocation.session_id).collect()
    };
    let all: Vec<SessionId> = expected.iter().map(|(id, _)| *id).collect();
    let whole = read(&database.rows, BEGINNING, START, 100).await;
    assert_eq!(ids(&whole.recorded), all);
    let last = whole.recorded[6].position.recorded_at;
    match database.rows.system() {
        System::Postgres => assert!(last <= whole.as_of && whole.horizon <= whole.as_of - OVERLAP),
        System::Sqlite => assert_eq!(whole.horizon, last),
    }

    let first = read(&database.rows, BEGINNING, START, 3).await;
    assert_eq!(ids(&first.recorded), all[..3]);
    let second = read(&database.rows, first.recorded[2].position, START, 100).await;
    assert_eq!(ids(&second.recorded), all[3..]);
    let none = read(&database.rows, second.recorded[3].position, START, 100).await;
    assert!(none.recorded.is_empty() && none.as_of >= whole.as_of);
    let from = Position::before(first.recorded[2].position.recorded_at);
    assert_eq!(ids(&read(&database.rows, from, START, 100).await.recorded), all[2..]);
    assert!(read(&database.rows, BEGINNING, START, 0).await.recorded.is_empty());

    // A revocation that no longer matters is not read.
    let now = expected[4].1 + REACH;
    assert_eq!(ids(&read(&database.rows, BEGINNING, now, 100).await.recorded), all[5..]);
}

pub(crate) async fn what_matters_no_more_is_purged(database: Database) {
    let logins = Logins::new(75);
    let store = database.store(POLICY).await;
    for i in 0..5 {
        let (session, _) = log_in(&store, &logins, "u").await;
        let at = START + Duration::from_secs(i);
        store.revoke(Revoke::Session(session.id), at).await.unwrap();
    }
    let before = START + Duration::from_secs(3) + REACH;
    assert_eq!(store.purge_revocations(before, 2).await.unwrap(), 2);
    assert_eq!(store.purge_revocations(before, 2).await.unwrap(), 1);
    assert_eq!(store.purge_revocations(before, 2).await.unwrap(), 0);
    assert_eq!(feed(&database, START).await.len(), 2);
}

/// Many concurrent revocations are each in the feed once, whatever their batches were.
pub(crate) async fn many_at_once_are_all_told(database: Database) {
    let logins = Logins::new(76);
    let (a, b) = (database.store(POLICY).await, database.store(POLICY).await);
    let opens: Vec<Open> = (0..200).map(|_| logins.login("u", START).0).collect();
    let ids: Vec<SessionId> = opens.iter().map(|open| open.session.id).collect();
    database.rows.insert(&opens).await.unwrap();
    let through = |store: &'static str, id| {
        let store = if store == "a" { &a } else { &b };
        store.revoke(Revoke::Session(id), START)
    };
    let both = ids.iter().flat_map(|id| [through("a", *id), through("b", *id)]);
    let ended: usize =
        futures::future::join_all(both).await.into_iter().map(|ended| ended.unwrap().len()).sum();
    assert_eq!(ended, 200);
    let mut found: Vec<SessionId> =
        feed(&database, START).await.into_iter().map(|one| one.session_id).collect();
    found.sort();
    let mut expected = ids;
    expected.sort();
    assert_eq!(found, expected);
}
