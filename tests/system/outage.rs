//! The database is down, hangs or is full: every client gets an error, no user is logged out, no
//! login succeeds, and everything continues once the database is back.

use std::time::{Duration, Instant};

use http::Method;
use test_support::postgres::Cluster;
use test_support::process::free_port;
use test_support::replica::Replica;
use test_support::tools;
use token_authority::transport::proto::v1::IssueTokensResponse;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::database::Database;
use crate::wire;

/// The time within which a caller must get the error.
const A_FEW_SECONDS: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_postgres_logs_nobody_out() {
    let mut cluster = Cluster::start();
    let url = cluster.url(&cluster.make_database().await);
    let (database, setup) = Database::at(url);
    let service = setup.start().await;
    let issued = wire::issue(&service.tokens(), "alice").await;
    let leaver = wire::issue(&service.tokens(), "bob").await;
    // Wait until it has read the revocations. Before that, it validates no token.
    service.ready().await;
    cluster.crash();
    everybody_is_told(&service, &issued, &leaver.refresh_token).await;
    cluster.start_again();
    all_goes_on(&service, &issued.refresh_token).await;
    assert_eq!(database.count().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_postgres_logs_nobody_out() {
    let cluster = Cluster::start();
    let (_, setup) = Database::at(cluster.url(&cluster.make_database().await));
    let service = setup.start().await;
    let issued = wire::issue(&service.tokens(), "alice").await;
    let leaver = wire::issue(&service.tokens(), "bob").await;
    // Wait until it has read the revocations. Before that, it validates no token.
    service.ready().await;
    cluster.pause();
    everybody_is_told(&service, &issued, &leaver.refresh_token).await;
    cluster.resume();
    all_goes_on(&service, &issued.refresh_token).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_without_its_database_and_waits_for_it() {
    let port = free_port();
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable");
    let (_, setup) = Database::at(url);
    let service = setup.start().await;
    assert_eq!(service.http().get("/readyz").await.status, 503);
    assert_eq!(service.http().get("/healthz").await.status, 200);
    let refused = wire::try_issue(&service.tokens(), "alice").await;
    is_unavailable(&refused.err().expect("no login may succeed"));

    let _cluster = Cluster::start_on(port);
    service.ready().await;
    let issued = wire::issue(&service.tokens(), "alice").await;
    assert!(wire::refresh(&service.tokens(), &issued.refresh_token).await.is_ok());
}

/// Checks the answers to clients while the database is away. A session that `leaver` tries to end
/// may end once the database is back.
async fn everybody_is_told(service: &Replica, issued: &IssueTokensResponse, leaver: &str) {
    let (client, http, token) = (service.tokens(), service.http(), &issued.refresh_token);
    // One probe of the database answers `/readyz` for a second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    let (refreshed, login, revoked, cookie, logout, ready) = tokio::join!(
        wire::refresh(&client, token),
        wire::try_issue(&client, "mallory"),
        wire::revoke(&client, leaver),
        http.refresh(token),
        http.logout(leaver),
        http.get("/readyz"),
    );
    assert!(begun.elapsed() < A_FEW_SECONDS, "the error came after {:?}", begun.elapsed());
    let refused = [refreshed.err(), login.err(), revoked.err()];
    for refused in refused {
        is_unavailable(&refused.expect("the call must fail"));
    }
    for answer in [cookie, logout] {
        assert_eq!((answer.status, answer.header("set-cookie")), (503, None), "{answer:?}");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(answer.json()["error"].is_string() && answer.json()["reason"].is_null());
    }
    assert_eq!(ready.status, 503);
    assert_eq!(http.get("/healthz").await.status, 200);
    assert!(wire::validate(&client, &issued.access_token).await.active, "a JWT needs no database");
}

fn is_unavailable(error: &Status) {
    assert_eq!(wire::reason(error), (Code::Unavailable, "STORE_UNAVAILABLE".into()));
    let retry = error.get_error_details().retry_info().and_then(|info| info.retry_delay);
    assert_eq!(retry, Some(Duration::from_secs(1)));
    let message = error.message();
    let telling = ["SELECT", "INSERT", "postgres", "sqlite", "127.0.0.1", "token", "os error"];
    assert!(!telling.iter().any(|part| message.contains(part)), "{message}");
}

/// Checks that everything continues once the database is back.
async fn all_goes_on(service: &Replica, token: &str) {
    service.ready().await;
    let (client, http) = (service.tokens(), service.http());
    let renewed = http.refresh(token).await;
    assert_eq!(renewed.status, 200, "the old cookie is still good: {renewed:?}");
    let successor = renewed.new_token().expect("a new cookie");
    assert!(wire::refresh(&client, &successor).await.is_ok());
    let issued = wire::issue(&client, "bob").await;
    assert!(wire::validate(&client, &issued.access_token).await.active);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_and_lets_nobody_in() {
    let (database, setup) = Database::sqlite().await;
    // The maximum size of a file. The signal that comes with it is ignored, so it looks like a full
    // disk.
    let setup = setup
        .under(&["env", "--ignore-signal=XFSZ", "prlimit", "--fsize=1000000:", "--"])
        .set("LOG_LEVEL", "error,token_authority::cli=info");
    let service = setup.start().await;
    let client = service.tokens();
    let mut sessions = Vec::new();
    let refused = loop {
        match wire::try_issue(&client, "alice").await {
            Ok(issued) => sessions.push(issued),
            Err(refused) => break refused,
        }
        assert!(sessions.len() < 2000, "the disk does not become full");
    };
    is_unavailable(&refused);
    assert!(sessions.len() > 5, "{} sessions", sessions.len());
    // A refresh writes less than a login, so a few may still have room.
    let mut refused = None;
    for session in &mut sessions {
        match wire::refresh(&client, &session.refresh_token).await {
            Ok(answer) => session.refresh_token = answer.refresh_token,
            Err(error) => {
                refused = Some((session.refresh_token.clone(), error));
                break;
            }
        }
    }
    let (token, error) = refused.expect("the disk is full");
    is_unavailable(&error);
    let cookie = service.http().refresh(&token).await;
    assert_eq!((cookie.status, cookie.header("set-cookie")), (503, None));
    assert!(wire::validate(&client, &sessions[0].access_token).await.active);

    let pid = service.pid().to_string();
    let more = tools::run("prlimit", &["--pid", &pid, "--fsize=unlimited:"]);
    assert!(more.status.success(), "{}", tools::text(&more.stderr));
    service.ready().await;
    for session in &sessions {
        let refreshed = wire::refresh(&client, &session.refresh_token).await.unwrap();
        assert_eq!(refreshed.session_id, session.session_id);
    }
    assert_eq!(database.count().await, i64::try_from(sessions.len()).unwrap());
    let check = service.http().send(Method::GET, "/healthz", &[]).await;
    assert_eq!(check.status, 200);
}
