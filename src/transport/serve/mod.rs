//! Accepts connections, with TLS or without, and serves them until they end.
//!
//! * [`tls`]: the configuration of handshakes
//! * [`peer`]: the other end of a connection

mod coalesced_writes;
mod first_byte_timeout;
pub mod peer;
pub mod tls;

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::limits::{HEAD_BYTES, LimitSettings};
use coalesced_writes::CoalescedWrites;
use first_byte_timeout::FirstByteTimeout;
use peer::Peer;
use tls::{Protocols, Tls};

/// How long a client may take for its handshake, and then to send its first bytes.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How often a quiet HTTP/2 connection is pinged. A peer that has gone is noticed no later.
const PING_EVERY: Duration = Duration::from_secs(30);

/// How long the peer may take to answer a ping.
const PING_ANSWER: Duration = Duration::from_secs(10);

/// How long to wait before accepting again if the process is out of descriptors.
const NO_ROOM: Duration = Duration::from_millis(100);

/// A service that answers a port's requests and is always ready.
pub trait Answers:
    Service<
        Request<Incoming>,
        Response = Response<Self::Body>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
    /// The body of an answer.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;
}

impl<S, B> Answers for S
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    type Body = B;
}

/// Serves the connections of a port.
#[derive(Debug, Clone)]
pub struct Port {
    tls: Option<Arc<Tls>>,
    protocols: Protocols,
    builder: Builder<TokioExecutor>,
}

impl Port {
    /// Serves those protocols, encrypted if `tls` is given.
    #[must_use]
    pub fn new(protocols: Protocols, tls: Option<Arc<Tls>>, limits: &LimitSettings) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        if protocols == Protocols::Http2 {
            builder = builder.http2_only();
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
            .max_concurrent_streams(limits.concurrent_streams);
        Self { tls, protocols, builder }
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
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, address)) => {
                    let (port, service, stop) = (Arc::clone(&port), service.clone(), stop.clone());
                    connections.spawn(port.connect(stream, address, service, stop));
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

    async fn connect<S: Answers>(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        service: S,
        stop: CancellationToken,
    ) {
        // Answers are small. Nagle's algorithm would only delay them.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return self.speak(stream, Peer::new(address), service, stop).await;
        };
        let handshake = tls.acceptor(self.protocols).accept(stream);
        // Anybody can send a broken handshake. It is not worth a log line.
        let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, handshake).await else {
            tracing::debug!("a TLS handshake failed");
            return;
        };
        let certificates = stream.get_ref().1.peer_certificates();
        let peer = Peer::over_tls(address, certificates.and_then(<[_]>::first));
        self.speak(stream, peer, service, stop).await;
    }

    async fn speak<T, S>(&self, stream: T, peer: Peer, service: S, stop: CancellationToken)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Answers,
    {
        let names_host = self.protocols == Protocols::Http2AndHttp1;
        let service = service_fn(move |mut request: Request<Incoming>| {
            if names_host {
                name_host(&mut request);
            }
            request.extensions_mut().insert(peer.clone());
            // The service is always ready: it refuses one request too many instead of waiting.
            service.clone().call(request)
        });
        let stream =
            TokioIo::new(CoalescedWrites::new(FirstByteTimeout::within(HANDSHAKE, stream)));
        let connection = self.builder.serve_connection(stream, service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error, "a connection ended");
        }
    }
}

fn left_at_once(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Copies HTTP/2's `:authority` into `Host` (RFC 9113 section 8.3.1). The origin check and others then
/// read the host in one place for both versions of HTTP.
fn name_host(request: &mut Request<Incoming>) {
    if request.headers().contains_key(header::HOST) {
        return;
    }
    let named =
        request.uri().authority().and_then(|name| HeaderValue::try_from(name.as_str()).ok());
    if let Some(host) = named {
        request.headers_mut().insert(header::HOST, host);
    }
}
