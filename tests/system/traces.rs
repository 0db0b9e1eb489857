//! Traces: they show a request's way from the caller to the database, and no secret of the caller.
//! Without a collector they cost nothing.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use futures::future::join_all;
use http::Method;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;
use test_support::process::free_port;
use test_support::replica::{Replica, Setup};
use token_authority::transport::proto::v1::{
    IssueTokensRequest, ListSessionsRequest, RefreshAccessTokenRequest, RevokeRefreshTokenRequest,
    RevokeSessionRequest, RevokeUserSessionsRequest, SetRolloutRequest, ValidateTokenRequest,
};

use crate::collector::{Collector, Rotel, telling};
use crate::database::Database;
use crate::needles::{Needles, hex};
use crate::raw;
use crate::wire;

on_both! {
    a_browsers_refresh_is_one_trace
    each_rpc_has_its_operation_below_it
    requests_that_share_a_statement_keep_their_traces_apart
}

const TOKENS: &str = "token_authority.v1.TokenAuthorityService";
const SESSIONS: &str = "token_authority.v1.SessionService";
const ROLLOUT: &str = "token_authority.v1.RolloutService";

/// The span of a caller, as its `traceparent` states it.
#[derive(Debug, Clone)]
struct Caller {
    trace_id: String,
    span_id: &'static str,
    flags: &'static str,
}

impl Caller {
    /// Creates the span of a separate trace, which is sampled.
    fn number(number: u16) -> Self {
        let trace_id = format!("4bf92f3577b34da6a3ce929d0e0e{number:04x}");
        Self { trace_id, span_id: "00f067aa0ba902b7", flags: "01" }
    }

    fn traceparent(&self) -> String {
        format!("00-{}-{}-{}", self.trace_id, self.span_id, self.flags)
    }

    /// Returns the spans of its trace.
    fn own<'a>(&self, spans: &'a [Span]) -> Vec<&'a Span> {
        spans.iter().filter(|span| hex(&span.trace_id) == self.trace_id).collect()
    }

    /// Returns its trace from the root down, once that many of its spans have arrived.
    async fn chain(&self, collector: &Collector, length: usize) -> Vec<Span> {
        let spans = collector.until(|spans| self.own(spans).len() >= length).await;
        let own = self.own(&spans);
        assert_eq!(own.len(), length, "{own:#?}");
        let mut chain: Vec<Span> = Vec::new();
        let mut above = self.span_id.to_owned();
        while chain.len() < length {
            let below: Vec<_> =
                own.iter().filter(|span| hex(&span.parent_span_id) == above).collect();
            assert_eq!(below.len(), 1, "below {above}: {own:#?}");
            above = hex(&below[0].span_id);
            chain.push((**below[0]).clone());
        }
        chain
    }
}

/// Returns all attributes of a span as text.
fn attributes(span: &Span) -> BTreeMap<&str, String> {
    span.attributes.iter().map(|one| (one.key.as_str(), value(one))).collect()
}

fn value(attribute: &KeyValue) -> String {
    match attribute.value.as_ref().and_then(|value| value.value.as_ref()).unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

/// Checks a span's name and kind, that it did not fail, and that it has exactly these attributes.
fn says(span: &Span, name: &str, kind: SpanKind, said: &[(&str, &str)]) {
    assert_eq!((span.name.as_str(), span.kind()), (name, kind));
    let expected: BTreeMap<_, _> =
        said.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    assert_eq!(attributes(span), expected, "{name}");
    assert_eq!(span.events, [], "{name}");
    assert_eq!(span.links, [], "{name}");
    assert_ne!(span.status.clone().unwrap_or_default().code(), StatusCode::Error, "{name}");
}

fn is_http_refresh(span: &Span) {
    let said = [
        ("http.request.method", "POST"),
        ("url.path", "/api/auth/refresh"),
        ("http.response.status_code", "200"),
    ];
    says(span, "POST /api/auth/refresh", SpanKind::Server, &said);
}

fn is_rpc(span: &Span, service: &str, method: &str, caller: &str) {
    let said = [
        ("rpc.system", "grpc"),
        ("rpc.service", service),
        ("rpc.method", method),
        ("rpc.grpc.status_code", "0"),
        ("caller", caller),
    ];
    says(span, &format!("{service}/{method}"), SpanKind::Server, &said);
}

fn is_operation(span: &Span, database: &Database, name: &str) {
    let (operation, table) = name.split_once(' ').unwrap();
    let said = [
        ("db.system.name", system(database)),
        ("db.operation.name", operation),
        ("db.collection.name", table),
    ];
    says(span, name, SpanKind::Client, &said);
}

fn system(database: &Database) -> &'static str {
    match database {
        Database::Sqlite(_) => "sqlite",
        Database::Postgres(_) => "postgresql",
    }
}

/// Refreshes like a browser of that caller.
async fn refresh(service: &Replica, caller: &Caller, token: &str) -> (String, Option<String>) {
    let (cookie, traceparent) = (format!("refreshToken={token}"), caller.traceparent());
    let headers = [("cookie", cookie.as_str()), ("traceparent", &traceparent)];
    let answer = service.http().send(Method::POST, "/api/auth/refresh", &headers).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    (answer.json()["accessToken"].as_str().unwrap().to_owned(), answer.new_token())
}

async fn a_browsers_refresh_is_one_trace(database: Database, setup: Setup) {
    let collector = Collector::start().await;
    let rotel = Rotel::before(&collector);
    let secret = "a secret that nobody may find in a trace, of 32 bytes and more";
    let setup = rotel.told_by(setup).set("JWT_SECRET", secret);
    // Every refresh rotates, so there is a new token.
    let setup = setup.set("REFRESH_CONCURRENCY_WINDOW_SECONDS", "0");
    let service = setup.start().await;
    let issued = wire::issue(&service.tokens(), "alice").await;
    let caller = Caller::number(1);
    let (access, successor) = refresh(&service, &caller, &issued.refresh_token).await;

    let chain = caller.chain(&collector, 3).await;
    is_http_refresh(&chain[0]);
    is_rpc(&chain[1], TOKENS, "RefreshAccessToken", "browser-adapter");
    is_operation(&chain[2], &database, "refresh user_sessions");
    for (inner, outer) in [(&chain[1], &chain[0]), (&chain[2], &chain[1])] {
        assert!(outer.start_time_unix_nano <= inner.start_time_unix_nano, "{chain:#?}");
        assert!(inner.end_time_unix_nano <= outer.end_time_unix_nano, "{chain:#?}");
    }
    let named = collector
        .senders()
        .iter()
        .any(|one| one.key == "service.name" && value(one) == "token-authority");
    assert!(named, "{:?}", collector.senders());

    let mut needles = Needles::default();
    let successor = successor.expect("the refresh rotates");
    for (what, secret) in [
        ("JWT_SECRET", secret),
        ("the first access token", &issued.access_token),
        ("the second access token", &access),
        ("the refresh token", &issued.refresh_token),
        ("its successor", &successor),
    ] {
        needles.add(what, secret);
    }
    needles.are_not_in("the traces", &collector.bytes());
}

async fn each_rpc_has_its_operation_below_it(database: Database, setup: Setup) {
    let collector = Collector::start().await;
    let rotel = Rotel::before(&collector);
    let service = rotel.told_by(setup).start().await;
    let [first, second] =
        [wire::issue(&service.tokens(), "zoe").await, wire::issue(&service.tokens(), "zoe").await];
    let user_id = || "zoe".to_owned();
    let login = IssueTokensRequest { user_id: user_id(), ..Default::default() };
    let list = ListSessionsRequest { user_id: user_id(), ..Default::default() };
    let end = RevokeUserSessionsRequest { user_id: user_id(), ..Default::default() };
    let present = RefreshAccessTokenRequest {
        refresh_token: first.refresh_token.clone(),
        ..Default::default()
    };
    let leave = RevokeRefreshTokenRequest { refresh_token: first.refresh_token };
    let throw_out = RevokeSessionRequest { session_id: second.session_id };
    let check = ValidateTokenRequest { token: second.access_token, audience: String::new() };
    let set = SetRolloutRequest { percentage: Some(50), jwt_enabled: None };
    let sessions = |name| vec![format!("{name} user_sessions")];
    let changes = |name| format!("{name} rollout_changes");
    let asked: Vec<(&str, &str, Vec<u8>, Vec<String>)> = vec![
        // A JWT is checked without the database.
        (TOKENS, "ValidateToken", check.encode_to_vec(), vec![]),
        (TOKENS, "IssueTokens", login.encode_to_vec(), sessions("open")),
        (TOKENS, "RefreshAccessToken", present.encode_to_vec(), sessions("refresh")),
        (TOKENS, "RevokeRefreshToken", leave.encode_to_vec(), sessions("revoke")),
        (SESSIONS, "ListSessions", list.encode_to_vec(), sessions("list")),
        (SESSIONS, "RevokeSession", throw_out.encode_to_vec(), sessions("revoke")),
        (SESSIONS, "RevokeUserSessions", end.encode_to_vec(), sessions("revoke_user")),
        (ROLLOUT, "GetRollout", vec![], vec![changes("last_change")]),
        (
            ROLLOUT,
            "SetRollout",
            set.encode_to_vec(),
            vec![changes("last_change"), changes("append_change")],
        ),
    ];
    for (number, (rpcs, method, message, operations)) in (100..).zip(asked) {
        let caller = Caller::number(number);
        let traceparent = caller.traceparent();
        let metadata = [("traceparent", traceparent.as_str())];
        let path = format!("/{rpcs}/{method}");
        raw::call_with(&service.channel(), &path, &metadata, &message).await.unwrap();
        let length = 1 + operations.len();
        let spans = collector.until(|spans| caller.own(spans).len() >= length).await;
        let mut own = caller.own(&spans);
        own.sort_by_key(|span| span.start_time_unix_nano);
        assert_eq!(own.len(), length, "{method}: {own:#?}");
        is_rpc(own[0], rpcs, method, "anonymous");
        assert_eq!(hex(&own[0].parent_span_id), caller.span_id);
        for (span, operation) in own[1..].iter().zip(&operations) {
            is_operation(span, &database, operation);
            assert_eq!(span.parent_span_id, own[0].span_id, "{own:#?}");
        }
    }
}

async fn requests_that_share_a_statement_keep_their_traces_apart(database: Database, setup: Setup) {
    const MANY: u16 = 60;
    let collector = Collector::start().await;
    let service = collector.told_by(setup).start().await;
    let users: Vec<_> = (0..MANY).map(|number| format!("user-{number}")).collect();
    let client = service.tokens();
    let issued = join_all(users.iter().map(|user| wire::issue(&client, user))).await;
    let callers: Vec<_> = (0..MANY).map(Caller::number).collect();
    let all = callers.iter().zip(&issued);
    join_all(all.map(|(caller, issued)| refresh(&service, caller, &issued.refresh_token))).await;
    let statements = |metrics: &str| -> u64 {
        let line = metrics
            .lines()
            .find(|line| line.starts_with("store_batches_total") && line.contains("\"change\""));
        line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    };
    let batches = statements(&service.metrics());
    assert!(batches < MANY.into(), "{batches} statements: no batch was shared");
    for caller in callers {
        let chain = caller.chain(&collector, 3).await;
        is_http_refresh(&chain[0]);
        is_rpc(&chain[1], TOKENS, "RefreshAccessToken", "browser-adapter");
        is_operation(&chain[2], &database, "refresh user_sessions");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_operation_says_how_it_failed_and_no_more() {
    const PASSWORD: &str = "hunter2-and-a-half-of-it";
    let collector = Collector::start().await;
    let url = format!("postgres://nobody:{PASSWORD}@127.0.0.1:{}/nowhere", free_port());
    let service = collector.told_by(Setup::new()).set("DATABASE_URL", &url).start().await;
    let caller = Caller::number(1);
    let (path, traceparent) = (format!("/{TOKENS}/IssueTokens"), caller.traceparent());
    let ask = IssueTokensRequest { user_id: "alice".into(), ..Default::default() };
    let metadata = [("traceparent", traceparent.as_str())];
    let told = raw::call_with(&service.channel(), &path, &metadata, &ask.encode_to_vec()).await;
    assert_eq!(told.unwrap_err().code(), tonic::Code::Unavailable);
    let chain = caller.chain(&collector, 2).await;
    let failed = &chain[1];
    assert_eq!(failed.name, "open user_sessions");
    assert_eq!(attributes(failed)["error.type"], "unavailable");
    let status = failed.status.clone().unwrap_or_default();
    assert_eq!((status.code(), status.message.as_str()), (StatusCode::Error, ""));
    assert_eq!(failed.events, []);
    let mut needles = Needles::default();
    needles.add("the database's password", PASSWORD);
    needles.are_not_in("the traces", &collector.bytes());
}

/// Makes the service handle each caller's request, ends it, and returns all exported spans.
async fn all_that_was_sent(settings: &[(&str, &str)], callers: &[&Caller]) -> Vec<Span> {
    let collector = Collector::start().await;
    let setup = collector.told_by(Setup::new());
    let setup = settings.iter().fold(setup, |setup, (name, value)| setup.set(name, value));
    let mut service = setup.start().await;
    // A request without a caller's span has no parent.
    let issued = wire::issue(&service.tokens(), "alice").await;
    for caller in callers {
        refresh(&service, caller, &issued.refresh_token).await;
    }
    service.signal("TERM");
    assert!(service.ended().await.success());
    collector.spans()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sampler_decides_for_all_of_a_trace() {
    let traced = Caller::number(1);
    let left_out = Caller { flags: "00", ..Caller::number(2) };
    let callers = [&traced, &left_out];
    let sampler = |name| ("OTEL_TRACES_SAMPLER", name);
    let none = ("OTEL_TRACES_SAMPLER_ARG", "0");
    let cases: [(&[_], [usize; 3]); 6] = [
        // The numbers of spans: of the login without a parent, of the sampled caller, of the other
        // caller.
        (&[], [2, 3, 0]),
        (&[sampler("parentbased_always_on")], [2, 3, 0]),
        (&[sampler("parentbased_traceidratio"), none], [0, 3, 0]),
        (&[sampler("traceidratio"), none], [0, 0, 0]),
        (&[sampler("always_off")], [0, 0, 0]),
        (&[sampler("always_on")], [2, 3, 3]),
    ];
    for (settings, expected) in cases {
        let spans = all_that_was_sent(settings, &callers).await;
        let [of_traced, of_left_out] = callers.map(|caller| caller.own(&spans).len());
        let of_nobody = spans.len() - of_traced - of_left_out;
        assert_eq!([of_nobody, of_traced, of_left_out], expected, "{settings:?}: {spans:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_nothing() {
    goes_on_without(SocketAddr::from(([127, 0, 0, 1], free_port()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_costs_nothing() {
    // The kernel accepts connections, and no program answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    goes_on_without(silent.local_addr().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_holds_no_end_past_the_grace_period() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let setup = telling(Setup::new(), silent.local_addr().unwrap())
        .set("SHUTDOWN_DELAY_SECONDS", "0")
        .set("SHUTDOWN_GRACE_SECONDS", "1");
    let mut service = setup.start().await;
    wire::issue(&service.tokens(), "alice").await;
    // Its span is being exported by then.
    let (connection, _) = silent.accept().unwrap();
    service.signal("TERM");
    let begun = Instant::now();
    assert!(service.ended().await.success(), "{}", service.log());
    // The exporter's own timeout is longer than the rest of this test.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(service.log().contains("cannot export the remaining traces"), "{}", service.log());
    drop(connection);
}

/// Makes more requests than the span queue holds, checks their answers, and ends the service in
/// time.
async fn goes_on_without(address: SocketAddr) {
    let setup = telling(Setup::new(), address).set("OTEL_BSP_MAX_QUEUE_SIZE", "64");
    let mut service = setup.set("SHUTDOWN_DELAY_SECONDS", "0").start().await;
    let issued = wire::issue(&service.tokens(), "alice").await;
    for number in 0..4 {
        let callers: Vec<_> = (0..100).map(|one| Caller::number(number * 100 + one)).collect();
        let token = &issued.refresh_token;
        join_all(callers.iter().map(|caller| refresh(&service, caller, token))).await;
    }
    service.signal("TERM");
    assert!(service.ended().await.success(), "{}", service.log());
}
