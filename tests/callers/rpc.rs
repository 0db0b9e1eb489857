//! Calls by path, with or without a credential.

use std::net::SocketAddr;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use prost::Message as _;
use token_authority::transport::proto::v1::{IssueTokensRequest, IssueTokensResponse};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

pub(crate) const VALIDATE: &str = "/token_authority.v1.TokenAuthorityService/ValidateToken";
pub(crate) const ISSUE: &str = "/token_authority.v1.TokenAuthorityService/IssueTokens";

/// Messages as their bytes.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let all = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(all)))
    }
}

pub(crate) async fn connect(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

pub(crate) fn signed<T>(message: T, key: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(key) = key {
        let value = format!("Bearer {key}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    request
}

/// Calls an RPC of any kind with one message. Returns the first message of its answer.
pub(crate) async fn call(
    channel: &Channel,
    path: &'static str,
    key: Option<&str>,
    message: Bytes,
) -> Result<Option<Bytes>, Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static(path);
    let answer = grpc.server_streaming(signed(message, key), path, Raw).await?;
    // A refusal comes first. A stream may send nothing for a long time.
    if answer.metadata().contains_key("grpc-status") {
        return Ok(None);
    }
    Ok(Some(Bytes::new()))
}

/// Calls a unary RPC.
pub(crate) async fn unary(
    channel: &Channel,
    path: &'static str,
    key: Option<&str>,
    message: Bytes,
) -> Result<Bytes, Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static(path);
    grpc.unary(signed(message, key), path, Raw).await.map(tonic::Response::into_inner)
}

pub(crate) async fn issue(
    channel: &Channel,
    key: Option<&str>,
    request_id: &str,
) -> Result<IssueTokensResponse, Status> {
    let ask = IssueTokensRequest {
        user_id: "alice".into(),
        request_id: request_id.into(),
        ..Default::default()
    };
    let answer = unary(channel, ISSUE, key, ask.encode_to_vec().into()).await?;
    Ok(IssueTokensResponse::decode(answer).unwrap())
}

/// Returns a call's code and the reason in its `ErrorInfo`.
pub(crate) fn reason<T>(answer: &Result<T, Status>) -> (Code, String) {
    match answer {
        Ok(_) => (Code::Ok, String::new()),
        Err(status) => {
            let details = status.get_error_details();
            let reason = details.error_info().map(|info| info.reason.clone());
            (status.code(), reason.unwrap_or_default())
        }
    }
}
