//! The gate before every RPC and route: it authenticates the caller, checks its role, and applies
//! the limits.
//!
//! One pass is a hash, a look-up and a few atomic operations. Requests share no lock.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue, Request, Response, Version, header};
use http_body::Body;
use tonic::Status;
use tower::{Layer, Service};

use super::denied::Denied;
use super::in_process::FromInProcess;
use super::open_ended::{self, Judge};
use super::roles::{self, Access, Role, Roles};
use super::{BROWSER_ADAPTER, Caller, CallerLimits, Callers};
use crate::transport::fault;
use crate::transport::limits::load::{Load, Slot};
use crate::transport::limits::rate::{ClientLimiter, Limiter, REFUSALS};
use crate::transport::limits::{LimitSettings, deadline, unread_body};
use crate::transport::serve::peer::Peer;

type Answer<B> = Result<Response<B>, Infallible>;

/// Admits or rejects requests.
#[derive(Debug)]
pub struct AuthGate {
    callers: Arc<Callers>,
    within: Caller,
    clients: Option<ClientLimiter>,
    /// How often each client address gets the reason of a refusal.
    refusals: ClientLimiter,
    load: Load,
    strangers: Load,
    limits: LimitSettings,
}

impl AuthGate {
    /// Makes a gate with these callers and limits.
    #[must_use]
    pub fn new(callers: Arc<Callers>, limits: LimitSettings) -> Self {
        Self {
            callers,
            within: Caller::new(
                BROWSER_ADAPTER,
                Roles::from_iter([Role::Adapter, Role::Verifier]),
                CallerLimits::NONE,
            ),
            clients: limits.per_client.map(ClientLimiter::new),
            refusals: ClientLimiter::new(REFUSALS),
            load: Load::new(limits.concurrent_requests),
            // Apart from the callers' load: strangers cannot use up the callers' slots.
            strangers: Load::new(limits.concurrent_requests),
            limits,
        }
    }

    /// Returns the layer that puts this gate before all RPCs.
    #[must_use]
    pub fn before_rpcs(self: &Arc<Self>) -> AuthLayer<RpcPort> {
        AuthLayer { gate: Arc::clone(self), port: RpcPort }
    }

    /// Returns the layer that puts this gate before one route.
    pub(super) fn before_route(self: &Arc<Self>, access: Access) -> AuthLayer<RoutePort> {
        AuthLayer { gate: Arc::clone(self), port: RoutePort(access) }
    }

    /// Forgets client addresses that made no request lately, so that the map stays small.
    pub fn sweep(&self) {
        if let Some(clients) = &self.clients {
            clients.sweep();
        }
        self.refusals.sweep();
    }

    fn authorize<D: GatePort, B>(
        &self,
        port: D,
        request: &Request<B>,
    ) -> Result<Admitted, Rejected> {
        let admitted = self.judge(port, request);
        if let Err(rejected) = &admitted
            && let Some(peer) = request.extensions().get::<Peer>()
        {
            // The request is rejected, however much is held for strangers.
            let stream = peer.stream().filter(|_| rejected.caller.is_none());
            let _ = stream.map(|stream| stream.belongs_to_stranger());
            if rejected.refusal.is_the_callers_fault() {
                // A right credential is never limited here: honest callers may share the address.
                self.refusals.check(self.client(peer, request.headers()))?;
            }
        }
        admitted
    }

    fn judge<D: GatePort, B>(&self, port: D, request: &Request<B>) -> Result<Admitted, Rejected> {
        let path = request.uri().path();
        let access = port.access(path).ok_or(Denied::Unknown)?;
        if request.extensions().get::<FromInProcess>().is_some() {
            // The outer HTTP request was already admitted, counted and timed.
            let caller = holds(self.within.clone(), access)?;
            return Ok(Admitted { caller: Some(caller), ..Admitted::default() });
        }
        let (headers, extensions) = (request.headers(), request.extensions());
        let peer = extensions.get::<Peer>();
        let stream = peer.and_then(Peer::stream);
        let lasts = port.lasts(path);
        if let (Some(stream), true) = (stream, lasts) {
            stream.lasts();
        }
        let caller = match access {
            Access::Role(_) | Access::SessionsOrAdmin => {
                Some(self.known(access, headers, extensions)?)
            }
            Access::Public | Access::Browser | Access::Holder => {
                self.count_client(headers, extensions)?;
                None
            }
            Access::Probe => None,
        };
        let mut slot = self.slot(access, caller.as_ref())?;
        if let Some(stream) = stream {
            let counted = match &caller {
                // The answer of a stream does not count as load once it has begun.
                Some(caller) => {
                    let kept = if lasts { None } else { slot.take() };
                    stream.belongs_to(&caller.0.budget, kept)
                }
                None => stream.belongs_to_stranger(),
            };
            counted.map_err(|refusal| Rejected { refusal, caller: caller.clone() })?;
        }
        let deadline = Some(deadline::of(headers, self.limits.request_timeout));
        let judge = peer.filter(|_| lasts);
        let judge = judge.map(|peer| Judge::new(&self.callers, access, headers, peer));
        Ok(Admitted { caller, slot, deadline, judge })
    }

    fn slot(&self, access: Access, caller: Option<&Caller>) -> Result<Option<Slot>, Rejected> {
        let taken = match caller {
            Some(caller) => self.load.take(Some(&caller.0.load)),
            None if access == Access::Probe => return Ok(None),
            None => self.strangers.take(None),
        };
        taken.map(Some).map_err(|refusal| Rejected { refusal, caller: caller.cloned() })
    }

    /// Authenticates the caller and checks its role and its rate.
    fn known(
        &self,
        access: Access,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Caller, Rejected> {
        let sans = extensions.get::<Peer>().map_or(&[][..], Peer::sans);
        let caller = holds(self.callers.authenticate(headers, sans)?, access)?;
        match caller.0.limit.as_ref().map_or(Ok(()), Limiter::check) {
            Ok(()) => Ok(caller),
            Err(refusal) => Err(Rejected { refusal, caller: Some(caller) }),
        }
    }

    fn count_client(&self, headers: &HeaderMap, extensions: &Extensions) -> Result<(), Denied> {
        let (Some(clients), Some(peer)) = (&self.clients, extensions.get::<Peer>()) else {
            return Ok(());
        };
        clients.check(self.client(peer, headers))
    }

    fn client(&self, peer: &Peer, headers: &HeaderMap) -> IpAddr {
        self.limits.trusted_proxies.client(peer.address(), headers)
    }
}

/// Returns the caller if it may have the access.
fn holds(caller: Caller, access: Access) -> Result<Caller, Rejected> {
    match access.lacks(caller.0.roles) {
        Some(role) => Err(Rejected { refusal: Denied::Forbidden(role), caller: Some(caller) }),
        None => Ok(caller),
    }
}

/// An admitted request.
#[derive(Default)]
struct Admitted {
    caller: Option<Caller>,
    /// The slot of a request whose slot does not belong to its stream. It is held until the answer
    /// begins: a long stream does not count as load.
    slot: Option<Slot>,
    deadline: Option<Duration>,
    /// Ends the answer, if it is a stream.
    judge: Option<Judge>,
}

/// A rejected request, with its caller if the caller is known.
struct Rejected {
    refusal: Denied,
    caller: Option<Caller>,
}

impl From<Denied> for Rejected {
    fn from(refusal: Denied) -> Self {
        Self { refusal, caller: None }
    }
}

/// A port of the service as the gate sees it: how to look up the access that a path requires, and
/// how to reject a request.
pub trait GatePort: Copy + Send + 'static {
    /// The body of a response on this port.
    type Body: Send + 'static;

    /// Returns the access that a path requires; `None` if the path does not exist.
    fn access(self, path: &str) -> Option<Access>;

    /// Rejects a request in this port's protocol.
    fn refuse(self, refusal: Denied) -> Response<Self::Body>;

    /// Returns the answer to a request that is not of the port's kind.
    fn foreign(self, _: &HeaderMap) -> Option<Response<Self::Body>> {
        None
    }

    /// Returns whether the answer by that path is a stream that may last for ever.
    fn lasts(self, _: &str) -> bool {
        false
    }

    /// Lets `judge` end an answer that is a stream.
    fn watch(self, answer: Response<Self::Body>, judge: Judge) -> Response<Self::Body>;
}

/// The gRPC port: each RPC has its own entry in the table.
#[derive(Debug, Clone, Copy)]
pub struct RpcPort;

impl GatePort for RpcPort {
    type Body = tonic::body::Body;

    fn access(self, path: &str) -> Option<Access> {
        roles::of_rpc(path)
    }

    fn refuse(self, refusal: Denied) -> Response<Self::Body> {
        Status::from(refusal).into_http()
    }

    fn foreign(self, headers: &HeaderMap) -> Option<Response<Self::Body>> {
        let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let is_grpc = [&b"application/grpc"[..], b"application/grpc+proto"]
            .iter()
            .any(|known| kind.eq_ignore_ascii_case(known));
        (!is_grpc).then(fault::unsupported_media_type)
    }

    fn lasts(self, path: &str) -> bool {
        roles::is_stream(path)
    }

    fn watch(self, answer: Response<Self::Body>, judge: Judge) -> Response<Self::Body> {
        open_ended::watch(answer, judge)
    }
}

/// One HTTP route.
#[derive(Debug, Clone, Copy)]
pub struct RoutePort(Access);

impl GatePort for RoutePort {
    type Body = axum::body::Body;

    fn access(self, _: &str) -> Option<Access> {
        Some(self.0)
    }

    fn refuse(self, refusal: Denied) -> Response<Self::Body> {
        fault::http_denied(refusal)
    }

    fn watch(self, answer: Response<Self::Body>, _: Judge) -> Response<Self::Body> {
        answer
    }
}

/// A layer that puts a gate before a service.
#[derive(Debug, Clone)]
pub struct AuthLayer<D> {
    gate: Arc<AuthGate>,
    port: D,
}

impl<S, D: Copy> Layer<S> for AuthLayer<D> {
    type Service = AuthService<S, D>;
    fn layer(&self, inner: S) -> AuthService<S, D> {
        AuthService { inner, gate: Arc::clone(&self.gate), port: self.port }
    }
}

/// A service behind a gate.
#[derive(Debug, Clone)]
pub struct AuthService<S, D> {
    inner: S,
    gate: Arc<AuthGate>,
    port: D,
}

impl<S, D, B> Service<Request<B>> for AuthService<S, D>
where
    D: GatePort,
    S: Service<Request<B>, Response = Response<D::Body>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    type Response = Response<D::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer<D::Body>> + Send + 'static>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let port = self.port;
        if let Some(foreign) = port.foreign(request.headers()) {
            return refused(request, foreign);
        }
        let pass = match self.gate.authorize(port, &request) {
            Ok(pass) => pass,
            Err(Rejected { refusal, caller }) => {
                return refused(request, signed(port.refuse(refusal), caller));
            }
        };
        if let Some(caller) = &pass.caller {
            request.extensions_mut().insert(caller.clone());
        }
        Box::pin(within_time(port, pass, self.inner.call(request)))
    }
}

/// Answers a refused request, whose body nobody reads.
fn refused<B, R>(
    request: Request<B>,
    response: Response<R>,
) -> Pin<Box<dyn Future<Output = Answer<R>> + Send>>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    R: Send + 'static,
{
    // Over HTTP/1, the routes read the rest themselves: they may have to end the connection.
    if request.version() >= Version::HTTP_2 {
        unread_body::discard(request.into_body());
    }
    Box::pin(std::future::ready(Ok(response)))
}

async fn within_time<D: GatePort>(
    port: D,
    pass: Admitted,
    work: impl Future<Output = Answer<D::Body>> + Send,
) -> Answer<D::Body> {
    let Admitted { caller, slot, deadline, judge } = pass;
    let answered = match deadline {
        None => work.await,
        Some(most) => match tokio::time::timeout(most, work).await {
            Ok(answered) => answered,
            Err(_) => Ok(port.refuse(Denied::Late)),
        },
    };
    drop(slot);
    let answered = answered.map(|response| signed(response, caller));
    match judge {
        Some(judge) => answered.map(|response| port.watch(response, judge)),
        None => answered,
    }
}

/// Records the caller's name on the request's span.
fn signed<B>(mut response: Response<B>, caller: Option<Caller>) -> Response<B> {
    if let Some(caller) = caller {
        response.extensions_mut().insert(caller);
    }
    response
}
