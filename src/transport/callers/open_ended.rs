//! Ends the answers of streaming RPCs that may no longer continue.
//!
//! * The callers' file or the roots of client certificates have changed: the stream ends with the error
//!   that a new call would get, if it would get one.
//! * The connection has reached its maximum age: the stream ends with `UNAVAILABLE`, so that the client
//!   resumes it, on another replica perhaps.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response, header};
use http_body::{Body, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body as GrpcBody;

use super::Callers;
use super::denied::Denied;
use super::roles::Access;
use crate::transport::fault;
use crate::transport::serve::peer::Peer;

/// The facts that judge an open stream again.
#[derive(Debug)]
pub struct Judge {
    callers: Arc<Callers>,
    access: Access,
    headers: HeaderMap,
    peer: Peer,
}

impl Judge {
    /// Keeps the evidence of who the caller of a request is.
    pub(super) fn new(
        callers: &Arc<Callers>,
        access: Access,
        headers: &HeaderMap,
        peer: &Peer,
    ) -> Self {
        let mut kept = HeaderMap::new();
        for value in headers.get_all(header::AUTHORIZATION) {
            kept.append(header::AUTHORIZATION, value.clone());
        }
        Self { callers: Arc::clone(callers), access, headers: kept, peer: peer.clone() }
    }

    fn verdict(&self) -> Result<(), Denied> {
        if matches!(self.access, Access::Public | Access::Browser | Access::Probe) {
            return Ok(());
        }
        let caller = self.callers.authenticate(&self.headers, self.peer.sans())?;
        self.access.lacks(caller.0.roles).map_or(Ok(()), |role| Err(Denied::Forbidden(role)))
    }

    /// Waits until the stream must end. Returns the error that it ends with.
    async fn end(self) -> Status {
        let mut replacements = self.callers.replacements();
        let retiring = async {
            match self.peer.stream() {
                Some(stream) => stream.retiring().cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(retiring);
        let distrusted = self.peer.distrusted();
        loop {
            // Judged first: the callers may have changed since the call was admitted.
            if let Err(denied) = self.verdict() {
                return denied.into();
            }
            tokio::select! {
                () = &mut retiring => return fault::resume_elsewhere(),
                () = distrusted.cancelled(), if !distrusted.is_cancelled() => {}
                changed = replacements.changed() => if changed.is_err() {
                    return fault::resume_elsewhere();
                },
            }
        }
    }
}

/// The body of a stream that ends when its judge says so.
struct OpenEnded {
    inner: GrpcBody,
    end: Option<Pin<Box<dyn Future<Output = Status> + Send>>>,
}

/// Lets `judge` end an answer.
pub(super) fn watch(answer: Response<GrpcBody>, judge: Judge) -> Response<GrpcBody> {
    answer.map(|inner| GrpcBody::new(OpenEnded { inner, end: Some(Box::pin(judge.end())) }))
}

impl Body for OpenEnded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(end) = &mut self.end else { return Poll::Ready(None) };
        if let Poll::Ready(status) = end.as_mut().poll(context) {
            self.end = None;
            let mut trailers = HeaderMap::new();
            status.add_header(&mut trailers)?;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.end.is_none() || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
