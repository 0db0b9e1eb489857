//! `token-authority sessions list|events|revoke|erase`.

use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use test_support::postgres::Cluster;
use test_support::replica::{Replica, Setup};
use token_authority::transport::proto::v1::{
    ClientInfo, IssueTokensRequest, IssueTokensResponse, RefreshAccessTokenRequest,
    ValidateTokenRequest,
};

/// How long a revocation may take to reach a replica on a busy machine.
const SOON: Duration = Duration::from_secs(10);

async fn log_in(replica: &Replica, user: &str, device: &str) -> IssueTokensResponse {
    let client = ClientInfo {
        user_agent: "Mozilla/5.0".into(),
        ip_address: "203.0.113.7".into(),
        device_name: device.into(),
    };
    let ask =
        IssueTokensRequest { user_id: user.into(), client: Some(client), ..Default::default() };
    replica.tokens().issue_tokens(ask).await.unwrap().into_inner()
}

async fn is_active(replica: &Replica, token: &str) -> bool {
    let ask = ValidateTokenRequest { token: token.into(), audience: String::new() };
    replica.tokens().validate_token(ask).await.unwrap().into_inner().active
}

async fn refuses_soon(replica: &Replica, token: &str) {
    let deadline = Instant::now() + SOON;
    while is_active(replica, token).await {
        assert!(Instant::now() < deadline, "the revocation does not arrive");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("not JSON: {text}"))
}

fn ids<'a>(list: &'a Value, of: impl Fn(&'a Value) -> &'a Value) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|one| of(one).as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_s_live_sessions_are_listed_newest_first() {
    let deployment = Setup::new();
    let replica = deployment.start().await;
    let mut all = Vec::new();
    for device in ["laptop", "telephone", ""] {
        all.push(log_in(&replica, "alice", device).await.session_id);
        // Sessions of the same millisecond have no order.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    log_in(&replica, "bob", "bob's").await;
    all.reverse();

    let told = json(&deployment.succeed(&["sessions", "list", "alice", "--json"]));
    assert_eq!(ids(&told["sessions"], |one| &one["session_id"]), all);
    let newest = &told["sessions"][0];
    assert_eq!((&newest["user_id"], &newest["auth_method"]), (&"alice".into(), &"jwt".into()));
    assert_eq!(newest["client"]["ip_address"], "203.0.113.7");
    let moment = newest["created_at"].as_str().unwrap();
    assert!(moment.starts_with("20") && moment.ends_with('Z'), "{moment}");

    let table = deployment.succeed(&["sessions", "list", "alice"]);
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("SESSION ") && lines.len() == 4, "{table}");
    assert!(lines[1].starts_with(&all[0]) && lines[1].ends_with("Mozilla/5.0"), "{table}");
    assert!(lines[3].starts_with(&all[2]) && lines[3].ends_with("laptop"), "{table}");

    let nobody = json(&deployment.succeed(&["sessions", "list", "carol", "--json"]));
    assert_eq!(nobody["sessions"], Value::Array(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_ended_is_over_on_every_replica() {
    let cluster = Cluster::shared();
    let url = cluster.url(&cluster.make_database().await);
    let deployment = Setup::on(&url);
    let replicas = [deployment.start().await, deployment.start().await];
    let (ended, other) =
        (log_in(&replicas[0], "alice", "").await, log_in(&replicas[0], "alice", "").await);

    let told = deployment.succeed(&["sessions", "revoke", &ended.session_id]);
    assert_eq!(told, format!("revoked:\n{}\n", ended.session_id));
    for replica in &replicas {
        refuses_soon(replica, &ended.access_token).await;
        assert!(is_active(replica, &other.access_token).await);
    }
    let ask =
        RefreshAccessTokenRequest { refresh_token: ended.refresh_token, ..Default::default() };
    let refused = replicas[1].tokens().refresh_access_token(ask).await.err().unwrap();
    assert!(refused.message().ends_with("session was revoked"), "{refused:?}");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let feed: Vec<(String, String)> =
        sqlx::query_as("SELECT session_id::text, reason FROM revocations")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    assert_eq!(feed, [(ended.session_id.clone(), "admin".to_owned())]);

    let again = deployment.succeed(&["sessions", "revoke", &ended.session_id]);
    assert_eq!(again, "no such live session\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_user_s_sessions_but_one_are_ended_while_nobody_serves() {
    let deployment = Setup::new();
    let replica = deployment.start().await;
    let [kept, one, two] = [
        log_in(&replica, "alice", "").await,
        log_in(&replica, "alice", "").await,
        log_in(&replica, "alice", "").await,
    ];
    let bystander = log_in(&replica, "bob", "").await;
    drop(replica);

    let except = ["sessions", "revoke", "--user", "alice", "--except", &kept.session_id, "--json"];
    let told = json(&deployment.succeed(&except));
    let mut revoked = ids(&told["revoked"], |id| id);
    revoked.sort_unstable();
    let mut expected = [one.session_id.as_str(), two.session_id.as_str()];
    expected.sort_unstable();
    assert_eq!(revoked, expected);

    let replica = deployment.start().await;
    for (held, good) in [(&kept, true), (&one, false), (&two, false), (&bystander, true)] {
        assert_eq!(is_active(&replica, &held.access_token).await, good);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_tells_what_happened_and_who_asked_for_it() {
    let deployment = Setup::new();
    let replica = deployment.start().await;
    let ended = log_in(&replica, "alice", "").await;
    let other = log_in(&replica, "alice", "").await;
    deployment.succeed(&["sessions", "revoke", &ended.session_id]);

    let told = deployment.succeed(&["sessions", "events", "--session", &ended.session_id]);
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].starts_with("WHEN"), "{told}");
    assert!(lines[1].contains("alice") && lines[1].contains("revoked (admin)"), "{told}");
    assert!(lines[1].contains("cli:"), "{told}");
    assert!(lines[2].contains("issued"), "{told}");
    assert_eq!(lines.len(), 3);

    let told = json(&deployment.succeed(&["sessions", "events", "alice", "--json"]));
    let told = told["events"].as_array().unwrap();
    assert_eq!(told.len(), 3);
    assert_eq!((&told[0]["type"], &told[0]["reason"]), (&"revoked".into(), &"admin".into()));
    assert!(told.iter().any(|event| event["session_id"] == other.session_id.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_erased_while_the_service_runs() {
    let deployment = Setup::new();
    let replica = deployment.start().await;
    let erased = log_in(&replica, "alice", "").await;
    let bystander = log_in(&replica, "bob", "").await;
    assert_eq!(deployment.succeed(&["sessions", "erase", "alice"]), "erased: 1 session\n");
    refuses_soon(&replica, &erased.access_token).await;
    assert!(is_active(&replica, &bystander.access_token).await);
    let again = json(&deployment.succeed(&["sessions", "erase", "alice", "--json"]));
    assert_eq!(again["erased_count"], 0);
    let nothing = "nothing of this user is stored\n";
    assert_eq!(deployment.succeed(&["sessions", "erase", "alice"]), nothing);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    const ID: &str = "018f3b1e-0000-7000-8000-000000000000";
    let deployment = Setup::new();
    for wrong in [
        vec!["sessions"],
        vec!["sessions", "list"],
        vec!["sessions", "revoke"],
        vec!["sessions", "erase"],
        vec!["sessions", "events"],
        vec!["sessions", "events", "alice", "--session", ID],
        vec!["sessions", "events", "--session", "x"],
        vec!["sessions", "revoke", "alice"],
        vec!["sessions", "revoke", ID, "--user", "alice"],
        vec!["sessions", "revoke", ID, "--except", ID],
        vec!["sessions", "revoke", "--user", "alice", "--except", "x"],
    ] {
        let output = deployment.run(&wrong);
        assert_eq!(output.status.code(), Some(64), "{wrong:?}");
    }
    for (help, expected) in [
        (vec!["--help"], vec!["sessions"]),
        (vec!["sessions", "--help"], vec!["list", "events", "revoke", "erase"]),
        (vec!["sessions", "list", "--help"], vec!["<USER>", "--json", "live sessions"]),
        (
            vec!["sessions", "revoke", "--help"],
            vec!["SESSION", "--user", "--except", "--json", "on every replica"],
        ),
    ] {
        let told = deployment.succeed(&help).split_whitespace().collect::<Vec<_>>().join(" ");
        for expected in expected {
            assert!(told.contains(expected), "{help:?}: {told}");
        }
    }
}
