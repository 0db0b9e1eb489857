//! Sessions in a table that is another's: found by their exact token, whatever its columns are
//! like, and never written to.

use std::sync::Arc;

use token_authority::clock::Timestamp;
use token_authority::store::legacy::{Found, LegacyTable};
use token_authority::store::{LegacyRows, LegacySessions, StoreError};

use crate::database::Database;

/// As Better Auth names them.
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

/// What was found, for comparison: the user and the end in milliseconds.
fn told(found: &Found) -> Result<Option<(String, i64)>, ()> {
    let session = found.as_ref().map_err(|error| {
        assert!(matches!(error, StoreError::Inconsistent(_)), "{error:?}");
    })?;
    let told = |user: &str, end: Timestamp| (user.to_owned(), end.as_micros() / 1000);
    Ok(session.as_ref().map(|session| told(session.user_id.as_str(), session.expires_at)))
}

async fn find(rows: &Arc<dyn LegacyRows>, table: &LegacyTable, asked: &[&str]) -> Vec<Found> {
    rows.find_legacy(table, &tokens(asked)).await.unwrap()
}

/// A table as Better Auth makes it, on either database.
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
    let found: Vec<_> = found.iter().map(|found| told(found).unwrap()).collect();
    let alice = Some(("alice".to_owned(), 1_893_553_445_678));
    let bob = Some(("bob".to_owned(), 978_307_200_000));
    assert_eq!(found, [alice.clone(), None, bob, None, alice]);
    assert!(find(&rows, &better_auth(), &[]).await.is_empty());
}

pub(crate) async fn a_row_that_makes_no_sense_fails_alone(database: Database) {
    with_better_auth(&database).await;
    let rows = database.legacy();
    let found = find(&rows, &better_auth(), &["nobody", "one"]).await;
    assert!(told(&found[0]).is_err() && told(&found[1]).unwrap().is_some());
}

pub(crate) async fn names_that_are_not_there_find_nobody(database: Database) {
    with_better_auth(&database).await;
    let rows = database.legacy();
    for wrong in [
        ["sessions", "token", "userId", "expiresAt"],
        ["session", "tokens", "userId", "expiresAt"],
        // SQLite would take it for a string, and everybody for the user of that name.
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
        let user = told(&found).map(|told| told.map(|(user, _)| user));
        let expected = match token {
            "one" => Ok(Some("alice".to_owned())),
            "ONE" => Ok(Some("bob".to_owned())),
            "none" => Ok(None),
            _ => Err(()),
        };
        assert_eq!(user, expected, "{token}");
    }
}
