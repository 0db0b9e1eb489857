//! Single steps: what is written can be read, and only the fields that may change do.

use std::time::Duration;

use futures::future::join_all;
use token_authority::store::rows::{CompareAndSwap, Purged};
use token_authority::store::{Open, Opened, Receipt, StoreError};
use token_authority::token::client::ClientInfo;
use token_authority::token::grant::Grant;
use token_authority::token::id::{Generation, SessionId, UserId};
use token_authority::token::lifetimes::Lifetimes;
use token_authority::token::method::AuthMethod;
use token_authority::token::seal::Sealed;
use token_authority::token::session::{REVOCABLE_AFTER_END, RevocationReason, Revoked, Session};

use crate::database::Database;
use crate::logins::{DAY, Logins, POLICY, REACH, START, request_key};

/// A session without an empty field.
fn full(logins: &Logins) -> Session {
    let (open, first) = logins.login("Zoë 🦀 'quoted' \"twice\" \\ %s; --", START);
    let claims = r#"{"nul": "a\u0000b", "n": [1, 2.5, null, true], "ü": {"🦀": "\ud83e\udd80"}}"#;
    let (audience, scopes) = (vec!["api".into(), "ünï".into()], vec!["read:all".into()]);
    let grant = Grant::new(audience, scopes, serde_json::from_str(claims).unwrap()).unwrap();
    let mut session = open.session;
    session.user_id = UserId::new("ü".repeat(127)).unwrap();
    session.grant = grant;
    session.client = ClientInfo::new("Mozilla/5.0 {,\"}", "2001:db8::1", "Zoës Gerät");
    session.last_used_at = START + Duration::from_micros(1);
    session.revoked = Some(Revoked { at: START, reason: RevocationReason::Reuse });
    session.auth_method = AuthMethod::Session;
    session.lifetimes = Lifetimes { refresh: Some(DAY * 6), max: Some(DAY * 29) };
    session.expires_at = START + DAY * 5;
    session.persistent = false;
    let lineage = &mut session.lineage;
    lineage.generation = Generation::new(u32::MAX);
    lineage.predecessor = Some(first.hash());
    lineage.sealed = Some(Sealed::from_stored(vec![0, 1, 255, 0]));
    lineage.proven_at = Some(START + Duration::from_micros(7));
    session
}

pub(crate) async fn every_field_survives(database: Database) {
    let logins = Logins::new(1);
    let empty = logins.login("u", START).0;
    let mut whole = logins.retriable("u", "key", START);
    whole.session = full(&logins);
    let ids = [whole.session.id, empty.session.id];
    let opens = [empty.clone(), whole.clone()];
    assert_eq!(database.rows.insert(&opens).await.unwrap(), [true, true]);

    let loaded = database.rows.load(&ids).await.unwrap();
    let loaded: Vec<_> = loaded.into_iter().map(Option::unwrap).collect();
    assert_eq!(loaded[0].session, whole.session);
    assert_eq!(loaded[1].session, empty.session);

    let keys = ["none".to_owned(), whole.request.clone().unwrap().key];
    let mut found = database.rows.find_requests(&keys).await.unwrap();
    let found = found.pop().unwrap().unwrap();
    assert_eq!(found.session, whole.session);
    assert!(found.sealed.unwrap() == whole.request.unwrap().sealed);
}

/// A version that does not know a session's own lifetimes extends it by the settings.
pub(crate) async fn a_session_ends_by_its_own_lifetimes_whoever_extended_it(database: Database) {
    let logins = Logins::new(9);
    let mut open = logins.login("u", START).0;
    let (refresh, max) = (Some(Duration::from_hours(1)), Some(Duration::from_hours(3)));
    open.session.lifetimes = Lifetimes { refresh, max };
    open.session.expires_at = START + DAY;
    let id = open.session.id;
    assert_eq!(database.rows.insert(&[open]).await.unwrap(), [true]);
    assert_eq!(database.session(id).await.unwrap().expires_at, START + Duration::from_hours(1));
    database.execute("UPDATE user_sessions SET max_seconds = 60").await;
    assert_eq!(database.session(id).await.unwrap().expires_at, START + Duration::from_mins(1));
}

pub(crate) async fn a_swap_is_guarded_by_its_revision(database: Database) {
    let logins = Logins::new(2);
    let opens = [logins.login("u", START).0, logins.login("u", START).0];
    database.rows.insert(&opens).await.unwrap();
    let ids = opens.clone().map(|open| open.session.id);
    let rows = database.rows.load(&ids).await.unwrap();
    let revisions: Vec<i64> = rows.into_iter().map(|row| row.unwrap().revision).collect();

    // The fields of a session that a swap writes: all that may change.
    let changed = |of: &Session| {
        let from = full(&logins);
        let key = of.lineage.key.clone();
        let mut session = of.clone();
        (session.lineage, session.revoked) = (from.lineage, from.revoked);
        session.lineage.key = key;
        session.lineage.set_aside = session.lineage.predecessor;
        session.last_used_at = START + Duration::from_secs(5);
        session.expires_at = START + Duration::from_secs(6);
        session
    };
    let swaps = [
        CompareAndSwap {
            session: changed(&opens[1].session),
            revision: revisions[1],
            grant_changed: false,
            revocation: None,
            events: Vec::new(),
        },
        CompareAndSwap {
            session: changed(&opens[0].session),
            revision: revisions[0] + 1,
            grant_changed: false,
            revocation: None,
            events: Vec::new(),
        },
        CompareAndSwap {
            session: logins.login("u", START).0.session,
            revision: 0,
            grant_changed: false,
            revocation: None,
            events: Vec::new(),
        },
    ];
    assert_eq!(database.rows.swap(&swaps).await.unwrap(), [true, false, false]);
    assert_eq!(database.rows.swap(&swaps[..1]).await.unwrap(), [false]);

    let rows = database.rows.load(&ids).await.unwrap();
    let rows: Vec<_> = rows.into_iter().map(Option::unwrap).collect();
    assert_eq!((&rows[0].session, rows[0].revision), (&opens[0].session, revisions[0]));
    assert_eq!((&rows[1].session, rows[1].revision), (&swaps[0].session, revisions[1] + 1));
}

pub(crate) async fn a_request_key_is_taken_once(database: Database) {
    let logins = Logins::new(3);
    let login = |key| logins.retriable("u", key, START);
    let first = [login("b"), login("a"), login("b"), logins.login("u", START).0];
    assert_eq!(database.rows.insert(&first).await.unwrap(), [true, true, false, true]);
    let second = [login("c"), login("a"), logins.login("u", START).0];
    assert_eq!(database.rows.insert(&second).await.unwrap(), [true, false, true]);

    assert_eq!(database.session(first[2].session.id).await, None);
    assert_eq!(database.session(second[1].session.id).await, None);
    let keys = ["a", "b", "c", "d", "a"].map(request_key);
    let found = database.rows.find_requests(&keys).await.unwrap();
    let found: Vec<_> = found.iter().map(|one| one.as_ref().map(|one| one.session.id)).collect();
    let (a, b, c) = (first[1].session.id, first[0].session.id, second[0].session.id);
    assert_eq!(found, [Some(a), Some(b), Some(c), None, Some(a)]);
}

pub(crate) async fn nothing_asked_is_nothing_done(database: Database) {
    assert!(database.rows.insert(&[]).await.unwrap().is_empty());
    assert!(database.rows.load(&[]).await.unwrap().is_empty());
    assert!(database.rows.find_requests(&[]).await.unwrap().is_empty());
    assert!(database.rows.swap(&[]).await.unwrap().is_empty());
    assert!(database.rows.rotate(&[]).await.unwrap().is_empty());
    assert_eq!(database.rows.record_receipts(&[]).await.unwrap(), 0);
    assert_eq!(database.rows.purge(START, 10).await.unwrap(), Purged::default());
}

pub(crate) async fn all_of_a_users_live_sessions_but_one_are_revoked(database: Database) {
    let logins = Logins::new(4);
    let mut opens: Vec<Open> = (0..4).map(|_| logins.login("u", START).0).collect();
    opens.push(logins.login("v", START).0);
    // One session expired by any clock, and one was revoked before for another reason.
    let now = START + Duration::from_mins(1);
    opens[2].session.expires_at = now - REVOCABLE_AFTER_END;
    let before = Revoked { at: START, reason: RevocationReason::Reuse };
    opens[3].session.revoked = Some(before);
    database.rows.insert(&opens).await.unwrap();

    let ids: Vec<SessionId> = opens.iter().map(|open| open.session.id).collect();
    let user = UserId::new("u").unwrap();
    let reason = RevocationReason::User;
    let revoke = |except| database.rows.revoke_user(&user, except, now.into(), reason, REACH);
    let revoked = revoke(Some(ids[0])).await.unwrap();
    let [revoked] = &revoked[..] else { panic!("{revoked:?}") };
    let expected =
        Session { revoked: Some(Revoked { at: now, reason }), ..opens[1].session.clone() };
    assert_eq!(revoked, &expected);
    assert_eq!(database.session(ids[1]).await.unwrap(), expected);
    assert_ne!(database.revision(ids[1]).await, database.revision(ids[0]).await);
    for i in [0, 2, 3, 4] {
        assert_eq!(database.session(ids[i]).await.unwrap(), opens[i].session, "{i}");
    }
    assert_eq!(revoke(None).await.unwrap().len(), 1);
    assert_eq!(revoke(None).await.unwrap(), []);
}

pub(crate) async fn live_sessions_are_listed_newest_first_by_pages(database: Database) {
    let logins = Logins::new(5);
    let at = |i: u32| START + Duration::from_secs(1) * i;
    let mut opens: Vec<Open> = (0..7).map(|i| logins.login("u", at(i)).0).collect();
    let now = at(9);
    opens[2].session.revoked = Some(Revoked { at: now, reason: RevocationReason::Admin });
    opens[4].session.expires_at = now;
    let live = [6, 5, 3, 1, 0].map(|i| opens[i].session.clone());
    opens.reverse();
    opens.push(logins.login("v", at(3)).0);
    database.rows.insert(&opens).await.unwrap();

    let user = UserId::new("u").unwrap();
    let page = |before, most| database.rows.list(&user, before, most, now);
    assert_eq!(page(None, 100).await.unwrap(), live);
    assert_eq!(page(None, 2).await.unwrap(), live[..2]);
    assert_eq!(page(Some(live[1].id), 2).await.unwrap(), live[2..4]);
    assert_eq!(page(Some(live[3].id), 2).await.unwrap(), live[4..]);
    assert_eq!(page(Some(live[4].id), 2).await.unwrap(), []);
}

pub(crate) async fn ended_sessions_are_purged_and_refreshed_ones_put_off(database: Database) {
    let logins = Logins::new(6);
    let now = START + 10 * DAY;
    let mut opens: Vec<Open> = (0..5).map(|_| logins.login("u", START).0).collect();
    opens[3].session.revoked = Some(Revoked { at: START, reason: RevocationReason::Admin });
    opens[3].session.expires_at = now;
    opens[4].session.expires_at = now + DAY;
    database.rows.insert(&opens).await.unwrap();
    let ids: Vec<SessionId> = opens.iter().map(|open| open.session.id).collect();
    // Refreshed since then: the row is due, but the session is live.
    let mut session = opens[2].session.clone();
    session.expires_at = now + DAY;
    assert_eq!(
        database
            .rows
            .swap(&[CompareAndSwap {
                session,
                revision: 0,
                grant_changed: false,
                revocation: None,
                events: Vec::new(),
            }])
            .await
            .unwrap(),
        [true]
    );

    let purge = |at, most| database.rows.purge(at, most);
    assert_eq!(purge(START + 7 * DAY, 10).await.unwrap(), Purged::default());
    assert_eq!(purge(now, 2).await.unwrap().examined, 2);
    let rest = purge(now, 10).await.unwrap();
    assert_eq!(rest.examined, 1);
    assert_eq!(purge(now, 10).await.unwrap(), Purged::default());
    for (id, kept) in ids.iter().zip([false, false, true, true, true]) {
        assert_eq!(database.session(*id).await.is_some(), kept);
    }
    // The revoked session has expired by now. The others have another day.
    let later = now + Duration::from_micros(1);
    assert_eq!(purge(later, 10).await.unwrap(), Purged { examined: 1, deleted: 1 });
    let later = now + DAY + Duration::from_micros(1);
    assert_eq!(purge(later, 10).await.unwrap(), Purged { examined: 2, deleted: 2 });
    assert_eq!(database.query("SELECT id FROM user_sessions").await.len(), 0);
}

pub(crate) async fn first_tokens_are_forgotten_and_their_keys_are_not(database: Database) {
    let logins = Logins::new(7);
    let at = |i: u32| START + Duration::from_secs(1) * i;
    let opens: Vec<Open> = (0..4).map(|i| logins.retriable("u", &format!("{i}"), at(i))).collect();
    database.rows.insert(&opens).await.unwrap();
    assert_eq!(database.rows.forget_first_tokens(at(3), 2).await.unwrap(), 2);
    assert_eq!(database.rows.forget_first_tokens(at(3), 2).await.unwrap(), 1);
    assert_eq!(database.rows.forget_first_tokens(at(3), 2).await.unwrap(), 0);
    let keys: Vec<String> = (0..4).map(|i| request_key(&format!("{i}"))).collect();
    let found = database.rows.find_requests(&keys).await.unwrap();
    let kept: Vec<bool> = found.iter().map(|one| one.as_ref().unwrap().sealed.is_some()).collect();
    assert_eq!(kept, [false, false, false, true]);
}

pub(crate) async fn only_the_first_proof_of_a_live_generation_counts(database: Database) {
    let logins = Logins::new(8);
    let mut opens: Vec<Open> = (0..4).map(|_| logins.login("u", START).0).collect();
    let at = |i: u32| START + Duration::from_secs(1) * i;
    opens[1].session.revoked = Some(Revoked { at: START, reason: RevocationReason::Admin });
    opens[2].session.expires_at = at(1);
    database.rows.insert(&opens).await.unwrap();
    let receipt = |i: usize, generation, seen_at| {
        let generation = Generation::new(generation);
        Receipt { session_id: opens[i].session.id, generation, seen_at }
    };
    let unknown =
        Receipt { session_id: logins.login("u", START).0.session.id, ..receipt(0, 0, at(1)) };
    let receipts = [
        receipt(0, 0, at(5)),
        receipt(0, 0, at(2)),
        receipt(0, 1, at(1)),
        receipt(1, 0, at(2)),
        receipt(2, 0, at(2)),
        receipt(3, 7, at(2)),
        unknown,
    ];
    assert_eq!(database.rows.record_receipts(&receipts).await.unwrap(), 1);
    assert_eq!(database.rows.record_receipts(&receipts).await.unwrap(), 0);
    let proven_at = database.session(opens[0].session.id).await.unwrap().lineage.proven_at;
    assert_eq!(proven_at, Some(at(2)));
    for open in &opens[1..] {
        assert_eq!(database.session(open.session.id).await.unwrap(), open.session);
    }

    // A replica that read the session before the receipt has to read it again.
    let swap = CompareAndSwap {
        session: opens[0].session.clone(),
        revision: 0,
        grant_changed: false,
        revocation: None,
        events: Vec::new(),
    };
    assert_eq!(database.rows.swap(&[swap]).await.unwrap(), [false]);
}

pub(crate) async fn one_bad_value_fails_alone(database: Database) {
    let logins = Logins::new(9);
    let store = database.store(POLICY).await;
    let mut bad = [logins.retriable("u", "a", START), logins.retriable("u", "b", START)];
    bad[0].request.as_mut().unwrap().key = "long".repeat(1000);
    bad[1].request.as_mut().unwrap().key = format!("{}\0{}", "x".repeat(31), "x".repeat(32));
    let good: Vec<Open> = (0..20).map(|_| logins.login("u", START).0).collect();

    // Together, as the coalescer may combine them.
    let together: Vec<Open> = bad.iter().chain(&good).cloned().collect();
    let refused = database.rows.insert(&together).await;
    assert!(matches!(refused, Err(StoreError::Inconsistent(_))), "{refused:?}");
    assert_eq!(database.session(good[0].session.id).await, None);

    let opened = join_all(together.into_iter().map(|open| store.open(open))).await;
    for refused in &opened[..2] {
        let Err(StoreError::Inconsistent(why)) = refused else { panic!("{refused:?}") };
        assert!(!why.contains("user_sessions") && !why.contains("long"), "{why}");
    }
    assert!(opened[2..].iter().all(|opened| matches!(opened, Ok(Opened::New))));
}

pub(crate) async fn one_row_that_cannot_be_read_fails_alone(database: Database) {
    let logins = Logins::new(10);
    let store = database.store(POLICY).await;
    let logged_in: Vec<_> = (0..20).map(|_| logins.login("u", START)).collect();
    let opens: Vec<Open> = logged_in.iter().map(|(open, _)| open.clone()).collect();
    database.rows.insert(&opens).await.unwrap();
    let bad = opens[7].session.id;
    database.execute(&format!("UPDATE user_sessions SET granted = '{{' WHERE id = '{bad}'")).await;

    let found = join_all(opens.iter().map(|open| store.find(open.session.id))).await;
    let tokens = logged_in.iter().map(|(_, token)| logins.refresh(token, START + DAY));
    let refreshed = join_all(tokens.map(|refresh| store.refresh(refresh))).await;
    for (i, (found, refreshed)) in found.iter().zip(&refreshed).enumerate() {
        assert_eq!(found.is_ok(), i != 7, "{found:?}");
        assert_eq!(refreshed.is_ok(), i != 7, "{refreshed:?}");
    }
    assert!(matches!(found[7], Err(StoreError::Inconsistent(_))));
}
