//! Closes connections that send too little at the start.
//!
//! The HTTP servers start their timeouts only after they know the HTTP version. Without this timeout,
//! a client could keep a silent connection open for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// The length of HTTP/2's preface (RFC 9113 section 3.4). Every HTTP/1.1 request with its required
/// `Host` header is longer.
const PREFACE_BYTES: usize = 24;

/// A connection that must send [`PREFACE_BYTES`] in time.
#[derive(Debug)]
pub(super) struct FirstByteTimeout<T> {
    inner: T,
    /// The number of missing bytes, and when they are due.
    awaited: Option<(usize, Pin<Box<Sleep>>)>,
}

impl<T> FirstByteTimeout<T> {
    pub(super) fn within(time: Duration, inner: T) -> Self {
        Self { inner, awaited: Some((PREFACE_BYTES, Box::pin(tokio::time::sleep(time)))) }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for FirstByteTimeout<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        if let Some((missing, until)) = &mut self.awaited {
            let read = buffer.filled().len() - before;
            if read >= *missing {
                self.awaited = None;
            } else {
                *missing -= read;
                if until.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for FirstByteTimeout<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
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

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_closed_and_a_speaking_one_is_kept() {
        let (mut client, server) = tokio::io::duplex(64);
        let mut quiet = FirstByteTimeout::within(Duration::from_secs(10), server);
        client.write_all(b"PRI").await.unwrap();
        let mut all = Vec::new();
        let cut = quiet.read_to_end(&mut all).await.unwrap_err();
        assert_eq!((cut.kind(), all.len()), (io::ErrorKind::TimedOut, 3));

        let (mut client, server) = tokio::io::duplex(64);
        let mut fine = FirstByteTimeout::within(Duration::from_secs(10), server);
        client.write_all(&[b'x'; PREFACE_BYTES]).await.unwrap();
        fine.read_exact(&mut [0; PREFACE_BYTES]).await.unwrap();
        tokio::time::sleep(Duration::from_mins(1)).await;
        client.write_all(b"later").await.unwrap();
        drop(client);
        all.clear();
        fine.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"later");
    }
}
