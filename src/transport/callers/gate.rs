//! The gate before every RPC and route: who calls, whether it may, and whether it is one request
//! too many.
//!
//! All of it together is a hash, a look-up and a few atomic numbers: no lock that requests share.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Extensions, HeaderMap, Request, Response};
use tonic::Status;
use tower::{Layer, Service};

use super::denied::Denied;
use super::roles::{self, Access, Role, Roles};
use super::{BROWSER_ADAPTER, Caller, Callers};
use crate::transport::fault;
use crate::transport::limits::load::{Load, Slot};
use crate::transport::limits::rate::{ClientLimiter, Limiter};
use crate::transport::limits::{LimitSettings, deadline};
use crate::transport::serve::peer::Peer;

type Answer<B> = Result<Response<B>, Infallible>;

/// Lets requests through or turns them away.
#[derive(Debug)]
pub struct AuthGate {
    callers: Arc<Callers>,
    within: Caller,
    clients: Option<ClientLimiter>,
    load: Load,
    limits: LimitSettings,
}

impl AuthGate {
    /// Knows those callers and holds them to those limits.
    #[must_use]
    pub fn new(callers: Arc<Callers>, limits: LimitSettings) -> Self {
        Self {
            callers,
            within: Caller::new(
                BROWSER_ADAPTER,
                Roles::from_iter([Role::Adapter, Role::Verifier]),
                None,
            ),
            clients: limits.per_client.map(ClientLimiter::new),
            load: Load::new(limits.concurrent_requests),
            limits,
        }
    }

    /// Stands before all RPCs.
    #[must_use]
    pub fn before_rpcs(self: &Arc<Self>) -> AuthLayer<RpcPort> {
        AuthLayer { gate: Arc::clone(self), port: RpcPort }
    }

    /// Stands before one route.
    pub(super) fn before_route(self: &Arc<Self>, access: Access) -> AuthLayer<RoutePort> {
        AuthLayer { gate: Arc::clone(self), port: RoutePort(access) }
    }

    /// Forgets client addresses that have been quiet.
    pub fn sweep(&self) {
        if let Some(clients) = &self.clients {
            clients.sweep();
        }
    }

    fn admit<D: GatePort, B>(&self, port: D, request: &Request<B>) -> Result<Admitted, Rejected> {
        let access = port.access(request.uri().path()).ok_or(Denied::Unknown)?;
        if request.extensions().get::<FromInProcess>().is_some() {
            // What caused it has been let through, and is counted and timed already.
            let caller = holds(self.within.clone(), access)?;
            return Ok(Admitted { caller: Some(caller), slot: None, deadline: None });
        }
        let (headers, extensions) = (request.headers(), request.extensions());
        let caller = match access {
            Access::Role(_) | Access::SessionsOrAdmin => {
                Some(self.known(access, headers, extensions)?)
            }
            Access::Public | Access::Browser => {
                self.count_client(headers, extensions)?;
                None
            }
            Access::Probe => None,
        };
        let slot = (access != Access::Probe).then(|| self.load.take()).transpose();
        let slot = slot.map_err(|refusal| Rejected { refusal, caller: caller.clone() })?;
        let deadline = Some(deadline::of(headers, self.limits.request_timeout));
        Ok(Admitted { caller, slot, deadline })
    }

    /// Who calls, if it may and is not over its rate.
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
        clients.check(self.limits.trusted_proxies.client(peer.address(), headers))
    }
}

fn holds(caller: Caller, access: Access) -> Result<Caller, Rejected> {
    match access.lacks(caller.0.roles) {
        Some(role) => Err(Rejected { refusal: Denied::Forbidden(role), caller: Some(caller) }),
        None => Ok(caller),
    }
}

/// A request that is let through.
struct Admitted {
    caller: Option<Caller>,
    /// Held until the answer begins. A stream that goes on is no load.
    slot: Option<Slot>,
    deadline: Option<Duration>,
}

/// A request that is turned away, and who made it where that is known.
struct Rejected {
    refusal: Denied,
    caller: Option<Caller>,
}

impl From<Denied> for Rejected {
    fn from(refusal: Denied) -> Self {
        Self { refusal, caller: None }
    }
}

/// What a gate stands before.
pub trait GatePort: Copy + Send + 'static {
    /// An answer's body there.
    type Body: Send + 'static;

    /// What is asked of who calls. `None`: there is nothing by that path.
    fn access(self, path: &str) -> Option<Access>;

    /// Turns a request away in the way of that door.
    fn refuse(self, refusal: Denied) -> Response<Self::Body>;
}

/// All RPCs, each with its own entry in the table.
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
}

/// One route.
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
}

/// Puts a gate before a service.
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
{
    type Response = Response<D::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer<D::Body>> + Send + 'static>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let port = self.port;
        let pass = match self.gate.admit(port, &request) {
            Ok(pass) => pass,
            Err(Rejected { refusal, caller }) => {
                let response = signed(port.refuse(refusal), caller);
                return Box::pin(std::future::ready(Ok(response)));
            }
        };
        if let Some(caller) = &pass.caller {
            request.extensions_mut().insert(caller.clone());
        }
        Box::pin(within_time(port, pass, self.inner.call(request)))
    }
}

async fn within_time<D: GatePort>(
    port: D,
    pass: Admitted,
    work: impl Future<Output = Answer<D::Body>> + Send,
) -> Answer<D::Body> {
    let Admitted { caller, slot, deadline } = pass;
    let answered = match deadline {
        None => work.await,
        Some(most) => match tokio::time::timeout(most, work).await {
            Ok(answered) => answered,
            Err(_) => Ok(port.refuse(Denied::Late)),
        },
    };
    drop(slot);
    answered.map(|response| signed(response, caller))
}

/// Tells the log who called.
fn signed<B>(mut response: Response<B>, caller: Option<Caller>) -> Response<B> {
    if let Some(caller) = caller {
        response.extensions_mut().insert(caller);
    }
    response
}

/// Marks a request that was made in this process. Nothing on the wire becomes an extension, so
/// nobody outside can forge it.
#[derive(Debug, Clone, Copy)]
pub(in crate::transport) struct FromInProcess;

/// A service as the HTTP port of this process calls it, for the browser's routes and for
/// introspection, whose own callers have been let through: as adapter and verifier.
#[derive(Debug, Clone)]
pub struct InProcess<S>(pub S);

impl<S, B> Service<Request<B>> for InProcess<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        request.extensions_mut().insert(FromInProcess);
        self.0.call(request)
    }
}
