//! The client that makes the load: gRPC over HTTP/2 without the layers of a product's client. The
//! client shares the machine with the server, so its own cost would lower the results. `pgbench`,
//! which measures the limits, is equally simple.

use std::net::SocketAddr;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::RecvStream;
use h2::client::SendRequest;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use prost::Message;
use token_authority::transport::proto::v1::{
    IssueTokensRequest, IssueTokensResponse, ListSessionsRequest, ListSessionsResponse,
    RefreshAccessTokenRequest, RefreshAccessTokenResponse, ValidateTokenRequest,
    ValidateTokenResponse, ValidateTokensRequest, ValidateTokensResponse,
};
use tokio::net::TcpStream;

/// More than all answers of a turn, so that flow control never waits.
const WINDOW: u32 = 1 << 30;

/// A request message and the type of its answer.
pub(crate) trait Rpc: Message {
    /// The path of the RPC.
    const PATH: &'static str;
    /// The type of the answer.
    type Answer: Message + Default;
}

macro_rules! rpc {
    ($ask:ty, $answer:ty, $path:literal) => {
        impl Rpc for $ask {
            const PATH: &'static str = concat!("/token_authority.v1.", $path);
            type Answer = $answer;
        }
    };
}

rpc!(IssueTokensRequest, IssueTokensResponse, "TokenAuthorityService/IssueTokens");
rpc!(
    RefreshAccessTokenRequest,
    RefreshAccessTokenResponse,
    "TokenAuthorityService/RefreshAccessToken"
);
rpc!(ValidateTokenRequest, ValidateTokenResponse, "TokenAuthorityService/ValidateToken");
rpc!(ValidateTokensRequest, ValidateTokensResponse, "TokenAuthorityService/ValidateTokens");
rpc!(ListSessionsRequest, ListSessionsResponse, "SessionService/ListSessions");

/// A connection that its clones share.
#[derive(Clone)]
pub(crate) struct Client {
    connection: SendRequest<Bytes>,
    authority: Authority,
    headers: HeaderMap,
}

impl Client {
    /// Connects. Every request carries the credential.
    pub(crate) async fn connect(to: SocketAddr, credential: &HeaderValue) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (connection, driver) = h2::client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(stream)
            .await
            .unwrap();
        tokio::spawn(driver);
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::AUTHORIZATION, credential.clone());
        Self { connection, authority: to.to_string().parse().unwrap(), headers }
    }

    /// Sends a request and reads the answer. Every status except `OK` is an error.
    pub(crate) async fn ask<Q: Rpc>(&self, ask: Q) -> Result<Q::Answer, String> {
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = Some(PathAndQuery::from_static(Q::PATH));
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_parts(uri).map_err(|e| e.to_string())?;
        *request.headers_mut() = self.headers.clone();
        let mut connection = self.connection.clone().ready().await.map_err(|e| e.to_string())?;
        let (answer, mut body) =
            connection.send_request(request, false).map_err(|e| e.to_string())?;
        body.send_data(framed(&ask), true).map_err(|e| e.to_string())?;
        let (head, body) = answer.await.map_err(|e| e.to_string())?.into_parts();
        let (message, trailers) = read(body).await.map_err(|e| e.to_string())?;
        let status = head.headers.get("grpc-status").or_else(|| trailers.get("grpc-status"));
        if status.is_none_or(|status| status != "0") {
            let text = head.headers.get("grpc-message").or_else(|| trailers.get("grpc-message"));
            return Err(format!("{} {status:?}: {text:?}", Q::PATH));
        }
        // Skip the compression flag and the length of the only message.
        let message = message.get(5..).ok_or("no message")?;
        Q::Answer::decode(message).map_err(|error| error.to_string())
    }
}

/// Encodes a message in gRPC's framing.
fn framed<M: Message>(message: &M) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(5 + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap());
    message.encode(&mut bytes).unwrap();
    bytes.freeze()
}

async fn read(mut body: RecvStream) -> Result<(Bytes, HeaderMap), h2::Error> {
    let mut whole = Bytes::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        whole = if whole.is_empty() { part } else { [whole, part].concat().into() };
    }
    Ok((whole, body.trailers().await?.unwrap_or_default()))
}
