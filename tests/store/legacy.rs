//! Sessions in another application's table: they are found by their exact token, whatever types the
//! columns have, and nothing is written.

use std::sync::Arc;

use token_authority::store::legacy::LegacyTable;
use token_authority::store::{LegacyRows, LegacySessions, StoreError};
use token_authority::token::legacy::LegacySession;

use crate::database::Database;

/// The table with Better Auth's names.
pub(crate) fn better_auth() -> LegacyTable {
    table(["session", "token", "userId", "expiresAt"])
}

fn table([table, token, user, expires]: [&str; 4]) -> LegacyTable {
    let name = |text: &str| text.parse().unwrap();
    LegacyTable { table: name(table), token: name(token), user: name(user), expires: name(expires) }
}

fn tokens(tokens: &[&str]) -> Vec<String> {
    tokens.iter().map(|&token| token.to_owned()).collect()
}

/// Returns the found session for comparison: the user, and the end in milliseconds.
fn told(found: Option<&LegacySession>) -> Option<(String, i64)> {
    let session = found?;
    Some((session.user_id.as_str().to_owned(), session.expires_at.as_micros() / 1000))
}

async fn find(
    rows: &Arc<dyn LegacyRows>,
    table: &LegacyTable,
    asked: &[&str],
) -> Vec<Option<LegacySession>> {
    rows.find_legacy(table, &tokens(asked)).await.unwrap()
}

/// Creates the table as Better Auth does, on either database.
async fn with_better_auth(database: &Database) {
    let moment = if database.path().is_some() { "date" } else { "timestamptz" };
    database
        .execute(&format!(
            "CREATE TABLE \"session\" (
                 id text PRIMARY KEY, \"expiresAt\" {moment} NOT NULL, token text NOT NULL UNIQUE,
                 \"userId\" text NOT NULL);
             INSERT INTO \"session\" (id, token, \"userId\", \"expiresAt\") VALUES
                 ('1', 'one', 'alice', '2030-01-02T03:04:05.678Z'),
                 ('2', 'ONE', 'bob', '2001-01-01T00:00:00.000Z'),
                 ('3', 'nobody', '', '2030-01-01T00:00:00.000Z')"
        ))
        .await;
}

pub(crate) async fn sessions_are_found_by_their_exact_token(database: Database) {
    with_better_auth(&database).await;
    let rows = database.legacy();
    let found = find(&rows, &better_auth(), &["one", "none", "ONE", "One", "one"]).await;
    let found: Vec<_> = found.iter().map(|found| told(found.as_ref())).collect();
    let alice = Some(("alice".to_owned(), 1_893_553_445_678));
    let bob = Some(("bob".to_owned(), 978_307_200_000));
    assert_eq!(found, [alice.clone(), None, bob, None, alice]);
    assert!(find(&rows, &better_auth(), &[]).await.is_empty());
}

pub(crate) async fn a_row_that_makes_no_sense_is_no_session(database: Database) {
    let moment = if database.path().is_some() { "date" } else { "timestamptz" };
    let long = "x".repeat(300);
    database
        .execute(&format!(
            "CREATE TABLE \"session\" (token text, \"userId\" text, \"expiresAt\" {moment});
             INSERT INTO \"session\" (token, \"userId\", \"expiresAt\") VALUES
                 ('one', 'alice', '2030-01-02T03:04:05.678Z'),
                 ('empty', '', '2030-01-01T00:00:00.000Z'),
                 ('null', NULL, '2030-01-01T00:00:00.000Z'),
                 ('long', '{long}', '2030-01-01T00:00:00.000Z'),
                 ('endless', 'bob', NULL)"
        ))
        .await;
    let asked = ["empty", "null", "long", "endless", "one"];
    let found = find(&database.legacy(), &better_auth(), &asked).await;
    let found: Vec<_> = found.iter().map(|found| told(found.as_ref())).collect();
    let alice = Some(("alice".to_owned(), 1_893_553_445_678));
    assert_eq!(found, [None, None, None, None, alice]);
}

pub(crate) async fn names_that_are_not_there_find_nobody(database: Database) {
    with_better_auth(&database).await;
    let rows = database.legacy();
    for wrong in [
        ["sessions", "token", "userId", "expiresAt"],
        ["session", "tokens", "userId", "expiresAt"],
        // SQLite would read an unknown quoted column as a string, and return that user for every
        // token.
        ["session", "token", "user_id", "expiresAt"],
        ["session", "token", "userId", "expires"],
    ] {
        let failed = rows.find_legacy(&table(wrong), &tokens(&["one"])).await;
        assert!(matches!(failed, Err(StoreError::Inconsistent(_))), "{wrong:?}: {failed:?}");
    }
}

pub(crate) async fn look_ups_at_once_find_their_callers(database: Database) {
    with_better_auth(&database).await;
    let sessions = LegacySessions::new(database.legacy(), better_auth());
    let asked = ["one", "ONE", "none", "nobody"].into_iter().cycle().take(400);
    let found = futures::future::join_all(asked.clone().map(|token| sessions.find(token.into())));
    for (token, found) in asked.zip(found.await) {
        let user = told(found.unwrap().as_ref()).map(|(user, _)| user);
        let expected = match token {
            "one" => Some("alice".to_owned()),
            "ONE" => Some("bob".to_owned()),
            _ => None,
        };
        assert_eq!(user, expected, "{token}");
    }
}
