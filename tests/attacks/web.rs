//! gRPC-Web on the gRPC port: the same gate as gRPC, over both versions of HTTP.

use bytes::{Buf as _, Bytes};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use prost::Message;
use token_authority::transport::proto::v1::watch_revocations_response::Event;
use token_authority::transport::proto::v1::{
    IssueTokensRequest, IssueTokensResponse, ValidateTokenRequest, ValidateTokenResponse,
    WatchRevocationsRequest, WatchRevocationsResponse,
};

use crate::target::{Target, add};

/// Marks the frame that carries the trailers.
const TRAILERS: u8 = 0x80;

/// The parts of an answer.
#[derive(Debug)]
struct Answer {
    http: u16,
    /// `grpc-status`, from the headers or the last frame.
    status: String,
    messages: Vec<Bytes>,
}

fn client(http2: bool) -> Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).http2_only(http2).build_http()
}

fn request(target: &Target, method: &str, ask: &impl Message) -> http::request::Builder {
    let length = u32::try_from(ask.encoded_len()).unwrap();
    http::Request::post(format!("http://{}/token_authority.v1.{method}", target.service.grpc()))
        .header("content-type", "application/grpc-web+proto")
        .extension(Bytes::from([&[0], &length.to_be_bytes()[..], &ask.encode_to_vec()].concat()))
}

async fn send(http2: bool, request: http::request::Builder) -> Answer {
    let body = request.extensions_ref().unwrap().get::<Bytes>().cloned().unwrap();
    let answer = client(http2).request(request.body(Full::new(body)).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    let mut rest = body.collect().await.unwrap().to_bytes();
    let status = head.headers.get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
    let mut answer = Answer {
        http: head.status.as_u16(),
        status: status.unwrap_or_default(),
        messages: Vec::new(),
    };
    while let Some((kind, frame)) = next(&mut rest) {
        if kind == TRAILERS {
            let trailers = String::from_utf8(frame.to_vec()).unwrap();
            let status = trailers.lines().find_map(|line| line.strip_prefix("grpc-status:"));
            status.unwrap().trim().clone_into(&mut answer.status);
        } else {
            answer.messages.push(frame);
        }
    }
    assert!(rest.is_empty(), "half a frame");
    answer
}

fn next(rest: &mut Bytes) -> Option<(u8, Bytes)> {
    let length = u32::from_be_bytes(rest.get(1..5)?.try_into().unwrap()) as usize;
    if rest.len() < 5 + length {
        return None;
    }
    let kind = rest.get_u8();
    rest.advance(4);
    Some((kind, rest.split_to(length)))
}

fn bearer(request: http::request::Builder, key: &str) -> http::request::Builder {
    request.header("authorization", format!("Bearer {key}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_served_over_both_versions_of_http() {
    let target = Target::start(&[]).await;
    for http2 in [false, true] {
        let ask = IssueTokensRequest { user_id: "alice".into(), ..Default::default() };
        let issue = request(&target, "TokenAuthorityService/IssueTokens", &ask);
        let issued = send(http2, bearer(issue, &target.key)).await;
        assert_eq!((issued.http, issued.status.as_str()), (200, "0"));
        let issued = IssueTokensResponse::decode(issued.messages[0].clone()).unwrap();
        let ask = ValidateTokenRequest { token: issued.access_token, ..Default::default() };
        let validate = request(&target, "TokenAuthorityService/ValidateToken", &ask);
        let answer = send(http2, bearer(validate, &target.key)).await;
        let answer = ValidateTokenResponse::decode(answer.messages[0].clone()).unwrap();
        assert!(answer.active && answer.user_id == "alice", "{answer:?}");
        let ask = IssueTokensRequest::default();
        let bad = request(&target, "TokenAuthorityService/IssueTokens", &ask);
        assert_eq!(send(http2, bearer(bad, &target.key)).await.status, "3", "a field is missing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_is_the_one_of_grpc() {
    let target = Target::start(&[("RATE_LIMIT_PER_CALLER", "1/2")]).await;
    let verifier = add(&target.setup, "backend", &["verifier"]);
    let validator = ValidateTokenRequest { token: "x".into(), ..Default::default() };
    let validate = || request(&target, "TokenAuthorityService/ValidateToken", &validator);
    let known = async || send(false, bearer(validate(), &verifier)).await.status != "16";
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !known().await {
        assert!(std::time::Instant::now() < deadline, "the new caller is not known");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    for http2 in [false, true] {
        assert_eq!(send(http2, validate()).await.status, "16", "no key");
        assert_eq!(send(http2, bearer(validate(), "tak_wrong")).await.status, "16", "a wrong key");
        let ask = IssueTokensRequest { user_id: "alice".into(), ..Default::default() };
        let issue = request(&target, "TokenAuthorityService/IssueTokens", &ask);
        assert_eq!(send(http2, bearer(issue, &verifier)).await.status, "7", "without the role");
        let page = bearer(validate(), &target.key).header("origin", "http://localhost:50051");
        assert_eq!(send(http2, page).await.http, 403, "a page");
        let nothing = request(&target, "TokenAuthorityService/Nothing", &validator);
        assert_eq!(send(http2, bearer(nothing, &target.key)).await.status, "12");
    }
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(send(false, bearer(validate(), &verifier)).await.status);
    }
    assert!(statuses.contains(&"8".to_owned()), "over the caller's rate: {statuses:?}");
    let large = ValidateTokenRequest { token: "x".repeat(65 * 1024), ..Default::default() };
    let large = request(&target, "TokenAuthorityService/ValidateToken", &large);
    assert_eq!(send(false, bearer(large, &target.key)).await.status, "11", "over the size");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_arrives_piece_by_piece() {
    let target = Target::start(&[]).await;
    let ask = WatchRevocationsRequest::default();
    let watch = bearer(request(&target, "SessionService/WatchRevocations", &ask), &target.key);
    let body = watch.extensions_ref().unwrap().get::<Bytes>().cloned().unwrap();
    let answer = client(false).request(watch.body(Full::new(body)).unwrap()).await.unwrap();
    let mut body = answer.into_body();
    let (mut rest, mut heartbeats) = (Bytes::new(), 0);
    while heartbeats < 2 {
        let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
        rest = [rest, piece].concat().into();
        while let Some((_, message)) = next(&mut rest) {
            let message = WatchRevocationsResponse::decode(message).unwrap();
            heartbeats += u32::from(matches!(message.event, Some(Event::Heartbeat(_))));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_carries_nothing_else() {
    let target = Target::start(&[]).await;
    let ask = ValidateTokenRequest::default();
    for (kind, status) in [
        ("application/grpc", 505),
        ("application/grpc+proto", 505),
        ("application/json", 415),
        ("application/grpc-web+json", 400),
    ] {
        let request = request(&target, "TokenAuthorityService/ValidateToken", &ask);
        let mut request = bearer(request, &target.key);
        request.headers_mut().unwrap().insert("content-type", kind.parse().unwrap());
        let body = request.extensions_ref().unwrap().get::<Bytes>().cloned().unwrap();
        let answer = client(false).request(request.body(Full::new(body)).unwrap()).await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{kind}");
    }
}
