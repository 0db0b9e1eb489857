//! Fuzz targets of the contract's messages and their frames.

use bytes::Bytes;
use futures::{FutureExt as _, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec as _, CompressionEncoding, Streaming};

use super::convert;
use super::tokens::MAX_TOKENS;
use crate::authority::AuthMethod;
use crate::token::access::Claims;
use crate::transport::codec::{Codec, count_tokens};
use crate::transport::limits::MESSAGE_BYTES;
use crate::transport::proto::v1;

/// A client can decode the answer to a token with any claims.
pub(crate) fn claims(data: &[u8]) {
    let Ok(claims) = Claims::parse(data) else { return };
    let answer = convert::good(&claims, AuthMethod::Jwt);
    let read = v1::ValidateTokenResponse::decode(&*answer.encode_to_vec());
    assert!(read.is_ok(), "no client can decode the answer");
    let batch = v1::ValidateTokensResponse { results: vec![answer] };
    let read = v1::ValidateTokensResponse::decode(&*batch.encode_to_vec());
    assert!(read.is_ok(), "no client can decode the batch");
}

/// A message that is read can be written, and what a login asks for is within the bounds.
pub(crate) fn message(data: &[u8]) {
    let (kind, data) = data.split_first().map_or((0, data), |(first, rest)| (*first, rest));
    match kind % 10 {
        0 => login(data),
        1 => batch(data),
        2 => round_trip::<v1::ValidateTokenRequest>(data),
        3 => round_trip::<v1::RefreshAccessTokenRequest>(data),
        4 => round_trip::<v1::RevokeRefreshTokenRequest>(data),
        5 => round_trip::<v1::ListSessionsRequest>(data),
        6 => round_trip::<v1::RevokeSessionRequest>(data),
        7 => round_trip::<v1::RevokeUserSessionsRequest>(data),
        8 => round_trip::<v1::WatchRevocationsRequest>(data),
        _ => round_trip::<v1::SetRolloutRequest>(data),
    }
}

fn round_trip<M: Message + Default + PartialEq>(data: &[u8]) {
    let Ok(message) = M::decode(data) else { return };
    let again = M::decode(&*message.encode_to_vec());
    assert!(again.is_ok_and(|again| again == message));
}

fn login(data: &[u8]) {
    let Ok(ask) = v1::IssueTokensRequest::decode(data) else { return };
    let Ok(issue) = convert::issue(ask, "caller".into()) else { return };
    assert!((1..=255).contains(&issue.user_id.as_str().len()));
    assert!(issue.grant.audience().len() <= 16 && issue.grant.scopes().len() <= 64);
    let json = serde_json::to_vec(issue.grant.claims()).unwrap_or_default();
    assert!(!json.is_empty() && json.len() <= 4096);
    // The claims come back in every token of the session.
    let mut members = issue.grant.claims().clone();
    members.insert("sub".into(), "u".into());
    members.insert("exp".into(), 1.into());
    let json = serde_json::to_vec(&members).unwrap_or_default();
    let read = Claims::parse(&json).map(|claims| claims.further);
    assert!(read.is_ok_and(|further| further == *issue.grant.claims()));
    claims(&json);
}

fn batch(data: &[u8]) {
    let counted = count_tokens(data);
    let Ok(ask) = v1::ValidateTokensRequest::decode(data) else { return };
    assert_eq!(counted, ask.tokens.len().min(MAX_TOKENS + 1));
}

/// A stream of frames gives the same messages, however its bytes are cut, and none above the limit.
pub(crate) fn frames(data: &[u8]) {
    let (size, data) = data.split_first().map_or((0, data), |(first, rest)| (*first, rest));
    let gzip = (size % 2 == 1).then_some(CompressionEncoding::Gzip);
    let whole = read(vec![Bytes::copy_from_slice(data)], gzip);
    let size = usize::from(size / 2) + 1;
    let parts = data.chunks(size).map(Bytes::copy_from_slice).collect();
    assert_eq!(whole, read(parts, gzip));
    let tokens = whole.iter().flatten();
    assert!(tokens.map(String::len).sum::<usize>() <= (data.len() + 1) * MESSAGE_BYTES);
}

/// Returns the tokens of the messages, and how the stream ended.
fn read(parts: Vec<Bytes>, gzip: Option<CompressionEncoding>) -> Vec<Result<String, i32>> {
    type ValidateToken = Codec<v1::ValidateTokenResponse, v1::ValidateTokenRequest>;
    let parts = parts.into_iter().map(|part| Ok::<_, Status>(Frame::data(part)));
    let body = StreamBody::new(stream::iter(parts));
    let decoder = ValidateToken::default().decoder();
    let mut messages = Streaming::new_request(decoder, body, gzip, Some(MESSAGE_BYTES));
    let mut all = Vec::new();
    loop {
        // The body never waits, so neither does the stream.
        match messages.message().now_or_never() {
            Some(Ok(Some(message))) => {
                assert!(message.encoded_len() <= MESSAGE_BYTES);
                all.push(Ok(message.token));
            }
            Some(Ok(None)) => return all,
            Some(Err(status)) => {
                all.push(Err(status.code() as i32));
                return all;
            }
            None => all.push(Err(-1)),
        }
        assert!(all.len() < 100_000, "the stream does not end");
    }
}
