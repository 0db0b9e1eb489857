//! Handles the rest of a request body that no handler has read, for example because the request was
//! refused early.
//!
//! Over HTTP/1, the answer may leave before the client has sent its whole body. If the connection
//! is then closed without notice, the client sees a broken pipe instead of the answer, and a proxy
//! reports a 502. A small rest is therefore read and discarded, and the connection continues. A
//! larger body ends the connection, and the answer announces this (`Connection: close`).
//!
//! Over HTTP/2, dropping a body resets its stream. The HTTP/2 library soon forgets a stream that it
//! has reset, counts the frames that still arrive for it as the client's errors, and ends a connection
//! with 1,024 of them, with all other requests on it. A small rest is therefore read and discarded
//! here as well, while the answer is sent.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, StatusCode, Version};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;

use super::BODY_BYTES;

/// How much of a body that is too large is read before the answer is sent. A proxy with the usual
/// limit of 1 MiB has then sent all of it, and passes the answer on.
const LINGER_BYTES: usize = 1024 * 1024;

/// How long the rest of a body may take. A slower client finds its connection closed.
const LINGER: Duration = Duration::from_secs(1);

/// Runs a request, then reads the rest of its body or announces the connection's end.
pub async fn finish(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let is_http2 = request.version() >= Version::HTTP_2;
    let waits_for_word = request.headers().contains_key(EXPECT);
    let rest = Rest::default();
    let (parts, body) = request.into_parts();
    let body = Watched { inner: Some(body), rest: Arc::clone(&rest), is_begun: false };
    let mut response = next.run(Request::from_parts(parts, Body::new(body))).await;
    let left = rest.lock().unwrap_or_else(PoisonError::into_inner).take();
    if is_http2 {
        if let Some(unread) = left {
            discard(unread.body);
        }
        return response;
    }
    let may_go_on = match left {
        None => true,
        // The client waits for `100 Continue` and never receives it.
        Some(Unread { is_begun: false, .. }) if waits_for_word => false,
        Some(Unread { body, .. }) => drain(body).await,
    };
    // A client whose body is too large always learns that the connection ends, however much of the
    // body was read.
    if !may_go_on || response.status() == StatusCode::PAYLOAD_TOO_LARGE {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Reads the body of a refused HTTP/2 request to its end and discards it, for a moment at most.
pub fn discard<B>(body: B)
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
{
    if !body.is_end_stream() {
        tokio::spawn(drain(body));
    }
}

/// Reads the rest of a body. Returns whether it was small enough for the connection to go on.
async fn drain<B>(mut body: B) -> bool
where
    B: http_body::Body<Data = Bytes> + Send + Unpin,
{
    let too_large = |length: u64| length > BODY_BYTES as u64;
    let announced = too_large(body.size_hint().lower());
    let mut read = 0;
    let all = async {
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > LINGER_BYTES {
                return false;
            }
        }
        true
    };
    let ended = tokio::time::timeout(LINGER, all).await.unwrap_or(false);
    ended && !announced && read <= BODY_BYTES
}

/// Where an incompletely read body is stored.
type Rest = Arc<Mutex<Option<Unread>>>;

struct Unread {
    body: Body,
    /// Whether a part of it was read.
    is_begun: bool,
}

/// A body that is stored when its reader drops it.
struct Watched {
    inner: Option<Body>,
    rest: Rest,
    is_begun: bool,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.is_begun = true;
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let polled = Pin::new(inner).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.inner = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(body) = self.inner.take().filter(|body| !body.is_end_stream()) {
            let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
            *rest = Some(Unread { body, is_begun: self.is_begun });
        }
    }
}
