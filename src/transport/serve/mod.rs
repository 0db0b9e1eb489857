//! Accepts connections, with TLS or without, and serves them until they end.
//!
//! * [`connection_table`]: the open connections of all ports, and their limits
//! * [`connection`]: one of them
//! * [`open_stream`]: one open request, and what the service holds for it
//! * [`tls`]: the configuration of handshakes
//! * [`peer`]: the other end of a connection

mod coalesced_writes;
pub mod connection;
pub mod connection_table;
mod first_byte_timeout;
mod flood_guard;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod lifetime;
pub mod open_stream;
pub mod peer;
pub mod tls;

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::Either;
use h2::Reason;
use http::{HeaderValue, Request, Response, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::limits::{HEAD_BYTES, LimitSettings};
use coalesced_writes::CoalescedWrites;
use connection::MAX_STRANGER_STREAMS;
use connection_table::{ConnectionTable, Entry};
use first_byte_timeout::FirstByteTimeout;
use flood_guard::FloodGuard;
use lifetime::Lifetime;
use open_stream::{Answer, OpenStream, RequestBody};
use peer::Peer;
use tls::Tls;

/// How long a client may take for its handshake, and then to send its first bytes.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How often a quiet HTTP/2 connection is pinged. A lost peer is noticed within this time and
/// [`PING_ANSWER`].
const PING_EVERY: Duration = Duration::from_secs(30);

/// How long the peer may take to answer a ping.
const PING_ANSWER: Duration = Duration::from_secs(10);

/// How long to wait before accepting again if the process is out of descriptors.
const NO_ROOM: Duration = Duration::from_millis(100);

/// A service that answers a port's requests and is always ready.
pub trait Answers:
    Service<
        Request<RequestBody>,
        Response = Response<Self::Body>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
    /// The body of an answer.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static;
}

impl<S, B> Answers for S
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
{
    type Body = B;
}

/// Whom a port serves. Both kinds of port speak HTTP/2 and HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// Callers, over gRPC and gRPC-Web.
    Callers,
    /// Browsers and other clients of HTTP.
    Browsers,
}

/// Serves the connections of a port.
#[derive(Debug, Clone)]
pub struct Port {
    tls: Option<Arc<Tls>>,
    clients: Clients,
    builder: Builder<TokioExecutor>,
    table: Arc<ConnectionTable>,
    /// How long a connection takes new requests. `None`: for ever.
    max_age: Option<Duration>,
    request_timeout: Duration,
}

impl Port {
    /// Serves those clients, encrypted if `tls` is given.
    #[must_use]
    pub fn new(
        clients: Clients,
        tls: Option<Arc<Tls>>,
        table: Arc<ConnectionTable>,
        limits: &LimitSettings,
    ) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        let mut concurrent_streams = limits.concurrent_streams;
        if clients == Clients::Browsers {
            // Browsers have no caller. They wait for a stream instead of being refused one.
            concurrent_streams = concurrent_streams.min(MAX_STRANGER_STREAMS);
        }
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.idle_timeout)
            .max_buf_size(HEAD_BYTES as usize)
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_ANSWER)
            .max_header_list_size(HEAD_BYTES)
            .max_concurrent_streams(concurrent_streams);
        let request_timeout = limits.request_timeout;
        Self { tls, clients, builder, table, max_age: None, request_timeout }
    }

    /// Retires connections of that age, so that clients spread over all replicas again.
    #[must_use]
    pub const fn with_max_age(mut self, max_age: Option<Duration>) -> Self {
        self.max_age = max_age;
        self
    }

    /// Serves until `stop`, then lets each connection finish its requests.
    pub async fn serve<S: Answers>(
        self,
        listener: TcpListener,
        service: S,
        stop: CancellationToken,
    ) {
        let port = Arc::new(self);
        let connections = TaskTracker::new();
        while let Some(accepted) = stop.run_until_cancelled(port.accept(&listener)).await {
            match accepted {
                Ok((stream, address)) => {
                    // Dropping the stream refuses the connection.
                    let Some(entry) = port.table.enter(address) else { continue };
                    let (port, service, stop) = (Arc::clone(&port), service.clone(), stop.clone());
                    connections.spawn(port.connect(stream, address, entry, service, stop));
                }
                Err(error) if left_at_once(&error) => {}
                // Most likely, the process is out of descriptors.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(NO_ROOM).await;
                }
            }
        }
        drop(listener);
        connections.close();
        connections.wait().await;
    }

    async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        self.table.room().await;
        listener.accept().await
    }

    async fn connect<S: Answers>(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        entry: Entry,
        service: S,
        stop: CancellationToken,
    ) {
        let connection = &entry.connection;
        // Answers are small. Nagle's algorithm would only delay them.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            let lifetime = Lifetime::new(connection, self.max_age, self.request_timeout, stop);
            return self.speak(stream, Peer::new(address), lifetime, service).await;
        };
        let handshake = tls.acceptor().accept(stream);
        let handshake = tokio::time::timeout(HANDSHAKE, handshake);
        // Any client can send a broken handshake, so it is not worth a log line.
        let Some(Ok(Ok(stream))) = connection.closing().run_until_cancelled(handshake).await else {
            tracing::debug!("a TLS handshake failed");
            return;
        };
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let chain: Vec<_> = chain.iter().cloned().map(CertificateDer::into_owned).collect();
        let peer = Peer::over_tls(address, chain.first());
        let lifetime = Lifetime::new(connection, self.max_age, self.request_timeout, stop);
        let speaking = self.speak(stream, peer.clone(), lifetime, service);
        if chain.is_empty() {
            return speaking.await;
        }
        tokio::pin!(speaking);
        tokio::select! {
            () = &mut speaking => return,
            () = tls.distrusted(&chain) => peer.distrust(),
        }
        speaking.await;
    }

    async fn speak<T, S>(&self, stream: T, peer: Peer, lifetime: Lifetime, service: S)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Answers,
    {
        let names_host = self.clients == Clients::Browsers;
        let (connection, table) = (Arc::clone(lifetime.connection()), Arc::clone(&self.table));
        let service = service_fn(move |request: Request<Incoming>| {
            let Some(stream) = OpenStream::begin(&connection, &table) else {
                // The client may send the request again, and the service keeps nothing of it.
                let refused = Err(h2::Error::from(Reason::REFUSED_STREAM));
                return Either::Left(std::future::ready(refused));
            };
            let body_stream = Arc::clone(&stream);
            let mut request = request.map(|body| RequestBody::new(body, body_stream));
            if names_host {
                name_host(&mut request);
            }
            request.extensions_mut().insert(peer.with(Arc::clone(&stream)));
            // The service is always ready: it refuses one request too many instead of waiting.
            let answering = service.clone().call(request);
            Either::Right(async move {
                let Ok(answer) = answering.await;
                Ok(answer.map(|body| Answer::new(body, stream)))
            })
        });
        let stream = CoalescedWrites::new(FirstByteTimeout::within(HANDSHAKE, stream));
        let stream = TokioIo::new(FloodGuard::new(stream));
        let served = self.builder.serve_connection(stream, service);
        lifetime.run(served).await;
    }
}

fn left_at_once(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Copies HTTP/2's `:authority` into `Host` (RFC 9113 section 8.3.1). The origin check and others then
/// read the host in one place for both versions of HTTP.
fn name_host<B>(request: &mut Request<B>) {
    if request.headers().contains_key(header::HOST) {
        return;
    }
    let named =
        request.uri().authority().and_then(|name| HeaderValue::try_from(name.as_str()).ok());
    if let Some(host) = named {
        request.headers_mut().insert(header::HOST, host);
    }
}
