//! A user who is erased leaves nothing behind, and comes back through no late retry.

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use test_support::replica::{Replica, Setup};
use token_authority::transport::proto::v1::update_sessions_request::Target;
use token_authority::transport::proto::v1::{
    ClientInfo, EraseUserRequest, InactiveReason, IssueTokensRequest, IssueTokensResponse,
    ListSessionsRequest, UpdateSessionsRequest,
};
use tonic::{Code, Status};

use crate::database::Database;
use crate::wire;

const USER: &str = "needle-user@example.com";
const NEEDLES: [&str; 5] = [USER, "203.0.113.99", "needle-agent", "needle-device", "needle-role"];

on_both! {
    nothing_of_an_erased_user_is_left_and_no_retry_revives_one
    an_update_changes_what_it_names
}

fn claims(role: &str) -> Struct {
    let value = Value { kind: Some(Kind::StringValue(role.into())) };
    Struct { fields: [("role".to_owned(), value)].into() }
}

async fn log_in(service: &Replica, request_id: &str) -> Result<IssueTokensResponse, Status> {
    let ask = IssueTokensRequest {
        user_id: USER.into(),
        scopes: vec!["read".into(), "write".into()],
        claims: Some(claims("needle-role")),
        client: Some(ClientInfo {
            user_agent: "needle-agent".into(),
            ip_address: "203.0.113.99".into(),
            device_name: "needle-device".into(),
        }),
        request_id: request_id.into(),
        ..Default::default()
    };
    service.tokens().issue_tokens(ask).await.map(tonic::Response::into_inner)
}

async fn erase(service: &Replica) -> i32 {
    let ask = EraseUserRequest { user_id: USER.into() };
    service.sessions().erase_user(ask).await.unwrap().into_inner().erased_count
}

async fn needles_in(database: &Database) -> Vec<&'static str> {
    let everything = database.everything().await;
    let is_in = |needle: &&str| {
        let needle = needle.as_bytes();
        everything.iter().any(|(_, value)| value.windows(needle.len()).any(|part| part == needle))
    };
    NEEDLES.into_iter().filter(is_in).collect()
}

async fn nothing_of_an_erased_user_is_left_and_no_retry_revives_one(
    database: Database,
    setup: Setup,
) {
    let service = setup.start().await;
    let tokens = service.tokens();
    let request_id = "0192f6b0-8f5e-7c3a-9d1e-2b4f6a8c0001";
    let retriable = log_in(&service, request_id).await.unwrap();
    let rotated = log_in(&service, "").await.unwrap();
    let successor = wire::refresh(&tokens, &rotated.refresh_token).await.unwrap();
    let out = log_in(&service, "").await.unwrap();
    wire::revoke(&tokens, &out.refresh_token).await.unwrap();
    let other = wire::issue(&tokens, "someone else").await;
    assert_eq!(needles_in(&database).await.len(), NEEDLES.len());

    assert_eq!(erase(&service).await, 3);
    assert_eq!(needles_in(&database).await, [""; 0]);
    assert_eq!(erase(&service).await, 0);

    // Neither token of any session is good, and the reason is no secret.
    for token in [&retriable.access_token, &successor.access_token, &out.access_token] {
        let seen = wire::validate(&tokens, token).await;
        assert_eq!(seen.inactive_reason(), InactiveReason::Revoked);
    }
    for token in [&retriable.refresh_token, &successor.refresh_token, &out.refresh_token] {
        let refused = wire::refresh(&tokens, token).await.err().unwrap();
        assert_eq!(wire::reason(&refused), (Code::Unauthenticated, "REFRESH_TOKEN_REVOKED".into()));
    }
    let refused = log_in(&service, request_id).await.err().unwrap();
    assert_eq!(wire::reason(&refused).1, "REFRESH_TOKEN_REVOKED");
    let ask = ListSessionsRequest { user_id: USER.into(), ..Default::default() };
    assert!(service.sessions().list_sessions(ask).await.unwrap().into_inner().sessions.is_empty());
    assert_eq!(needles_in(&database).await, [""; 0]);
    assert!(wire::validate(&tokens, &other.access_token).await.active);

    // A new login is a new beginning.
    assert!(log_in(&service, "").await.is_ok());
}

async fn an_update_changes_what_it_names(_: Database, setup: Setup) {
    let service = setup.start().await;
    let login = log_in(&service, "").await.unwrap();
    let target = || Some(Target::SessionId(login.session_id.clone()));
    let update = async |ask: UpdateSessionsRequest| {
        let ask = UpdateSessionsRequest { target: target(), ..ask };
        service
            .sessions()
            .update_sessions(ask)
            .await
            .map(|answer| answer.into_inner().updated_count)
    };
    let mask = |paths: &[&str]| {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        Some(prost_types::FieldMask { paths })
    };
    let mut token = login.refresh_token.clone();
    let mut seen = async || {
        let renewed = wire::refresh(&service.tokens(), &token).await.unwrap();
        token = renewed.refresh_token;
        wire::validate(&service.tokens(), &renewed.access_token).await
    };
    let ask = UpdateSessionsRequest { scopes: vec!["read".into()], ..Default::default() };
    assert_eq!(update(ask).await.unwrap(), 1);
    let now = seen().await;
    assert_eq!((now.scopes, now.claims), (vec!["read".to_owned()], Some(claims("needle-role"))));
    let ask =
        UpdateSessionsRequest { update_mask: mask(&["scopes", "claims"]), ..Default::default() };
    assert_eq!(update(ask).await.unwrap(), 1);
    let now = seen().await;
    assert_eq!((now.scopes.len(), now.claims), (0, None));
    let ask = UpdateSessionsRequest { audience: vec!["api".into()], ..Default::default() };
    assert_eq!(update(ask).await.unwrap(), 1);
    assert_eq!(seen().await.audience, ["api"]);

    // The rules are those of a login, and a change that changes nothing is none.
    let refused = |answer: Result<i32, Status>| wire::bad_fields(&answer.unwrap_err());
    assert_eq!(refused(update(UpdateSessionsRequest::default()).await), ["claims"]);
    let ask = UpdateSessionsRequest { scopes: vec!["a b".into()], ..Default::default() };
    assert_eq!(refused(update(ask).await), ["scopes"]);
    let sub = Some(Struct { fields: [("sub".to_owned(), Value::default())].into() });
    let ask = UpdateSessionsRequest { claims: sub, ..Default::default() };
    assert_eq!(refused(update(ask).await), ["claims"]);
    let ask = UpdateSessionsRequest { update_mask: mask(&["user_id"]), ..Default::default() };
    assert_eq!(refused(update(ask).await), ["update_mask"]);
    let ask = UpdateSessionsRequest { refresh_now: true, ..Default::default() };
    let answer = service.sessions().update_sessions(ask).await;
    assert_eq!(wire::bad_fields(&answer.unwrap_err()), ["session_id"]);
    let target = Some(Target::UserId(String::new()));
    let ask = UpdateSessionsRequest { target, refresh_now: true, ..Default::default() };
    let answer = service.sessions().update_sessions(ask).await;
    assert_eq!(wire::bad_fields(&answer.unwrap_err()), ["user_id"]);
    let answer = service.sessions().erase_user(EraseUserRequest::default()).await;
    assert_eq!(wire::bad_fields(&answer.unwrap_err()), ["user_id"]);
}
