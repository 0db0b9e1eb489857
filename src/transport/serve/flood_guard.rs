//! Ends HTTP/2 connections that are flooded with control frames.
//!
//! A peer may send PING, SETTINGS, `WINDOW_UPDATE` and other frames without end. Each costs the service
//! time, and none belongs to a request, so no rate limit of requests counts them. This wrapper reads
//! the frames' headers (RFC 9113 section 4.1):
//!
//! 1. Each connection has an allowance of control frames, which grows slowly with time.
//! 2. Frames that belong to requests and answers add to it, because clients send control frames in
//!    return for answers: `WINDOW_UPDATE`, and PING to measure the bandwidth.
//! 3. A connection without allowance receives GOAWAY with `ENHANCE_YOUR_CALM` (RFC 9113 section 7) and
//!    is no longer read from. It is closed after a moment, so that the peer can read the reason.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How many control frames a connection may send at once.
const BURST: u32 = 1000;

/// How many control frames a connection may send per second without any request.
const PER_SECOND: u32 = 100;

/// How many control frames each frame of an answer allows for.
const PER_ANSWER_FRAME: u32 = 4;

/// How long a flooded connection stays open for the peer to read GOAWAY.
const LINGER: Duration = Duration::from_secs(1);

/// How much is read and discarded in the meantime. A socket that is closed with unread bytes resets
/// the connection, and the peer may lose GOAWAY.
const MAX_DISCARDED_BYTES: usize = 1024 * 1024;

/// The first bytes of an HTTP/2 connection (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADER_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

/// Finds the headers of frames in a stream of bytes.
#[derive(Debug, Default)]
pub(super) struct FrameScanner {
    /// How many bytes of the current frame's payload are still to come.
    payload: usize,
    header: [u8; HEADER_BYTES],
    /// How many bytes of the next header are there.
    filled: usize,
}

impl FrameScanner {
    /// Reads bytes, and passes on each frame's header.
    pub(super) fn scan(&mut self, mut bytes: &[u8], mut found: impl FnMut(FrameHeader)) {
        while !bytes.is_empty() {
            let skipped = self.payload.min(bytes.len());
            self.payload -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let missing = (HEADER_BYTES - self.filled).min(bytes.len());
            let (part, rest) = bytes.split_at(missing);
            if let Some(place) = self.header.get_mut(self.filled..self.filled + missing) {
                place.copy_from_slice(part);
            }
            self.filled += missing;
            bytes = rest;
            if self.filled == HEADER_BYTES {
                let [a, b, c, kind, flags, stream @ ..] = self.header;
                self.filled = 0;
                self.payload = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
                found(FrameHeader { length: self.payload, kind, flags, stream });
            }
        }
    }

    /// Returns whether the bytes so far end with a whole frame.
    pub(super) const fn is_at_boundary(&self) -> bool {
        self.payload == 0 && self.filled == 0
    }
}

/// How many control frames are allowed now.
#[derive(Debug)]
struct Allowance {
    left: u32,
    counted_at: Instant,
}

impl Allowance {
    fn earn(&mut self, frames: u32) {
        self.left = (self.left + frames).min(BURST);
    }

    /// Counts a control frame. Returns `false` if it is one too many.
    fn spend(&mut self) -> bool {
        if self.left == 0 {
            // The clock is read only here, so that honest connections never pay for it.
            let passed = self.counted_at.elapsed().as_millis() * u128::from(PER_SECOND) / 1000;
            if passed > 0 {
                self.counted_at = Instant::now();
                self.earn(u32::try_from(passed).unwrap_or(BURST));
            }
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[derive(Debug)]
enum State {
    /// The first bytes are still being compared with the preface. This number of them has matched.
    Preface(usize),
    /// The connection does not speak HTTP/2.
    Other,
    /// The connection speaks HTTP/2.
    Open,
    /// Too many control frames have arrived. GOAWAY is being sent, and further input is discarded.
    Flooded { until: Pin<Box<Sleep>>, discarded: usize },
}

/// A connection whose control frames are limited.
#[derive(Debug)]
pub(super) struct FloodGuard<T> {
    inner: T,
    state: State,
    incoming: FrameScanner,
    outgoing: FrameScanner,
    allowance: Allowance,
    last_stream: u32,
}

impl<T> FloodGuard<T> {
    pub(super) fn new(inner: T) -> Self {
        Self {
            inner,
            state: State::Preface(0),
            incoming: FrameScanner::default(),
            outgoing: FrameScanner::default(),
            allowance: Allowance { left: BURST, counted_at: Instant::now() },
            last_stream: 0,
        }
    }

    /// Reads received bytes. Returns `false` if they contain too many control frames.
    fn count(&mut self, mut bytes: &[u8]) -> bool {
        if let State::Preface(matched) = self.state {
            let expected = PREFACE.get(matched..).unwrap_or_default();
            let length = expected.len().min(bytes.len());
            let (begin, rest) = bytes.split_at(length);
            self.state = match expected.strip_prefix(begin) {
                None => State::Other,
                Some([]) => State::Open,
                Some(_) => State::Preface(matched + length),
            };
            bytes = rest;
        }
        if !matches!(self.state, State::Open) {
            return true;
        }
        let Self { incoming, allowance, last_stream, .. } = self;
        let mut within = true;
        incoming.scan(bytes, |frame| {
            match frame.kind {
                HEADERS => {
                    *last_stream = frame.stream.max(*last_stream);
                    allowance.earn(1);
                }
                DATA if frame.length > 0 => allowance.earn(1),
                // An empty DATA frame may end a request.
                DATA if frame.flags & END_STREAM != 0 => {}
                _ => within &= allowance.spend(),
            }
        });
        within
    }
}

impl<T: AsyncWrite + Unpin> FloodGuard<T> {
    /// Begins to end the connection.
    fn begin_end(&mut self, context: &mut Context<'_>) {
        tracing::debug!("an HTTP/2 connection sends too many control frames");
        if self.outgoing.is_at_boundary() {
            let mut frame = [0; HEADER_BYTES + 8];
            let (header, payload) = frame.split_at_mut(HEADER_BYTES);
            header.copy_from_slice(&[0, 0, 8, GOAWAY, 0, 0, 0, 0, 0]);
            let (last, code) = payload.split_at_mut(4);
            last.copy_from_slice(&self.last_stream.to_be_bytes());
            code.copy_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
            // If the peer reads nothing, it does not receive GOAWAY.
            let _ = Pin::new(&mut self.inner).poll_write(context, &frame);
        }
        let until = Box::pin(tokio::time::sleep(LINGER));
        self.state = State::Flooded { until, discarded: 0 };
    }

    fn is_flooded(&self) -> bool {
        matches!(self.state, State::Flooded { .. })
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> FloodGuard<T> {
    /// Sends GOAWAY and discards input until the peer has closed the connection or the time is
    /// over.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let over = || Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        let State::Flooded { until, discarded } = &mut self.state else { return over() };
        let _ = Pin::new(&mut self.inner).poll_shutdown(context);
        loop {
            if until.as_mut().poll(context).is_ready() || *discarded > MAX_DISCARDED_BYTES {
                return over();
            }
            let mut space = [0; 4096];
            let mut buffer = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.inner).poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                return over();
            }
            *discarded += buffer.filled().len();
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for FloodGuard<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_flooded() {
            return self.poll_end(context);
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        if self.count(read) {
            return Poll::Ready(Ok(()));
        }
        buffer.set_filled(before);
        self.begin_end(context);
        self.poll_end(context)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for FloodGuard<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_flooded() {
            // Nothing follows GOAWAY.
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, bytes))?;
        // The first SETTINGS frame may be written before the preface is read.
        if !matches!(self.state, State::Other) {
            let Self { outgoing, allowance, .. } = &mut *self;
            outgoing.scan(bytes.get(..written).unwrap_or_default(), |frame| {
                if matches!(frame.kind, DATA | HEADERS) {
                    allowance.earn(PER_ANSWER_FRAME);
                }
            });
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const PING: u8 = 6;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([kind, flags, 0, 0, 0, 1]);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn frames_are_found_wherever_the_bytes_are_cut() {
        let frames = [frame(HEADERS, 4, &[7; 300]), frame(PING, 0, &[0; 8]), frame(DATA, 1, &[])];
        let bytes = frames.concat();
        for size in [1, 2, 8, 9, 10, 100, bytes.len()] {
            let (mut scanner, mut found) = (FrameScanner::default(), Vec::new());
            for part in bytes.chunks(size) {
                scanner.scan(part, |frame| found.push((frame.kind, frame.length)));
            }
            assert_eq!(found, [(HEADERS, 300), (PING, 8), (DATA, 0)], "{size}");
            assert!(scanner.is_at_boundary());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_ends_with_goaway_and_the_reason() {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let mut guard = FloodGuard::new(server);
        let pings = frame(PING, 0, &[0; 8]).repeat(BURST as usize + 1);
        client.write_all(&[PREFACE, &pings].concat()).await.unwrap();
        let mut all = Vec::new();
        let ended = guard.read_to_end(&mut all).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::ConnectionAborted);
        drop(guard);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, [&[0, 0, 8, GOAWAY, 0, 0, 0, 0, 0][..], &[0; 7], &[11]].concat());
    }

    #[tokio::test(start_paused = true)]
    async fn control_frames_in_return_for_answers_are_no_flood() {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let mut guard = FloodGuard::new(server);
        client.write_all(PREFACE).await.unwrap();
        guard.read_exact(&mut [0; PREFACE.len()]).await.unwrap();
        let pings = frame(PING, 0, &[0; 8]).repeat(4);
        for _ in 0..2 * BURST {
            client.write_all(&pings).await.unwrap();
            guard.read_exact(&mut vec![0; pings.len()]).await.unwrap();
            guard.write_all(&frame(DATA, 0, b"answer")).await.unwrap();
            client.read_exact(&mut [0; 15]).await.unwrap();
        }
        // Time alone allows for some as well.
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            client.write_all(&pings).await.unwrap();
            guard.read_exact(&mut vec![0; pings.len()]).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn other_protocols_are_left_alone() {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let mut guard = FloodGuard::new(server);
        let request = b"POST / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(5000);
        client.write_all(&request).await.unwrap();
        drop(client);
        let mut all = Vec::new();
        guard.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len(), request.len());
    }
}
