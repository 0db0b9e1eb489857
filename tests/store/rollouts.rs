//! The roll-out's changes, and the counts of live sessions.

use std::time::Duration;

use token_authority::store::RolloutChange;
use token_authority::store::rollouts::LiveSessions;
use token_authority::token::id::UserId;
use token_authority::token::method::AuthMethod;
use token_authority::token::rollout::{Percentage, Rollout};
use token_authority::token::session::{RevocationReason, Revoked};

use crate::database::Database;
use crate::logins::{Logins, POLICY, START};

fn change(seq: i64, percentage: i64, by: &str) -> RolloutChange {
    let percentage = Percentage::new(percentage).unwrap();
    let rollout = Rollout { percentage, jwt_enabled: seq % 2 == 0 };
    RolloutChange { seq, rollout, at: START + Duration::from_micros(7), by: by.to_owned() }
}

pub(crate) async fn changes_are_appended_in_one_order(database: Database) {
    let (rows, other) = (&database.rows, database.replica().await);
    assert_eq!(rows.last_change().await.unwrap(), None);
    assert_eq!(rows.changes(10).await.unwrap(), []);
    let (first, second) = (change(1, 0, "Zoë 'ops'"), change(2, 100, "b"));
    assert!(rows.append_change(&first).await.unwrap());
    assert!(other.append_change(&second).await.unwrap());
    assert!(!rows.append_change(&change(2, 50, "too late")).await.unwrap());
    assert_eq!(rows.last_change().await.unwrap().as_ref(), Some(&second));
    assert_eq!(rows.changes(10).await.unwrap(), [second.clone(), first]);
    assert_eq!(rows.changes(1).await.unwrap(), [second]);

    // If many changes are made at once at one position, one succeeds.
    let tries = (0..8).map(|n| {
        let rows = if n % 2 == 0 { rows } else { &other };
        async move { rows.append_change(&change(3, n, "racer")).await.unwrap() }
    });
    let won = futures::future::join_all(tries).await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
}

pub(crate) async fn live_sessions_are_counted_by_user_and_kind(database: Database) {
    let logins = Logins::new(31);
    let mut opens = Vec::new();
    for (user, method, over) in [
        ("a", AuthMethod::Jwt, false),
        ("a", AuthMethod::Session, false),
        ("a", AuthMethod::Session, false),
        ("b", AuthMethod::Session, false),
        ("b", AuthMethod::Session, true),
        ("c", AuthMethod::Jwt, true),
        ("d", AuthMethod::Jwt, false),
    ] {
        let mut open = logins.login(user, START).0;
        open.session.auth_method = method;
        let revoked = Revoked { at: START, reason: RevocationReason::Logout };
        open.session.revoked = over.then_some(revoked);
        opens.push(open);
    }
    let mut expired = logins.login("e", START).0;
    expired.session.expires_at = START;
    opens.push(expired);
    database.rows.insert(&opens).await.unwrap();

    let live = |user: &str, auth_method, count| LiveSessions {
        user_id: UserId::new(user).unwrap(),
        auth_method,
        count,
    };
    let expected = [
        live("a", AuthMethod::Jwt, 1),
        live("a", AuthMethod::Session, 2),
        live("b", AuthMethod::Session, 1),
        live("d", AuthMethod::Jwt, 1),
    ];
    for page in [1, 2, 100] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let next = database.rows.live_sessions(after.as_ref(), page, START).await.unwrap();
            let Some(last) = next.last() else { break };
            after = Some(last.user_id.clone());
            found.extend(next);
        }
        assert_eq!(found, expected, "pages of {page}");
    }

    let mut census = database.rows.census(START).await.unwrap();
    census.sort_by_key(|kind| kind.auth_method.as_str());
    let counted: Vec<_> = census.iter().map(|kind| (kind.users, kind.sessions)).collect();
    assert_eq!(counted, [(2, 2), (2, 3)], "{census:?}");
    assert!(database.rows.size().await.unwrap() > 0);
    assert_eq!(database.rows.first_due().await.unwrap(), Some(START));
}

pub(crate) async fn a_refresh_moves_a_session_to_the_other_kind(database: Database) {
    let store = database.store(POLICY).await;
    let logins = Logins::new(32);
    let (open, first) = logins.login("u", START);
    let id = open.session.id;
    store.open(open).await.unwrap();
    for (rollout, expected) in [
        (Rollout { percentage: Percentage::NOBODY, jwt_enabled: true }, AuthMethod::Session),
        (Rollout::COMPLETE, AuthMethod::Jwt),
        (Rollout { jwt_enabled: false, ..Rollout::COMPLETE }, AuthMethod::Session),
    ] {
        let mut refresh = logins.refresh(&first, START + Duration::from_secs(1));
        refresh.rollout = rollout;
        let refreshed = store.refresh(refresh).await.unwrap();
        assert_eq!(refreshed.session.unwrap().auth_method, expected);
        assert_eq!(store.find(id).await.unwrap().unwrap().auth_method, expected);
    }
}
