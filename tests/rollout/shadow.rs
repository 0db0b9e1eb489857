//! Shadow mode: the answer stays the same, and disagreements of the other token are counted.

use std::time::{Duration, Instant};

use test_support::postgres::Cluster;
use test_support::replica::{Replica, Setup};
use token_authority::transport::proto::v1::{
    AuthMethod, IssueTokensRequest, RefreshAccessTokenRequest, RevokeSessionRequest,
    SetRolloutRequest, ValidateTokenRequest, ValidateTokenResponse,
};
use tonic::Request;
use tonic::metadata::MetadataValue;

use crate::users::{Client, Held, check, issue, log_in};

const KINDS: [&str; 5] = ["only_primary", "only_shadow", "user", "grant", "failed"];

/// Returns the number of comparisons, and of disagreements by kind.
fn counts(replica: &Replica) -> (u32, [u32; 5]) {
    let count = |series: &str| {
        let value = replica.metric(series);
        (0..1000).find(|n| f64::from(*n) >= value).unwrap()
    };
    let kind = |kind| count(&format!("auth_shadow_disagreements_total{{kind=\"{kind}\"}}"));
    (count("auth_shadow_comparisons_total"), KINDS.map(kind))
}

async fn ask(
    client: &mut Client,
    token: &str,
    audience: &str,
    other: &str,
) -> ValidateTokenResponse {
    let ask = ValidateTokenRequest { token: token.into(), audience: audience.into() };
    let mut request = Request::new(ask);
    request.metadata_mut().insert("x-shadow-token", MetadataValue::try_from(other).unwrap());
    client.validate_token(request).await.unwrap().into_inner()
}

/// Presents both tokens, checks that the answer is the same as without the other one, and returns
/// what was counted.
async fn compare(
    replica: &Replica,
    token: &str,
    audience: &str,
    other: &str,
) -> Option<&'static str> {
    let mut client = replica.tokens();
    let alone = ValidateTokenRequest { token: token.into(), audience: audience.into() };
    let alone = client.validate_token(alone).await.unwrap().into_inner();
    let (before, kinds_before) = counts(replica);
    assert_eq!(ask(&mut client, token, audience, other).await, alone);
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let (now, kinds) = counts(replica);
        if now == before + 1 {
            let mut grown = (0..5).filter(|at| kinds[*at] != kinds_before[*at]);
            let found = grown.next().map(|at| KINDS[at]);
            assert_eq!(grown.next(), None);
            return found;
        }
        assert!(now == before && Instant::now() < deadline, "{before} became {now}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn set(replica: &Replica, percentage: i32) {
    let ask = SetRolloutRequest { percentage: Some(percentage), jwt_enabled: None };
    replica.rollout().set_rollout(ask).await.unwrap();
}

/// Issues tokens of both kinds for one session.
async fn both(replica: &Replica, ask: IssueTokensRequest) -> (Held, Held) {
    let mut client = replica.tokens();
    set(replica, 0).await;
    let session = issue(&mut client, ask).await;
    set(replica, 100).await;
    let mut jwt = session.clone();
    jwt.renew(&mut client).await;
    assert_eq!((session.method, jwt.method), (AuthMethod::Session, AuthMethod::Jwt));
    (session, jwt)
}

fn user(user_id: &str) -> IssueTokensRequest {
    IssueTokensRequest { user_id: user_id.into(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_disagreement_is_counted_by_its_kind_and_changes_no_answer() {
    let replica = Setup::new().set("JWT_SHADOW", "true").start().await;
    let grant = IssueTokensRequest {
        audience: vec!["api".into()],
        scopes: vec!["read".into()],
        ..user("alice")
    };
    let (session, jwt) = both(&replica, grant).await;
    let (_, of_bob) = both(&replica, user("bob")).await;
    let (_, without_grant) = both(&replica, user("alice")).await;
    let cases = [
        (&session.access, "", jwt.access.as_str(), None),
        (&session.access, "api", &jwt.access, None),
        (&jwt.access, "", &session.access, None),
        (&session.access, "", &of_bob.access, Some("user")),
        (&session.access, "", &without_grant.access, Some("grant")),
        (&session.access, "", "eyJ.nonsense.x", Some("only_primary")),
        (&session.access, "api", &without_grant.access, Some("only_primary")),
    ];
    for (token, audience, other, kind) in cases {
        assert_eq!(compare(&replica, token, audience, other).await, kind, "{audience} {kind:?}");
    }
    // Two tokens of the same kind are not compared.
    let before = counts(&replica);
    ask(&mut replica.tokens(), &jwt.access, "", &of_bob.access).await;
    ask(&mut replica.tokens(), &session.access, "", &session.access).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(counts(&replica), before);

    let revoke = RevokeSessionRequest { session_id: session.session.clone() };
    replica.sessions().revoke_session(revoke).await.unwrap();
    assert_eq!(compare(&replica, &session.access, "", &jwt.access).await, None);
    assert_eq!(compare(&replica, &session.access, "", &of_bob.access).await, Some("only_shadow"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_in_the_shadow_is_no_validation_and_its_failure_none_either() {
    let cluster = Cluster::start();
    let url = cluster.url(&cluster.make_database().await);
    let deployment = Setup::on(&url).quiet().set("JWT_SHADOW", "true");
    let replica = deployment.start().await;
    let (session, jwt) = both(&replica, user("alice")).await;
    // The token was validated once before, so its receipt is already recorded.
    jwt.check(&mut replica.tokens()).await;
    let figures = || {
        ["jwt", "session"].map(|method| {
            let asked = replica.metric(&format!("auth_db_queries_total{{method=\"{method}\"}}"));
            let judged =
                replica.metric(&format!("auth_validation_seconds_count{{method=\"{method}\"}}"));
            (asked, judged)
        })
    };
    let [jwts, sessions] = figures();
    assert_eq!(compare(&replica, &jwt.access, "", &session.access).await, None);
    let [jwts_after, sessions_after] = figures();
    assert!((jwts_after.1 - jwts.1 - 2.0).abs() < 0.1);
    assert_eq!((jwts_after.0, sessions_after), (jwts.0, sessions));

    // The answer does not wait for a database that hangs. The counter does.
    cluster.pause();
    let before = counts(&replica);
    assert!(ask(&mut replica.tokens(), &jwt.access, "", &session.access).await.active);
    assert_eq!(counts(&replica), before);
    let deadline = Instant::now() + Duration::from_secs(20);
    while counts(&replica) == before {
        assert!(Instant::now() < deadline, "the comparison was never counted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(counts(&replica), (before.0 + 1, [0, 0, 0, 0, 1]));
    cluster.resume();
}

#[tokio::test(flavor = "multi_thread")]
async fn at_nought_percent_a_jwt_goes_beside_the_session_token() {
    let replica = Setup::new()
        .set("JWT_ROLLOUT_PERCENTAGE", "0")
        .set("JWT_SHADOW", "true")
        .set("REFRESH_CONCURRENCY_WINDOW_SECONDS", "0")
        .start()
        .await;
    let mut client = replica.tokens();
    let issued = client.issue_tokens(user("alice")).await.unwrap();
    let shadow = |metadata: &tonic::metadata::MetadataMap| {
        metadata.get("x-shadow-token").map(|token| token.to_str().unwrap().to_owned())
    };
    let beside = shadow(issued.metadata()).unwrap();
    let issued = issued.into_inner();
    assert_eq!(issued.auth_method(), AuthMethod::Session);
    assert_eq!(compare(&replica, &issued.access_token, "", &beside).await, None);

    let ask = RefreshAccessTokenRequest {
        refresh_token: issued.refresh_token.clone(),
        ..Default::default()
    };
    let renewed = client.refresh_access_token(ask).await.unwrap();
    let again = shadow(renewed.metadata()).unwrap();
    let renewed = renewed.into_inner();
    assert_ne!(again, beside);
    assert_eq!(compare(&replica, &renewed.access_token, "", &again).await, None);
    let by_browser = replica.http().refresh(&renewed.refresh_token).await;
    let to_page = by_browser.header("x-shadow-token").unwrap().to_owned();
    let access = by_browser.json()["accessToken"].as_str().unwrap().to_owned();
    assert_eq!(compare(&replica, &access, "", &to_page).await, None);

    let off = SetRolloutRequest { percentage: None, jwt_enabled: Some(false) };
    replica.rollout().set_rollout(off).await.unwrap();
    let issued = client.issue_tokens(user("alice")).await.unwrap();
    assert_eq!(shadow(issued.metadata()), None, "no JWT may be minted");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_it_a_second_token_means_nothing() {
    let replica = Setup::new().set("JWT_ROLLOUT_PERCENTAGE", "0").start().await;
    let mut client = replica.tokens();
    let issued = client.issue_tokens(user("alice")).await.unwrap();
    assert!(issued.metadata().get("x-shadow-token").is_none());
    let token = issued.into_inner().access_token;
    assert!(ask(&mut client, &token, "", "eyJ.nonsense.x").await.active);
    assert!(check(&mut client, &token).await.unwrap().active);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(counts(&replica), (0, [0; 5]));
    assert!(replica.http().refresh("nonsense").await.header("x-shadow-token").is_none());
    let held = log_in(&mut client, "bob").await;
    let renewed = replica.http().refresh(&held.refresh).await;
    assert_eq!((renewed.status, renewed.header("x-shadow-token")), (200, None));
}
