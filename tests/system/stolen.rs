//! The whole database is stolen, and nothing in it gives access.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use test_support::replica::{Replica, Setup};
use token_authority::token::id::{Generation, SessionId};
use token_authority::token::refresh::{LineageKey, RefreshToken};
use token_authority::transport::proto::v1::{IssueTokensRequest, IssueTokensResponse};
use tonic::Code;

use crate::database::Database;
use crate::needles::hex;
use crate::wire::{self, Tokens};

const AUTHORITY_SECRET: &str = "Zx3LqW8nB1vK6yTe0RmUo5JpGh7dSc2fAi9XwNbQkEs=";
const USERS: usize = 12;

on_both! {
    nothing_in_the_database_lets_anyone_refresh
    what_is_made_with_its_keys_lets_nobody_in
}

/// Logs a user in with a request id, so that the login can be retried.
async fn log_in(client: &Tokens, user: &str, request_id: &str) -> IssueTokensResponse {
    let ask = IssueTokensRequest {
        user_id: user.into(),
        request_id: request_id.into(),
        ..Default::default()
    };
    client.clone().issue_tokens(ask).await.unwrap().into_inner()
}

/// Creates sessions in every state: fresh, rotated, replayed, revoked, retriable.
async fn fill(service: &Replica) -> Vec<String> {
    let client = service.tokens();
    let mut held = Vec::new();
    for user in 0..USERS {
        let request_id = format!("0192f6b0-8f5e-7c3a-9d1e-2b4f6a8c{user:04}");
        let issued = log_in(&client, &format!("user-{user}"), &request_id).await;
        let mut token = issued.refresh_token;
        for _ in 0..user % 4 {
            let replayed = token.clone();
            token = wire::refresh(&client, &replayed).await.unwrap().refresh_token;
            wire::refresh(&client, &replayed).await.unwrap();
        }
        held.push(token);
    }
    let leaver = wire::issue(&client, "leaver").await.refresh_token;
    wire::revoke(&client, &leaver).await.unwrap();
    held
}

/// Returns a value in every form in which it could be a token.
fn forms(value: &[u8]) -> Vec<String> {
    let text = String::from_utf8(value.to_vec()).ok();
    let plain = [hex(value), URL_SAFE_NO_PAD.encode(value), STANDARD.encode(value)];
    let plain: Vec<String> = plain.into_iter().chain(text).collect();
    let named = ["tar_", "tas_"].iter().flat_map(|prefix| {
        plain.iter().map(move |form| format!("{prefix}{form}")).collect::<Vec<_>>()
    });
    named.chain(plain.clone()).filter(|form| !form.is_empty()).collect()
}

async fn nothing_in_the_database_lets_anyone_refresh(database: Database, setup: Setup) {
    // With key pairs, the database contains private keys, too.
    let setup = setup.set("JWT_ALGORITHM", "EdDSA").set("AUTHORITY_SECRET", AUTHORITY_SECRET);
    let service = setup.start().await;
    service.ready().await;
    let held = fill(&service).await;
    let client = service.tokens();
    let (everything, before) = (database.everything().await, database.dump().await);
    for column in ["token", "sealed", "lineage_key", "first_tokens", "sealed_private"] {
        assert!(everything.iter().any(|(name, _)| name == column), "{column} is not looked at");
    }
    let tried: BTreeSet<String> = everything.iter().flat_map(|(_, value)| forms(value)).collect();
    assert!(tried.len() > 500, "{}", tried.len());
    for token in &tried {
        let refused = wire::refresh(&client, token).await.err().expect(token);
        let expected = (Code::Unauthenticated, "REFRESH_TOKEN_INVALID".into());
        assert_eq!(wire::reason(&refused), expected, "{token}");
        assert!(!wire::validate(&client, token).await.active, "{token}");
        let introspected = service.http().form("/oauth2/introspect", &[("token", token)]).await;
        assert_eq!(introspected.body, r#"{"active":false}"#, "{token}");
    }
    // A caller that knows a request's id can repeat the login. No stored value is such an id.
    for session in &before {
        let opened = log_in(&client, "user-1", &session.id).await;
        assert!(before.iter().all(|session| session.id != opened.session_id));
        wire::revoke(&client, &opened.refresh_token).await.unwrap();
    }
    let after = database.dump().await;
    assert!(before.iter().all(|session| after.contains(session)), "no session was changed");
    for token in &held {
        wire::refresh(&client, token).await.unwrap();
    }
}

/// Tokens that only a thief of the database could make: with a right MAC.
async fn what_is_made_with_its_keys_lets_nobody_in(database: Database, setup: Setup) {
    let service = setup.start().await;
    let client = service.tokens();
    fill(&service).await;
    let everything = database.everything().await;
    let column = |column: &'static str| {
        everything.iter().filter(move |(name, _)| name == column).map(|(_, value)| value)
    };
    let whole = |value: &[u8]| <[u8; 32]>::try_from(value.get(..32)?).ok();
    let hashes = column("token").map(|hex| String::from_utf8(hex.clone()).unwrap());
    let hashes: Vec<[u8; 32]> = hashes.map(|hex| unhex(&hex)).collect();
    let keys: Vec<[u8; 32]> = column("lineage_key").filter_map(|key| whole(key)).collect();
    let sealed: Vec<[u8; 32]> = column("sealed").filter_map(|sealed| whole(sealed)).collect();
    let live: Vec<_> = database.dump().await.into_iter().filter(|one| !one.is_revoked()).collect();
    assert!(keys.len() >= live.len() && !sealed.is_empty());
    let mut alarms = 0;
    for (at, session) in live.iter().enumerate() {
        let id: SessionId = session.id.parse().unwrap();
        // Each session is the target of a different attempt, because an attempt may end it. The
        // random bytes are stored values, and the generation is the previous one, the current one,
        // or the next.
        let secret = [hashes[at], keys[at], sealed[at % sealed.len()], [0; 32]][at % 4];
        let current = u32::try_from(session.generation).unwrap();
        let generation = [current.saturating_sub(1), current, current + 1][at % 3];
        for key in &keys {
            let key = LineageKey::new(*key);
            let forged = RefreshToken::mint(&key, id, Generation::new(generation), secret);
            let refused = wire::refresh(&client, &forged.expose())
                .await
                .err()
                .expect("the forged token was accepted");
            let (code, reason) = wire::reason(&refused);
            assert_eq!(code, Code::Unauthenticated);
            alarms += usize::from(reason == "REFRESH_TOKEN_REUSED");
        }
    }
    // With the keys, a thief can only cause an alarm: the session's own key raises one, unless the
    // token has a generation that is still to come.
    assert_eq!(alarms, (0..live.len()).filter(|at| at % 3 != 2).count());
}

fn unhex(hex: &str) -> [u8; 32] {
    let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
    std::array::from_fn(byte)
}
