//! Which values the database contains, and which it must not contain.

use sha2::{Digest as _, Sha256};
use token_authority::token::id::SessionId;
use token_authority::token::refresh::RefreshToken;

use crate::database::Database;
use crate::logins::{DAY, Logins, POLICY, START, hex};

pub(crate) async fn the_database_holds_no_token(database: Database) {
    let logins = Logins::new(18);
    let store = database.store(POLICY).await;
    let (mut open, first) = logins.login("u", START);
    let request_id = "0b0e4e3c-6e0f-4a4e-9d5b-0e8b1c1f7a11";
    let sealed = logins.seal(request_id, &open.session, first.expose().as_bytes());
    open.request = logins.retriable("u", "key", START).request;
    open.request.as_mut().unwrap().sealed = sealed;
    let id = open.session.id;
    store.open(open).await.unwrap();
    let mut tokens = vec![first];
    for days in 0..5 {
        let refresh = logins.refresh(tokens.last().unwrap(), START + DAY * days);
        tokens.push(store.refresh(refresh).await.unwrap().token.unwrap());
    }

    let dump = database.dump().await;
    let holds = |needle: &[u8]| dump.windows(needle.len()).any(|window| window == needle);
    // The search finds values that are stored: the current token's hash, and the session.
    let current = tokens.last().unwrap();
    assert!(holds(current.hash().to_hex().as_bytes()) && holds(id.to_string().as_bytes()));
    for token in &tokens {
        let text = token.expose();
        // The random bytes and the MAC, at any offset within base64's groups.
        let (secret, random_part) = (token.secret(), &text[34..114]);
        for secret in [text.as_bytes(), random_part.as_bytes(), secret] {
            assert!(!holds(secret));
            assert!(!holds(hex(secret).as_bytes()));
        }
    }
    assert!(!holds(request_id.as_bytes()));
}

pub(crate) async fn the_quickstarts_query_finds_the_hash(database: Database) {
    let logins = Logins::new(19);
    let store = database.store(POLICY).await;
    let (open, first) = logins.login("user-1", START);
    let id = open.session.id;
    store.open(open).await.unwrap();
    assert_found(&database, id, &first).await;
    let successor = store.refresh(logins.refresh(&first, START)).await.unwrap().token.unwrap();
    assert_found(&database, id, &successor).await;
}

async fn assert_found(database: &Database, id: SessionId, token: &RefreshToken) {
    let query = "SELECT id, token, expires_at FROM user_sessions WHERE user_id = 'user-1'";
    let rows = database.query(query).await;
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!(row[0].as_deref(), Some(&*id.to_string()));
    let expected = hex(&Sha256::digest(token.expose().as_bytes()));
    assert_eq!(row[1].as_deref(), Some(&*expected));
    if database.path().is_some() {
        let expires_at = (START + POLICY.refresh_lifetime).as_micros();
        assert_eq!(row[2].as_deref(), Some(&*expires_at.to_string()));
    } else {
        // A timestamptz that people can read.
        assert_eq!(row[2].as_deref(), Some("2025-06-22 15:06:40.123456+00"));
    }
}
