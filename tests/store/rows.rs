//! Single steps: what is written is read again, and only what may change does.

use std::time::Duration;

use token_authority::store::rows::Swap;
use token_authority::token::client::ClientInfo;
use token_authority::token::grant::Grant;
use token_authority::token::id::{Generation, UserId};
use token_authority::token::method::AuthMethod;
use token_authority::token::seal::Sealed;
use token_authority::token::session::{RevocationReason, Revoked, Session};

use crate::database::Database;
use crate::logins::{Logins, START};

/// A session none of whose fields is empty.
fn full(logins: &Logins) -> Session {
    let (open, first) = logins.login("Zoë 🦀 'quoted' \"twice\" \\ %s; --", START);
    let claims = r#"{"nul": "a\u0000b", "n": [1, 2.5, null, true], "ü": {"🦀": "\ud83e\udd80"}}"#;
    let (audience, scopes) = (vec!["api".into(), "ünï".into()], vec!["read:all".into()]);
    let grant = Grant::new(audience, scopes, serde_json::from_str(claims).unwrap()).unwrap();
    let mut session = open.session;
    session.user_id = UserId::new("ü".repeat(127)).unwrap();
    session.grant = grant;
    session.client = ClientInfo::new("Mozilla/5.0 {,\"}", "2001:db8::1", "Zoës Gerät").unwrap();
    session.last_used_at = START + Duration::from_micros(1);
    session.revoked = Some(Revoked { at: START, reason: RevocationReason::Reuse });
    session.auth_method = AuthMethod::Session;
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

pub(crate) async fn a_swap_is_guarded_by_its_revision(database: Database) {
    let logins = Logins::new(2);
    let opens = [logins.login("u", START).0, logins.login("u", START).0];
    database.rows.insert(&opens).await.unwrap();
    let ids = opens.clone().map(|open| open.session.id);
    let rows = database.rows.load(&ids).await.unwrap();
    let revisions: Vec<i64> = rows.into_iter().map(|row| row.unwrap().revision).collect();

    // What a swap writes of a session: all that may change.
    let changed = |of: &Session| {
        let from = full(&logins);
        let key = of.lineage.key.clone();
        let mut session = of.clone();
        (session.lineage, session.revoked) = (from.lineage, from.revoked);
        session.lineage.key = key;
        session.last_used_at = START + Duration::from_secs(5);
        session.expires_at = START + Duration::from_secs(6);
        session
    };
    let swaps = [
        Swap { session: changed(&opens[1].session), revision: revisions[1] },
        Swap { session: changed(&opens[0].session), revision: revisions[0] + 1 },
        Swap { session: logins.login("u", START).0.session, revision: 0 },
    ];
    assert_eq!(database.rows.swap(&swaps).await.unwrap(), [true, false, false]);
    assert_eq!(database.rows.swap(&swaps[..1]).await.unwrap(), [false]);

    let rows = database.rows.load(&ids).await.unwrap();
    let rows: Vec<_> = rows.into_iter().map(Option::unwrap).collect();
    assert_eq!((&rows[0].session, rows[0].revision), (&opens[0].session, revisions[0]));
    assert_eq!((&rows[1].session, rows[1].revision), (&swaps[0].session, revisions[1] + 1));
}
