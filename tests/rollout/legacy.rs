//! Sessions that existed before this service: their tokens are valid at once, and nothing is
//! written.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};
use test_support::postgres::Cluster;
use test_support::replica::{Replica, Setup};
use test_support::until::until;
use token_authority::transport::proto::v1::{
    AuthMethod, InactiveReason, IssueTokensRequest, ValidateTokenRequest, ValidateTokenResponse,
    ValidateTokensRequest,
};
use tonic::Code;

use crate::buckets::{in_javascript, in_python};
use crate::users::{check, issue, log_in};

/// The auth-server's secret.
const SECRET: &str = "better-auth-Zx3LqW8nB1vK6yTe0RmUo5JpGh7d";
const ALICE: &str = "ALICEaliceALICEaliceALICEalice01";
const BOB: &str = "BOBbobBOBbobBOBbobBOBbobBOBbob02";
const GONE: &str = "GONEgoneGONEgoneGONEgoneGONEgo03";

/// Better Auth's own table as its migration creates it, with two live sessions and one that ended.
fn table(moment: &str) -> String {
    format!(
        "CREATE TABLE \"session\" (id text NOT NULL PRIMARY KEY, \"expiresAt\" {moment} NOT NULL,
             token text NOT NULL UNIQUE, \"createdAt\" {moment}, \"updatedAt\" {moment},
             \"ipAddress\" text, \"userAgent\" text, \"userId\" text NOT NULL);
         INSERT INTO \"session\" (id, token, \"userId\", \"expiresAt\") VALUES
             ('1', '{ALICE}', 'alice', '2100-01-01T00:00:00.000Z'),
             ('2', '{BOB}', 'bob', '2100-01-01T00:00:00.000Z'),
             ('3', '{GONE}', 'carol', '2020-01-01T00:00:00.000Z')"
    )
}

/// Signs a token as Better Auth signs its cookie.
fn signed(token: &str, secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("{token}.{}", STANDARD.encode(hmac::sign(&key, token.as_bytes())))
}

fn encoded(cookie: &str) -> String {
    cookie.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

async fn on_postgres(cluster: &Cluster) -> (String, Setup) {
    let url = cluster.url(&cluster.make_database().await);
    let mut owner = PgConnection::connect(&url).await.unwrap();
    owner.execute(sqlx::raw_sql(AssertSqlSafe(table("timestamptz")))).await.unwrap();
    let deployment = Setup::on(&url).quiet();
    (url, deployment.set("LEGACY_SESSIONS", "better-auth"))
}

/// Creates Better Auth's table in an SQLite file.
async fn on_sqlite() -> (tempfile::TempDir, Setup) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.db");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut owner = SqliteConnection::connect_with(&options).await.unwrap();
    owner.execute(sqlx::raw_sql(AssertSqlSafe(table("date")))).await.unwrap();
    owner.close().await.unwrap();
    let url = format!("sqlite://{}", path.display());
    let deployment = Setup::new().set("LEGACY_DATABASE_URL", &url);
    (folder, deployment.set("LEGACY_SESSIONS", "better-auth"))
}

fn is_of(said: &ValidateTokenResponse, user: &str) -> bool {
    let expected = ValidateTokenResponse {
        active: true,
        user_id: user.into(),
        expires_at: Some(prost_types::Timestamp { seconds: 4_102_444_800, nanos: 0 }),
        auth_method: AuthMethod::Session.into(),
        ..Default::default()
    };
    *said == expected
}

async fn reason(replica: &Replica, token: &str) -> InactiveReason {
    let said = check(&mut replica.tokens(), token).await.unwrap();
    assert!(!said.active && said.user_id.is_empty(), "{said:?}");
    said.inactive_reason()
}

async fn every_form_is_judged(deployment: Setup) {
    let replica = deployment.clone().set("BETTER_AUTH_SECRET", SECRET).start().await;
    let mut client = replica.tokens();
    let cookie = signed(ALICE, SECRET);
    for token in [ALICE, &cookie, &encoded(&cookie)] {
        let said = check(&mut client, token).await.unwrap();
        assert!(is_of(&said, "alice"), "{said:?}");
    }
    let asked = || replica.metric("auth_db_queries_total{method=\"session\"}");
    assert!((asked() - 3.0).abs() < 0.1, "{}", asked());

    // Texts that cannot be valid are not looked up.
    for (token, expected) in [
        (signed(ALICE, "another secret"), InactiveReason::BadSignature),
        (signed(BOB, SECRET).replace(BOB, ALICE), InactiveReason::BadSignature),
        (format!("{ALICE}.nonsense"), InactiveReason::Malformed),
        ("short".into(), InactiveReason::Malformed),
        (String::new(), InactiveReason::Malformed),
        ("tar_nonsense-nonsense-nonsense".into(), InactiveReason::Malformed),
        ("tas_nonsense-nonsense-nonsense".into(), InactiveReason::Malformed),
        ("eyJhbGciOiJub25lIn0.e30.".into(), InactiveReason::BadSignature),
    ] {
        assert_eq!(reason(&replica, &token).await, expected, "{token}");
    }
    assert!((asked() - 3.0).abs() < 0.1, "{}", asked());
    assert_eq!(reason(&replica, GONE).await, InactiveReason::Expired);
    assert_eq!(reason(&replica, &signed(GONE, SECRET)).await, InactiveReason::Expired);
    assert_eq!(reason(&replica, &ALICE.to_lowercase()).await, InactiveReason::NotFound);
    assert_eq!(reason(&replica, "'OR'1'='1'--nobody").await, InactiveReason::NotFound);
    let ask = ValidateTokenRequest { token: ALICE.into(), audience: "api".into() };
    let said = client.validate_token(ask).await.unwrap().into_inner();
    assert_eq!(said.inactive_reason(), InactiveReason::WrongAudience);

    let jwt = log_in(&mut client, "dora").await;
    let tokens = vec![jwt.access, BOB.into(), GONE.into(), cookie.clone()];
    let ask = ValidateTokensRequest { tokens, audience: String::new() };
    let results = client.validate_tokens(ask).await.unwrap().into_inner().results;
    assert!(results[0].active && results[0].user_id == "dora");
    assert!(is_of(&results[1], "bob") && !results[2].active && is_of(&results[3], "alice"));

    let http = replica.http();
    let told = http.form("/oauth2/introspect", &[("token", &cookie)]).await.json();
    let expected = serde_json::json!(
        { "active": true, "token_type": "Bearer", "sub": "alice", "exp": 4_102_444_800_u64 });
    assert_eq!(told, expected);
    let told = http.form("/oauth2/introspect", &[("token", GONE)]).await.json();
    assert_eq!(told, serde_json::json!({ "active": false }));
    // Only the auth-server can end this session, and the caller must not believe that it ended.
    let refused = http.form("/oauth2/revoke", &[("token", ALICE)]).await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["error"], "unsupported_token_type");
    assert!(is_of(&check(&mut client, ALICE).await.unwrap(), "alice"));
    drop(replica);

    let replica = deployment.start().await;
    assert!(replica.log().contains("BETTER_AUTH_SECRET is not set"), "{}", replica.log());
    assert_eq!(reason(&replica, &cookie).await, InactiveReason::UnknownKey);
    assert!(is_of(&check(&mut replica.tokens(), ALICE).await.unwrap(), "alice"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_is_judged_on_postgres() {
    every_form_is_judged(on_postgres(Cluster::shared()).await.1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_is_judged_on_sqlite() {
    let (folder, deployment) = on_sqlite().await;
    let before = std::fs::read(folder.path().join("auth.db")).unwrap();
    every_form_is_judged(deployment).await;
    assert_eq!(std::fs::read(folder.path().join("auth.db")).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Tokens whose rows make no sense, each with the values of its user and its end.
const BAD_ROWS: [(&str, &str, &str); 4] = [
    ("no-user-no-user-no-user", "NULL", "'2100-01-01T00:00:00.000Z'"),
    ("empty-user-empty-user-01", "''", "'2100-01-01T00:00:00.000Z'"),
    ("long-user-long-user-long", "'{long}'", "'2100-01-01T00:00:00.000Z'"),
    ("no-end-no-end-no-end-no-end", "'alice'", "NULL"),
];

/// Adds these rows to the table, whose columns then allow NULL.
fn bad_rows() -> String {
    let rows = BAD_ROWS.iter().enumerate().map(|(id, (token, user, expires))| {
        let user = user.replace("{long}", &"x".repeat(256));
        format!("('bad{id}', '{token}', {user}, {expires})")
    });
    let rows: Vec<_> = rows.collect();
    let into = "INSERT INTO \"session\" (id, token, \"userId\", \"expiresAt\") VALUES";
    format!("{into} {}", rows.join(", "))
}

/// A bad row is data: that token is inactive, and nothing else changes.
async fn a_bad_row_spoils_nothing_else(deployment: Setup) {
    let replica = deployment.clone().start().await;
    let mut client = replica.tokens();
    let mut tokens = vec![ALICE.to_owned()];
    for (token, _, _) in BAD_ROWS {
        assert_eq!(reason(&replica, token).await, InactiveReason::NotFound, "{token}");
        let told = replica.http().form("/oauth2/introspect", &[("token", token)]).await;
        assert_eq!((told.status, &told.json()["active"]), (200, &false.into()), "{token}");
        tokens.push(token.to_owned());
    }
    tokens.push(BOB.into());
    let ask = ValidateTokensRequest { tokens, audience: String::new() };
    let results = client.validate_tokens(ask).await.unwrap().into_inner().results;
    assert!(is_of(&results[0], "alice") && is_of(&results[5], "bob"), "{results:?}");
    assert!(results[1..5].iter().all(|said| !said.active), "{results:?}");
    let told = "4 of the first 7 rows of";
    until("the start names the rows", async || replica.log().contains(told).then_some(())).await;
    // One service at a time may use the file of the sessions.
    drop(replica);
    // A column that does not exist is named at the start, too.
    let wrong = deployment.set("LEGACY_SESSIONS_EXPIRES_COLUMN", "ends").start().await;
    let told = "cannot be read";
    until("the start names the column", async || wrong.log().contains(told).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_spoils_nothing_else_on_postgres() {
    let (url, deployment) = on_postgres(Cluster::shared()).await;
    let mut owner = PgConnection::connect(&url).await.unwrap();
    let allowed = "ALTER TABLE \"session\" ALTER COLUMN \"userId\" DROP NOT NULL,
                       ALTER COLUMN \"expiresAt\" DROP NOT NULL";
    owner.execute(allowed).await.unwrap();
    owner.execute(sqlx::raw_sql(AssertSqlSafe(bad_rows()))).await.unwrap();
    a_bad_row_spoils_nothing_else(deployment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_spoils_nothing_else_on_sqlite() {
    let (folder, deployment) = on_sqlite().await;
    let options = SqliteConnectOptions::new().filename(folder.path().join("auth.db"));
    let mut owner = SqliteConnection::connect_with(&options).await.unwrap();
    let table = table("date").replace("NOT NULL,", ",").replace("NOT NULL)", ")");
    owner.execute("DROP TABLE \"session\"").await.unwrap();
    for statements in [table, bad_rows()] {
        owner.execute(sqlx::raw_sql(AssertSqlSafe(statements))).await.unwrap();
    }
    owner.close().await.unwrap();
    a_bad_row_spoils_nothing_else(deployment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_to_select_is_enough_and_the_table_stays_as_it_is() {
    let cluster = Cluster::shared();
    let (url, deployment) = on_postgres(cluster).await;
    let mut owner = PgConnection::connect(&url).await.unwrap();
    let role = "CREATE ROLE rollout_reader LOGIN; GRANT SELECT ON \"session\" TO rollout_reader";
    owner.execute(role).await.unwrap();
    let as_reader = url.replace("postgres@", "rollout_reader@");
    let deployment = deployment
        .set("DATABASE_URL", &cluster.url(&cluster.make_database().await))
        .set("LEGACY_DATABASE_URL", &as_reader)
        .set("BETTER_AUTH_SECRET", SECRET);
    // Every row with its version: any write creates a new version, even without a change.
    let all = "SELECT string_agg(xmin::text || ctid::text || s::text, ';' ORDER BY id), count(*)
               FROM \"session\" AS s";
    let before: String = owner.fetch_one(all).await.unwrap().get(0);
    let replica = deployment.start().await;
    let checks = (0..200).map(|n| {
        let token = if n % 2 == 0 { ALICE.to_owned() } else { signed(BOB, SECRET) };
        let mut client = replica.tokens();
        async move { check(&mut client, &token).await.unwrap() }
    });
    for (n, said) in futures::future::join_all(checks).await.iter().enumerate() {
        assert!(is_of(said, if n % 2 == 0 { "alice" } else { "bob" }), "{said:?}");
    }
    assert_eq!(reason(&replica, GONE).await, InactiveReason::Expired);
    let after: String = owner.fetch_one(all).await.unwrap().get(0);
    assert_eq!(before, after);

    // A logout at the auth-server takes effect at once.
    let ask = AssertSqlSafe(format!("DELETE FROM \"session\" WHERE token = '{ALICE}'"));
    owner.execute(sqlx::raw_sql(ask)).await.unwrap();
    assert_eq!(reason(&replica, ALICE).await, InactiveReason::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_out_of_reach_is_unavailable_and_jwts_go_on() {
    let cluster = Cluster::start();
    let (url, deployment) = on_postgres(&cluster).await;
    let deployment = deployment
        .set("DATABASE_URL", &Cluster::shared().url(&Cluster::shared().make_database().await))
        .set("LEGACY_DATABASE_URL", &url);
    let replica = deployment.start().await;
    let mut client = replica.tokens();
    let jwt = log_in(&mut client, "u").await;
    assert!(is_of(&check(&mut client, ALICE).await.unwrap(), "alice"));
    drop(cluster);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(check(&mut client, ALICE).await.unwrap_err().code(), Code::Unavailable);
    assert!(jwt.check(&mut client).await.active);
    let http = replica.http();
    assert_eq!(http.form("/oauth2/introspect", &[("token", ALICE)]).await.status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_moved_over_once_however_often_it_is_asked_for() {
    let (_, deployment) = on_postgres(Cluster::shared()).await;
    let replicas = [deployment.start().await, deployment.start().await];
    let tokens = [ALICE.to_owned(), BOB.to_owned()];
    let ids = in_python("request_id", &tokens);
    assert_eq!(ids, in_javascript("requestId", &tokens));
    for (user, request_id) in ["alice", "bob"].into_iter().zip(ids) {
        let calls = (0..20).map(|n| {
            let ask = IssueTokensRequest {
                user_id: user.into(),
                request_id: request_id.clone(),
                ..Default::default()
            };
            let mut client = replicas[n % 2].tokens();
            async move { issue(&mut client, ask).await }
        });
        let held = futures::future::join_all(calls).await;
        assert!(held.iter().all(|one| one.refresh == held[0].refresh), "{user}");
        let mut client = replicas[0].tokens();
        let said = held[0].check(&mut client).await;
        assert!(said.active && said.user_id == user && said.session_id == held[0].session);
    }
    // The old token still belongs to the auth-server.
    assert!(is_of(&check(&mut replicas[1].tokens(), ALICE).await.unwrap(), "alice"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_such_tokens_are_no_tokens() {
    let replica = Setup::new().set("BETTER_AUTH_SECRET", SECRET).start().await;
    for token in [ALICE.to_owned(), signed(ALICE, SECRET)] {
        assert_eq!(reason(&replica, &token).await, InactiveReason::Malformed);
    }
}
