//! Sessions that are bound to a device.

use std::time::Duration;

use futures::future::join_all;
use token_authority::clock::Timestamp;
use token_authority::store::rows::{CompareAndSwap, OptimisticRotation, SessionBound};
use token_authority::store::{Bind, EventsOf, Revoke};
use token_authority::token::device::{DeviceBinding, DeviceKey, Registration, Shown, Thumbprint};
use token_authority::token::device_verdict::{judge_bound, settle_device};
use token_authority::token::event::Happened;
use token_authority::token::id::{Generation, UserId};
use token_authority::token::key::Algorithm;
use token_authority::token::refresh::RefreshToken;
use token_authority::token::rotation::{Verdict, take_effect};
use token_authority::token::session::{RevocationReason, Session};

use crate::database::Database;
use crate::logins::{DAY, Logins, POLICY, REACH, START, WINDOW, rotation};

const SECOND: Duration = Duration::from_secs(1);

fn key(byte: u8) -> DeviceKey {
    let thumbprint = Thumbprint::new([byte; 32]);
    DeviceKey { jwk: format!(r#"{{"x":"{byte}"}}"#), thumbprint, algorithm: Algorithm::Es256 }
}

fn shown(byte: u8) -> Shown {
    Shown::Key(key(byte).thumbprint)
}

fn bound(bound_at: Timestamp) -> DeviceBinding {
    DeviceBinding { key: key(1), generation: Generation::FIRST, bound_at }
}

fn bind(presented: &RefreshToken, byte: u8, now: Timestamp) -> Bind {
    Bind { presented: presented.clone(), key: key(byte), now, actor: "adapter".into() }
}

pub(crate) async fn a_device_is_registered_once_and_then_required(database: Database) {
    let logins = Logins::new(95);
    let (store, other) = (database.store(POLICY).await, database.store(POLICY).await);
    let (open, token) = logins.login("u", START);
    let id = open.session.id;
    store.open(open).await.unwrap();
    let at = |seconds: u32| START + SECOND * seconds;

    let bound = store.bind(bind(&token, 1, at(1))).await.unwrap();
    assert_eq!((bound.verdict, bound.outcome), (Verdict::Rotate, Registration::New));
    let (generation, bound_at) = (Generation::FIRST, at(1));
    let device = DeviceBinding { key: key(1), generation, bound_at };
    assert_eq!(database.session(id).await.unwrap().device, Some(device));
    let revision = database.revision(id).await;
    for (byte, outcome) in [(1, Registration::Again), (2, Registration::Taken)] {
        assert_eq!(other.bind(bind(&token, byte, at(2))).await.unwrap().outcome, outcome);
    }

    // By the shortest way, which reads nothing before, and by the longer one.
    let mut refresh = logins.refresh(&token, at(5));
    for store in [&store, &other] {
        for wrong in [Shown::Nothing, shown(2)] {
            refresh.shown = wrong;
            let refused = store.refresh(refresh.clone()).await.unwrap();
            assert_eq!(refused.verdict, Verdict::Unbound);
            assert!(refused.token.is_none() && refused.revocation.is_none());
        }
    }
    assert_eq!(database.revision(id).await, revision, "nothing was written");
    refresh.shown = shown(1);
    let rotated = store.refresh(refresh).await.unwrap();
    assert_eq!(rotated.verdict, Verdict::Rotate);
    assert!(rotated.session.unwrap().is_device_bound());
    // A late repetition of the registration, whose token is no longer the current one.
    let again = store.bind(bind(&token, 1, at(6))).await.unwrap();
    assert_eq!(again.outcome, Registration::Again);
    // Without the device, the registration's own token is refused, and the session goes on.
    let mut refresh = logins.refresh(&token, START + DAY);
    let refused = other.refresh(refresh.clone()).await.unwrap();
    assert_eq!(refused.verdict, Verdict::Unbound);
    refresh.shown = shown(1);
    assert_eq!(other.refresh(refresh).await.unwrap().verdict, Verdict::Remint);

    let events = database.rows.events(&EventsOf::Session(id), None, 10).await.unwrap();
    let bound: Vec<_> = events.iter().filter(|event| event.what == Happened::Bound).collect();
    assert_eq!(bound.len(), 1);
    assert_eq!((bound[0].at, bound[0].actor.as_str()), (at(1), "adapter"));
}

pub(crate) async fn one_of_many_registrations_at_once_is_kept(database: Database) {
    let logins = Logins::new(96);
    let stores = [database.store(POLICY).await, database.store(POLICY).await];
    let (open, token) = logins.login("u", START);
    let id = open.session.id;
    stores[0].open(open).await.unwrap();
    let asks = (0..10_u8).map(|n| stores[usize::from(n % 2)].bind(bind(&token, n, START)));
    let bound = join_all(asks).await;
    let new: Vec<_> = (0_u8..)
        .zip(&bound)
        .filter(|(_, bound)| bound.as_ref().unwrap().outcome == Registration::New)
        .map(|(n, _)| n)
        .collect();
    assert_eq!(new.len(), 1, "{new:?}");
    assert_eq!(database.session(id).await.unwrap().device.unwrap().key, key(new[0]));
}

pub(crate) async fn only_the_current_token_registers(database: Database) {
    let logins = Logins::new(97);
    let store = database.store(POLICY).await;
    let (open, first) = logins.login("u", START);
    let id = open.session.id;
    store.open(open).await.unwrap();
    let second = store.refresh(logins.refresh(&first, START)).await.unwrap().token.unwrap();
    let late = store.bind(bind(&first, 1, START)).await.unwrap();
    assert_eq!((late.verdict, late.outcome), (Verdict::Replay, Registration::Refused));
    let third = store.refresh(logins.refresh(&second, START + DAY)).await.unwrap().token.unwrap();
    assert_eq!(store.bind(bind(&third, 1, START + DAY)).await.unwrap().outcome, Registration::New);
    let stolen = store.bind(bind(&first, 2, START + DAY * 2)).await.unwrap();
    assert_eq!((stolen.verdict, stolen.outcome), (Verdict::Theft, Registration::Refused));
    let ended = database.session(id).await.unwrap();
    assert_eq!(ended.revoked.map(|revoked| revoked.reason), Some(RevocationReason::Reuse));
    assert_eq!(ended.device, None);
    let unknown = logins.login("v", START).1;
    assert_eq!(store.bind(bind(&unknown, 1, START)).await.unwrap().verdict, Verdict::Invalid);
}

/// Stores a session, with its device.
async fn store_bound(database: &Database, session: &Session) {
    let open = token_authority::store::Open { session: session.clone(), request: None };
    database.rows.insert(&[open]).await.unwrap();
    let swap = CompareAndSwap {
        session: session.clone(),
        revision: 0,
        grant_changed: false,
        revocation: None,
        events: Vec::new(),
    };
    assert_eq!(database.rows.swap(&[swap]).await.unwrap(), [true]);
    assert_eq!(database.session(session.id).await.as_ref(), Some(session));
}

pub(crate) async fn a_database_settles_devices_as_the_rules_would(database: Database) {
    let logins = Logins::new(98);
    let now = START + DAY;
    for bound_at in [None, Some(now - SECOND), Some(START)] {
        for shown in [Shown::Ignored, Shown::Nothing, shown(1), shown(2)] {
            let (mut open, token) = logins.login("u", START);
            open.session.device = bound_at.map(bound);
            let before = open.session;
            store_bound(&database, &before).await;
            let mut refresh = logins.refresh(&token, now);
            refresh.shown = shown;

            let mut after = before.clone();
            let verdict = judge_bound(&after, &token, shown, now, &POLICY);
            take_effect(verdict, &mut after, &token, &refresh.seed, now, &POLICY);
            settle_device(verdict, &mut after, shown, now, &POLICY);
            after.access_ends_at = now + REACH + WINDOW;
            let expected = (verdict == Verdict::Rotate).then_some(after);
            let rotation: OptimisticRotation = rotation(&before, &refresh);
            let rotated = database.rows.rotate(&[rotation]).await.unwrap();
            assert_eq!(rotated, [expected], "{bound_at:?}, {shown:?}");
        }
    }
}

pub(crate) async fn a_device_is_forgotten_with_its_session(database: Database) {
    let logins = Logins::new(99);
    let store = database.store(POLICY).await;
    let user = UserId::new("u").unwrap();
    let mut ids = Vec::new();
    for _ in 0..4 {
        let mut session = logins.login("u", START).0.session;
        session.device = Some(bound(START));
        store_bound(&database, &session).await;
        ids.push(session.id);
    }
    let census = database.rows.census(START).await.unwrap();
    assert_eq!((census[0].sessions, census[0].bound), (4, 4));
    store.revoke(Revoke::Session(ids[0]), START).await.unwrap();
    let except = Some(ids[2]);
    let limit = SessionBound { most: 1, now: START + SECOND, retention: REACH };
    let (open, _) = logins.login("u", START + SECOND);
    let (_, evicted) = database.rows.insert_bounded(&[open], limit).await.unwrap();
    assert!(evicted.len() == 3 && evicted.iter().all(|session| session.device.is_none()));
    store.revoke(Revoke::User { user_id: user.clone(), except }, START).await.unwrap();
    for id in ids {
        assert_eq!(database.session(id).await.unwrap().device, None);
    }
    for erases in [false, true] {
        let mut session = logins.login("w", START).0.session;
        session.device = Some(bound(START));
        store_bound(&database, &session).await;
        let user_id = UserId::new("w").unwrap();
        if erases {
            store.erase_user(&user_id, START).await.unwrap();
        } else {
            store.revoke(Revoke::User { user_id, except: None }, START).await.unwrap();
        }
        assert_eq!(database.session(session.id).await.unwrap().device, None);
    }
}
