//! One open request: what the service holds for it, until the peer has taken the last byte of the
//! answer.
//!
//! A client that opens requests and does not read the answers makes the service hold them. So the
//! bytes of a request count from its first byte until the answer's last byte was handed to the
//! connection: against the caller's budget, or for clients without a caller against one budget for all.

use std::error::Error;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::Reason;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::connection::Connection;
use super::connection_table::ConnectionTable;
use crate::transport::callers::denied::Denied;
use crate::transport::limits::budget::Budget;
use crate::transport::limits::load::Slot;

/// The memory of an open request in addition to its bytes: its state in HTTP/2, its headers and its
/// task. Measured with health watches, of which each takes 8.5 KiB.
const STREAM_BYTES: usize = 8 * 1024;

/// The most that is handed to the connection at once. HTTP/2 keeps a piece until the peer's window
/// has room for all of it.
const PIECE_BYTES: usize = 16 * 1024;

/// The period of a request without a counted answer.
const NO_PERIOD: u32 = u32::MAX;

type BoxError = Box<dyn Error + Send + Sync>;

/// One open request.
#[derive(Debug)]
pub struct OpenStream {
    connection: Arc<Connection>,
    table: Arc<ConnectionTable>,
    held: AtomicUsize,
    /// Whether the bytes count against the budget of the strangers.
    is_stranger: AtomicBool,
    owner: OnceLock<Owner>,
    /// Whether the answer is a stream that may last for ever.
    lasts: AtomicBool,
    /// When the answer began, in the connection's periods.
    period: AtomicU32,
}

#[derive(Debug)]
struct Owner {
    budget: Arc<Budget>,
    _slot: Option<Slot>,
}

impl OpenStream {
    /// Opens a request. Returns `None` if the connection has too many open ones.
    pub(super) fn begin(
        connection: &Arc<Connection>,
        table: &Arc<ConnectionTable>,
    ) -> Option<Arc<Self>> {
        if !connection.begin() {
            return None;
        }
        let stream = Self {
            connection: Arc::clone(connection),
            table: Arc::clone(table),
            held: AtomicUsize::new(0),
            is_stranger: AtomicBool::new(!connection.is_trusted()),
            owner: OnceLock::new(),
            lasts: AtomicBool::new(false),
            period: AtomicU32::new(NO_PERIOD),
        };
        stream.hold(STREAM_BYTES).then(|| Arc::new(stream))
    }

    /// Adds bytes that are held for this request. Returns `false` if they are too many.
    fn hold(&self, bytes: usize) -> bool {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        self.connection.hold(bytes);
        if let Some(owner) = self.owner.get() {
            owner.budget.hold(bytes)
        } else if self.is_stranger.load(Ordering::Relaxed) {
            self.table.hold_for_stranger(bytes)
        } else {
            true
        }
    }

    /// Assigns the request to a caller. From now on its bytes count against the caller's budget,
    /// and the slot is kept until the peer has read the last byte of the answer.
    ///
    /// # Errors
    /// Returns [`Denied::Overloaded`] if the caller's budget is used up.
    pub fn belongs_to(&self, budget: &Arc<Budget>, slot: Option<Slot>) -> Result<(), Denied> {
        self.connection.set_has_caller();
        let held = self.held.load(Ordering::Relaxed);
        let within = budget.hold(held);
        let owner = Owner { budget: Arc::clone(budget), _slot: slot };
        if self.owner.set(owner).is_err() {
            budget.release(held);
            return Ok(());
        }
        if self.is_stranger.swap(false, Ordering::Relaxed) {
            self.table.release_for_stranger(held);
        }
        if within { Ok(()) } else { Err(Denied::Overloaded) }
    }

    /// Records that the request has no caller, although its connection may have one.
    ///
    /// # Errors
    /// Returns [`Denied::Overloaded`] if too much is held for requests without a caller.
    pub fn belongs_to_stranger(&self) -> Result<(), Denied> {
        if self.is_stranger.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let held = self.held.load(Ordering::Relaxed);
        if self.table.hold_for_stranger(held) { Ok(()) } else { Err(Denied::Overloaded) }
    }

    /// Records that the answer is a stream that may last for ever.
    pub fn lasts(&self) {
        self.lasts.store(true, Ordering::Relaxed);
    }

    /// Returns when long streams of this connection must end.
    #[must_use]
    pub fn retiring(&self) -> &CancellationToken {
        self.connection.retiring()
    }

    fn answer_begins(&self) {
        if !self.lasts.load(Ordering::Relaxed) {
            self.period.store(self.connection.answer_begins(), Ordering::Relaxed);
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let held = *self.held.get_mut();
        self.connection.release(held);
        if let Some(owner) = self.owner.get() {
            owner.budget.release(held);
        } else if *self.is_stranger.get_mut() {
            self.table.release_for_stranger(held);
        }
        let period = *self.period.get_mut();
        if period != NO_PERIOD {
            self.connection.answer_read(period);
        }
        self.connection.end();
    }
}

/// The body of a request, counted as it comes in.
#[derive(Debug)]
pub struct RequestBody {
    inner: Incoming,
    stream: Arc<OpenStream>,
}

impl RequestBody {
    pub(super) const fn new(inner: Incoming, stream: Arc<OpenStream>) -> Self {
        Self { inner, stream }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let frame = frame?;
        if let Some(data) = frame.data_ref()
            && !self.stream.hold(data.len())
        {
            return Poll::Ready(Some(Err(Status::from(Denied::Overloaded).into())));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of an answer, counted until the connection has sent it.
#[derive(Debug)]
pub struct Answer<B> {
    inner: B,
    /// The rest of the last piece of the inner body.
    rest: Bytes,
    stream: Arc<OpenStream>,
}

impl<B> Answer<B> {
    pub(super) fn new(inner: B, stream: Arc<OpenStream>) -> Self {
        stream.answer_begins();
        Self { inner, rest: Bytes::new(), stream }
    }

    fn next_piece(&mut self) -> Piece {
        let bytes = if self.rest.len() > PIECE_BYTES {
            self.rest.split_to(PIECE_BYTES)
        } else {
            std::mem::take(&mut self.rest)
        };
        Piece { bytes, _stream: Arc::clone(&self.stream) }
    }
}

impl<B> Body for Answer<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Piece;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, BoxError>>> {
        let this = &mut *self;
        if !this.rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(this.next_piece()))));
        }
        let Some(frame) = ready!(Pin::new(&mut this.inner).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(match frame.map_err(Into::into)?.into_data() {
            Ok(data) if this.stream.hold(data.len()) => {
                this.rest = data;
                Ok(Frame::data(this.next_piece()))
            }
            // gRPC clients report this as `RESOURCE_EXHAUSTED`.
            Ok(_) => Err(h2::Error::from(Reason::ENHANCE_YOUR_CALM).into()),
            Err(frame) => {
                Ok(frame.map_data(|bytes| Piece { bytes, _stream: Arc::clone(&this.stream) }))
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.rest.is_empty() { self.inner.size_hint() } else { SizeHint::default() }
    }
}

/// A piece of an answer. Its request stays open until the connection has sent the piece.
#[derive(Debug)]
pub struct Piece {
    bytes: Bytes,
    _stream: Arc<OpenStream>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        self.bytes.copy_to_bytes(count)
    }
}
