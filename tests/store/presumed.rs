//! Optimistic rotations, which are written before their sessions are read: a database writes
//! exactly those that the rules (`src/token/rotation.rs`) would allow, and the same result.

use std::time::Duration;

use token_authority::clock::Timestamp;
use token_authority::store::Open;
use token_authority::store::rows::OptimisticRotation;
use token_authority::token::id::Generation;
use token_authority::token::lifetimes::Lifetimes;
use token_authority::token::method::AuthMethod;
use token_authority::token::refresh::RefreshToken;
use token_authority::token::rotation::{Verdict, judge, take_effect};
use token_authority::token::session::{RevocationReason, Revoked, Session};

use crate::database::Database;
use crate::logins::{DAY, Logins, POLICY, START, WINDOW, rotation};

const MOMENT: Duration = Duration::from_micros(1);
const NOW: Timestamp = Timestamp::from_micros(START.as_micros() + 29 * 86_400_000_000);

/// A session, a token that is presented in it, and the result by the rules.
struct Case {
    before: Session,
    after: Option<Session>,
    rotation: OptimisticRotation,
}

pub(crate) async fn a_database_takes_what_the_rules_would(database: Database) {
    let cases = cases(&Logins::new(35));
    let opens: Vec<Open> = cases.iter().map(stored).collect();
    assert!(database.rows.insert(&opens).await.unwrap().into_iter().all(|inserted| inserted));

    // One by one, and many at once.
    let (alone, together) = cases.split_at(cases.len() / 3);
    let mut rotated = Vec::new();
    for case in alone {
        let rotation = std::slice::from_ref(&case.rotation);
        rotated.extend(database.rows.rotate(rotation).await.unwrap());
    }
    let rotations: Vec<OptimisticRotation> =
        together.iter().map(|case| case.rotation.clone()).collect();
    rotated.extend(database.rows.rotate(&rotations).await.unwrap());

    assert_eq!(rotated.len(), cases.len());
    for (case, rotated) in cases.iter().zip(&rotated) {
        assert_eq!(rotated, &case.after, "{:?}", case.before);
        let stored = database.session(case.before.id).await;
        assert_eq!(stored.as_ref(), Some(case.after.as_ref().unwrap_or(&case.before)));
        let changes = i64::from(case.after.is_some());
        assert_eq!(database.revision(case.before.id).await, changes);
    }
    // Each rotation succeeds only once.
    let again: Vec<OptimisticRotation> = cases.iter().map(|case| case.rotation.clone()).collect();
    assert!(database.rows.rotate(&again).await.unwrap().iter().all(Option::is_none));
}

fn stored(case: &Case) -> Open {
    Open { session: case.before.clone(), request: None }
}

/// Returns every combination of the inputs of the rules.
fn cases(logins: &Logins) -> Vec<Case> {
    let handed_out = [START, NOW - WINDOW - MOMENT, NOW - WINDOW, NOW, NOW + MOMENT];
    let live = [NOW + DAY, NOW + MOMENT, NOW, NOW - MOMENT].map(|end| (end, None));
    let revoked = Revoked { at: START, reason: RevocationReason::Admin };
    let lives = [live.as_slice(), &[(NOW + DAY, Some(revoked))]].concat();
    let mut cases = Vec::new();
    for generation in [0, 2] {
        for handed_out_at in handed_out {
            for &(expires_at, revoked) in &lives {
                for proven_at in [None, Some(NOW - WINDOW)] {
                    for presented in 0..=2 {
                        let mut session = lived(logins, generation);
                        (session.expires_at, session.revoked) = (expires_at, revoked);
                        session.lineage.handed_out_at = handed_out_at;
                        session.lineage.proven_at = proven_at;
                        cases.push(case(logins, session, presented));
                    }
                }
            }
        }
    }
    // The session's maximum lifetime ends within a week, and a replica whose clock is ahead has
    // used it.
    let mut old = lived(logins, 2);
    old.created_at = NOW - POLICY.session_max_lifetime + DAY;
    let mut ahead = lived(logins, 2);
    ahead.last_used_at = NOW + MOMENT;
    cases.extend([old, ahead].map(|session| case(logins, session, 2)));
    cases.extend(short_lived(logins).map(|session| case(logins, session, 2)));
    let taken = cases.iter().filter(|case| case.after.is_some()).count();
    assert_eq!((cases.len(), taken), (306, 2 * 2 * 2 + 2 * 2 * 2 + 4));
    cases
}

/// Sessions with lifetimes of their own: two live ones, and two whose own end is over.
fn short_lived(logins: &Logins) -> [Session; 4] {
    let own = |refresh: Option<Duration>, max: Option<Duration>| {
        let mut session = lived(logins, 2);
        (session.created_at, session.last_used_at) = (NOW - DAY * 2, NOW - DAY);
        session.lifetimes = Lifetimes { refresh, max };
        session.expires_at = session.lifetimes.end(NOW - DAY * 2, NOW - DAY).unwrap();
        session
    };
    let second = Duration::from_secs(1);
    [
        own(Some(DAY + second), None),
        own(Some(DAY * 5), Some(DAY * 2 + second)),
        own(Some(DAY), None),
        own(None, Some(DAY * 2)),
    ]
}

fn token(session: &Session, generation: u32) -> RefreshToken {
    let number = u8::try_from(generation).unwrap();
    let generation = Generation::new(generation);
    RefreshToken::mint(&session.lineage.key, session.id, generation, [number; 32])
}

/// Creates a live session whose current token has that generation.
fn lived(logins: &Logins, generation: u32) -> Session {
    let (open, _) = logins.login("u", START);
    let mut session = open.session;
    session.lineage.generation = Generation::new(generation);
    session.lineage.current = token(&session, generation).hash();
    session.lineage.predecessor =
        generation.checked_sub(1).map(|before| token(&session, before).hash());
    session.expires_at = NOW + DAY;
    session
}

/// Computes the result for the token of generation `presented`.
fn case(logins: &Logins, before: Session, presented: u32) -> Case {
    let presented = token(&before, presented);
    let refresh = logins.refresh(&presented, NOW);
    let mut rotation = rotation(&before, &refresh);
    rotation.auth_method = AuthMethod::Session;
    let verdict = judge(&before, &presented, NOW, &POLICY);
    let mut after = before.clone();
    take_effect(verdict, &mut after, &presented, &refresh.seed, NOW, &POLICY);
    after.auth_method = AuthMethod::Session;
    after.access_ends_at = rotation.access_ends_at;
    let of_current = verdict == Verdict::Rotate;
    Case { before, after: of_current.then_some(after), rotation }
}
