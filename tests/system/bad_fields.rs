//! Fields that are missing or out of bounds: the reason is `INVALID_FIELD`, and the error names the
//! field.

use prost_types::value::Kind;
use prost_types::{Duration, ListValue, Struct, Value};
use test_support::replica::Setup;
use token_authority::transport::proto::v1::{
    ClientInfo, IssueTokensRequest, ListSessionsRequest, RevokeSessionRequest,
    RevokeUserSessionsRequest, ValidateTokensRequest,
};
use tonic::{Code, Status};

use crate::database::Database;
use crate::wire;

/// Checks that the error names that field and repeats nothing else of the request.
fn names(field: &str, answer: Result<impl Sized, Status>) {
    let Err(error) = answer else { panic!("{field}: it was accepted") };
    let expected = (Code::InvalidArgument, "INVALID_FIELD".to_owned());
    assert_eq!(wire::reason(&error), expected, "{field}");
    assert_eq!(wire::bad_fields(&error), [field], "{error:?}");
    assert!(error.message().starts_with(field), "{error:?}");
    assert!(error.message().len() < 200 && error.message().is_ascii(), "{error:?}");
}

fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

fn claim(name: &str, kind: Kind) -> IssueTokensRequest {
    let fields = [(name.to_owned(), value(kind))].into();
    IssueTokensRequest {
        user_id: "alice".into(),
        claims: Some(Struct { fields }),
        ..Default::default()
    }
}

fn nested(levels: usize) -> Kind {
    (0..levels).fold(Kind::BoolValue(true), |inner, _| {
        Kind::ListValue(ListValue { values: vec![value(inner)] })
    })
}

on_both! {
    a_bad_login_names_its_field
    a_bad_lifetime_names_its_field
    a_long_description_of_a_device_is_cut
    a_bad_question_about_sessions_names_its_field
}

async fn a_bad_login_names_its_field(database: Database, setup: Setup) {
    let service = setup.start().await;
    let issue = |ask: IssueTokensRequest| {
        let mut client = service.tokens();
        async move { client.issue_tokens(ask).await }
    };
    let alice = || IssueTokensRequest { user_id: "alice".into(), ..Default::default() };
    let long = "x".repeat(256);
    for user in ["", &long, &"ü".repeat(128), "a\0b", "a\nb", "\u{7f}", "\u{85}"] {
        names("user_id", issue(IssueTokensRequest { user_id: user.into(), ..alice() }).await);
    }
    for audience in [vec!["a"; 17], vec![""], vec![&long], vec!["a\0"]] {
        let audience = audience.into_iter().map(str::to_owned).collect();
        names("audience", issue(IssueTokensRequest { audience, ..alice() }).await);
    }
    for scopes in [vec!["s"; 65], vec!["a b"], vec![""], vec!["ü"], vec!["\""], vec![&long]] {
        let scopes = scopes.into_iter().map(str::to_owned).collect();
        names("scopes", issue(IssueTokensRequest { scopes, ..alice() }).await);
    }
    for request_id in ["x", "0192f6b0", "0192f6b0-8f5e-7c3a-9d1e-2b4f6a8c0e1", &long] {
        let request_id = request_id.into();
        names("request_id", issue(IssueTokensRequest { request_id, ..alice() }).await);
    }
    for name in ["sub", "iat", "exp", "nbf", "jti", "sid", "iss", "aud", "scope", "type", ""] {
        names("claims", issue(claim(name, Kind::NumberValue(1.0))).await);
    }
    let rounded = 9_007_199_254_740_992.0;
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, rounded, -rounded, 1e300] {
        names("claims.n", issue(claim("n", Kind::NumberValue(number))).await);
    }
    names("claims", issue(claim("text", Kind::StringValue("x".repeat(4096)))).await);
    names("claims", issue(claim("deep", nested(40))).await);
    let list = Kind::ListValue(ListValue {
        values: vec![value(Kind::NumberValue(1.0)), value(Kind::NumberValue(rounded))],
    });
    names("claims.accounts[1]", issue(claim("accounts", list)).await);
    assert_eq!(database.count().await, 0);

    // Values at the limits are accepted and returned unchanged.
    let full = IssueTokensRequest {
        user_id: "ü".repeat(127),
        audience: vec!["x".repeat(255); 16],
        scopes: vec!["x".repeat(255); 64],
        refresh_lifetime: lifetime(7 * 86_400, 0),
        max_lifetime: lifetime(30 * 86_400, 0),
        client: Some(ClientInfo {
            user_agent: "\0".repeat(512),
            ip_address: "x".repeat(64),
            device_name: "ü".repeat(64),
        }),
        ..claim("deep", nested(30))
    };
    let issued = issue(full.clone()).await.unwrap().into_inner();
    let seen = wire::validate(&service.tokens(), &issued.access_token).await;
    assert!(seen.active, "{:?}", seen.inactive_reason());
    assert_eq!((seen.user_id, seen.audience), (full.user_id, full.audience));
    assert_eq!((seen.scopes, seen.claims), (full.scopes, full.claims));
}

/// No decision depends on the description of a device, so it is no reason to refuse a login.
#[expect(clippy::unnecessary_wraps, reason = "a field of a message")]
const fn lifetime(seconds: i64, nanos: i32) -> Option<Duration> {
    Some(Duration { seconds, nanos })
}

async fn a_bad_lifetime_names_its_field(database: Database, setup: Setup) {
    let service = setup.start().await;
    let issue = |ask: IssueTokensRequest| {
        let mut client = service.tokens();
        async move { client.issue_tokens(ask).await }
    };
    let alice = || IssueTokensRequest { user_id: "alice".into(), ..Default::default() };
    for bad in [
        lifetime(0, 0),
        lifetime(-1, 0),
        lifetime(0, 999_999_999),
        lifetime(7 * 86_400, 1),
        lifetime(i64::MAX, 0),
    ] {
        names(
            "refresh_lifetime",
            issue(IssueTokensRequest { refresh_lifetime: bad, ..alice() }).await,
        );
    }
    for bad in [lifetime(0, 0), lifetime(-1, 0), lifetime(30 * 86_400 + 1, 0), lifetime(1, -1)] {
        names("max_lifetime", issue(IssueTokensRequest { max_lifetime: bad, ..alice() }).await);
    }
    assert_eq!(database.count().await, 0);
}

async fn a_long_description_of_a_device_is_cut(_: Database, setup: Setup) {
    let service = setup.start().await;
    let client = ClientInfo {
        user_agent: "ü".repeat(4000),
        ip_address: format!("203.0.113.7, {}", "10.0.0.1, ".repeat(50)),
        device_name: format!("Zoë's\r\n{}", "🦀".repeat(100)),
    };
    let ask =
        IssueTokensRequest { user_id: "alice".into(), client: Some(client), ..Default::default() };
    service.tokens().issue_tokens(ask).await.unwrap();
    let ask = ListSessionsRequest { user_id: "alice".into(), ..Default::default() };
    let listed = service.sessions().list_sessions(ask).await.unwrap().into_inner();
    let client = listed.sessions[0].client.clone().unwrap();
    assert_eq!(client.user_agent, "ü".repeat(256));
    assert_eq!(client.ip_address, "203.0.113.7");
    assert_eq!(client.device_name, format!("Zoë's{}", "🦀".repeat(30)));
}

async fn a_bad_question_about_sessions_names_its_field(_: Database, setup: Setup) {
    let service = setup.start().await;
    let list = |user: &str, page_size: i32, page_token: &str| {
        let ask =
            ListSessionsRequest { user_id: user.into(), page_size, page_token: page_token.into() };
        let mut client = service.sessions();
        async move { client.list_sessions(ask).await }
    };
    names("user_id", list("", 0, "").await);
    for size in [-1, i32::MIN] {
        names("page_size", list("alice", size, "").await);
    }
    for token in ["x", "!!!", "AAAA", "\0", &"A".repeat(10_000)] {
        names("page_token", list("alice", 0, token).await);
    }
    assert!(list("alice", i32::MAX, "").await.is_ok(), "a larger page than allowed is reduced");

    for id in ["", "x", "0192f6b0-8f5e-7c3a-9d1e-2b4f6a8c0e1", "\0"] {
        let ask = RevokeSessionRequest { session_id: id.into() };
        names("session_id", service.sessions().revoke_session(ask).await);
    }
    for (field, user, except) in [("user_id", "", ""), ("except_session_id", "alice", "x")] {
        let ask = RevokeUserSessionsRequest {
            user_id: user.into(),
            except_session_id: Some(except.into()),
        };
        names(field, service.sessions().revoke_user_sessions(ask).await);
    }
    names("refresh_token", wire::refresh(&service.tokens(), "").await);
    for count in [0, 1001] {
        let ask = ValidateTokensRequest { tokens: vec!["x".into(); count], ..Default::default() };
        names("tokens", service.tokens().validate_tokens(ask).await);
    }
    let ask = ValidateTokensRequest { tokens: vec!["x".into(); 1000], ..Default::default() };
    let many = service.tokens().validate_tokens(ask).await.unwrap().into_inner();
    assert_eq!(many.results.len(), 1000);
}
