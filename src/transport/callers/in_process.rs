//! Calls of this process's HTTP port to its own gRPC services.

use std::task::{Context, Poll};

use http::Request;
use tower::Service;

/// Marks a request that was made within this process. Nothing on the wire becomes an extension, so a
/// client cannot forge the mark.
#[derive(Debug, Clone, Copy)]
pub(in crate::transport) struct FromInProcess;

/// The gRPC services as this process's HTTP port calls them: for the browser's routes and for
/// introspection. The gate before the route has admitted the outer request, so these calls hold the
/// roles adapter and verifier.
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
