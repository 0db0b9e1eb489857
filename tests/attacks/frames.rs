//! A client that sends HTTP/2 frames by hand, and does what no library does.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// If a write takes longer, the service no longer reads.
const PATIENCE: Duration = Duration::from_millis(300);

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Encodes a header field without indexing (RFC 7541 section 6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        bytes.push(u8::try_from(text.len()).unwrap());
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// Encodes a request without a body.
pub(crate) fn request(stream: u32, method: &str, path: &str) -> Vec<u8> {
    head(stream, method, path, END_HEADERS | END_STREAM, &[])
}

/// Encodes a request whose header fields follow later.
pub(crate) fn begun(stream: u32, method: &str, path: &str) -> Vec<u8> {
    head(stream, method, path, 0, &[])
}

/// Encodes a caller's request with a message.
pub(crate) fn call(stream: u32, path: &str, key: &str, message: &[u8]) -> Vec<u8> {
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    [unfinished(stream, path, key), frame(DATA, END_STREAM, stream, &body)].concat()
}

/// Encodes a caller's request whose body follows later.
pub(crate) fn unfinished(stream: u32, path: &str, key: &str) -> Vec<u8> {
    head(stream, "POST", path, END_HEADERS, &literal("authorization", &format!("Bearer {key}")))
}

fn head(stream: u32, method: &str, path: &str, flags: u8, more: &[u8]) -> Vec<u8> {
    let fields = [
        literal(":method", method),
        literal(":scheme", "http"),
        literal(":path", path),
        literal(":authority", "localhost"),
        literal("content-type", "application/grpc"),
        literal("te", "trailers"),
    ];
    frame(HEADERS, flags, stream, &[&fields.concat(), more].concat())
}

/// A frame that has come.
struct Frame<'a> {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &'a [u8],
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// The bytes that were read.
    read: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// After GOAWAY with that code.
    Goaway(u32),
    /// Without GOAWAY.
    Closed,
}

impl Connection {
    /// Connects. `window`: how much of each answer may be sent.
    pub(crate) async fn open(address: SocketAddr, window: u32) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        let mut settings = vec![0, 4];
        settings.extend(window.to_be_bytes());
        let hello = [PREFACE, &frame(SETTINGS, 0, 0, &settings)].concat();
        stream.write_all(&hello).await?;
        Ok(Self { stream, read: Vec::new() })
    }

    /// Sends bytes. Returns `false` if the service takes no more.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        let sending = tokio::time::timeout(PATIENCE, self.stream.write_all(bytes));
        matches!(sending.await, Ok(Ok(())))
    }

    /// Reads what has come. Returns whether the connection is still open.
    pub(crate) async fn drain(&mut self) -> bool {
        let mut space = vec![0; 1 << 16];
        loop {
            let soon = Duration::from_millis(1);
            match tokio::time::timeout(soon, self.stream.read(&mut space)).await {
                Ok(Ok(read @ 1..)) => self.read.extend_from_slice(&space[..read]),
                Ok(_) => return false,
                Err(_) => return true,
            }
        }
    }

    /// Returns whether GOAWAY has come.
    pub(crate) async fn has_goaway(&mut self) -> bool {
        !self.drain().await || self.goaway().is_some()
    }

    /// Returns the code of GOAWAY, if it has come.
    fn goaway(&self) -> Option<u32> {
        let goaway = self.frames().filter(|frame| frame.kind == GOAWAY).last()?;
        Some(u32::from_be_bytes(goaway.payload[4..8].try_into().unwrap()))
    }

    /// Returns the last stream that GOAWAY names, if it has come.
    pub(crate) fn last_stream(&self) -> Option<u32> {
        let goaway = self.frames().filter(|frame| frame.kind == GOAWAY).last()?;
        Some(u32::from_be_bytes(goaway.payload[..4].try_into().unwrap()))
    }

    /// Reads what has come. Returns whether the answer to that stream is complete.
    pub(crate) async fn is_answered(&mut self, stream: u32) -> bool {
        self.drain().await;
        self.frames().any(|frame| {
            let carries = matches!(frame.kind, DATA | HEADERS);
            frame.stream == stream && carries && frame.flags & END_STREAM != 0
        })
    }

    /// Returns the contents of the pings that have come.
    pub(crate) fn pings(&self) -> Vec<Vec<u8>> {
        let pings = self.frames().filter(|frame| frame.kind == PING && frame.flags & ACK == 0);
        pings.map(|frame| frame.payload.to_vec()).collect()
    }

    /// Returns the frames that have come.
    fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let mut rest = &self.read[..];
        std::iter::from_fn(move || {
            let [a, b, c, kind, flags, stream @ ..] = rest else { return None };
            let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            let (stream, payload) = stream.split_first_chunk::<4>()?;
            let (payload, after) = payload.split_at_checked(length)?;
            rest = after;
            let stream = u32::from_be_bytes(*stream);
            Some(Frame { kind: *kind, flags: *flags, stream, payload })
        })
    }

    /// Reads to the connection's end.
    ///
    /// # Panics
    /// Panics if it does not end in time.
    pub(crate) async fn ended(mut self, within: Duration) -> End {
        let deadline = Instant::now() + within;
        while self.drain().await {
            assert!(Instant::now() < deadline, "the connection goes on");
        }
        self.goaway().map_or(End::Closed, End::Goaway)
    }
}
