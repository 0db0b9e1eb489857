//! gRPC without the contract and HTTP/2 without a client, for requests with any bytes.

use http::uri::PathAndQuery;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataKey;
use tonic::transport::Channel;
use tonic::{Request, Status};

use bytes::{Buf as _, BufMut as _};

/// Calls an RPC with any bytes. Returns the bytes of the answer.
pub(crate) async fn call(channel: &Channel, path: &str, message: &[u8]) -> Result<Vec<u8>, Status> {
    call_with(channel, &format!("/token_authority.v1.{path}"), &[], message).await
}

/// Calls an RPC and sends the message later than the head.
pub(crate) async fn call_later(
    channel: &Channel,
    path: &str,
    message: impl Future<Output = Vec<u8>> + Send + 'static,
) -> Result<Vec<u8>, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = PathAndQuery::try_from(format!("/token_authority.v1.{path}")).unwrap();
    let message = Request::new(futures::stream::once(message));
    Ok(client.client_streaming(message, path, Verbatim).await?.into_inner())
}

/// Calls any path, with metadata.
pub(crate) async fn call_with(
    channel: &Channel,
    path: &str,
    metadata: &[(&str, &str)],
    message: &[u8],
) -> Result<Vec<u8>, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let mut request = Request::new(message.to_vec());
    for (name, value) in metadata {
        let name = MetadataKey::from_bytes(name.as_bytes()).unwrap();
        request.metadata_mut().append(name, value.parse().unwrap());
    }
    let path = PathAndQuery::try_from(path).unwrap();
    Ok(client.unary(request, path, Verbatim).await?.into_inner())
}

/// Encodes a field of bytes in protobuf's format.
pub(crate) fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length > 0x7F {
        message.push(u8::try_from(length & 0x7F).unwrap() | 0x80);
        length >>= 7;
    }
    message.push(u8::try_from(length).unwrap());
    message.extend_from_slice(bytes);
    message
}

/// Returns an HTTP/2 connection up to the end of a request: the preface, empty SETTINGS, and
/// HEADERS with any path and authority, which may be malformed.
pub(crate) fn http2_head(path: &str, authority: &str) -> Vec<u8> {
    // HPACK: `:method: POST` and `:scheme: http` are indexed. `:path` and `:authority` are literals
    // without indexing.
    let mut block = vec![0x83, 0x86];
    for (index, value) in [(0x04, path), (0x01, authority)] {
        block.push(index);
        hpack_length(&mut block, value.len());
        block.extend(value.as_bytes());
    }
    let length = u32::try_from(block.len()).unwrap().to_be_bytes();
    // HEADERS that end the header block and the first stream.
    let frame = [&length[1..], &[0x01, 0x05, 0, 0, 0, 1], &block].concat();
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", &frame[..]].concat()
}

/// Encodes a string's length in HPACK (RFC 7541 section 5.1), without Huffman coding.
fn hpack_length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        return block.push(u8::try_from(length).unwrap());
    };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

/// A codec that sends and receives plain bytes.
#[derive(Debug, Clone, Copy)]
struct Verbatim;

impl Codec for Verbatim {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Verbatim {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Verbatim {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}
