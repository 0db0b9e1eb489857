//! Coalesces the answers of a connection into few writes.
//!
//! Answers come in bursts: from one batch of the store, or for the requests of one read. Each answer
//! wakes its connection, which would send it at once: fifty answers would be fifty system calls and
//! fifty packets. So a flush first yields to the other ready tasks, once, and then sends everything
//! that was written meanwhile. There is no timer: if no other task is ready, the flush continues at
//! once.
//!
//! Vectored writes are not offered. With them, HTTP/2 would pass on each answer of more than 256 bytes
//! (every answer with a token) by itself and flush it before the next, so that at most two would be
//! sent together.
//!
//! A connection that does not take its answers is not read from, and it is closed after
//! [`STALL_TIMEOUT`]. Otherwise a client could make the service hold any number of answers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// The number of bytes that are sent without waiting for a flush. A connection with so many unsent
/// bytes is not read from.
const MAX_GATHERED_BYTES: usize = 64 * 1024;

/// How long a peer may accept no byte while there are unsent ones. With a lower value, a phone in a
/// tunnel loses its answer. With a higher value, a client that reads nothing holds memory for
/// longer.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that keeps written bytes until it is flushed.
#[derive(Debug)]
pub(super) struct CoalescedWrites<T> {
    inner: T,
    gathered: BytesMut,
    /// Whether the current flush has yielded to the other tasks.
    deferred: bool,
    /// The time by which the peer must have accepted a byte.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<T> CoalescedWrites<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, gathered: BytesMut::new(), deferred: false, stalled: None }
    }
}

impl<T: AsyncWrite + Unpin> CoalescedWrites<T> {
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            match Pin::new(&mut self.inner).poll_write(context, &self.gathered)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(sent) => {
                    self.gathered.advance(sent);
                    self.stalled = None;
                }
                Poll::Pending => return self.poll_stalled(context),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Fails if the peer has accepted no byte for too long.
    fn poll_stalled(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stalled =
            self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL_TIMEOUT)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Is ready as soon as there is room for more bytes.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.gathered.len() < MAX_GATHERED_BYTES {
            Poll::Ready(Ok(()))
        } else {
            self.poll_send(context)
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for CoalescedWrites<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_room(context))?;
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for CoalescedWrites<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(context))?;
        self.gathered.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.gathered.is_empty() && !self.deferred {
            self.deferred = true;
            // A task that wakes itself goes to the end of the scheduler's queue.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.poll_send(context))?;
        self.deferred = false;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::{BodyExt as _, Empty, Full};
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::Barrier;

    /// Counts writes.
    #[derive(Default)]
    struct Counted<T> {
        inner: T,
        writes: Arc<AtomicUsize>,
    }

    impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_read(context, buffer)
        }
    }

    impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.writes.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut self.inner).poll_write(context, bytes)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl CoalescedWrites<Counted<Vec<u8>>> {
        fn written(&self) -> (usize, usize) {
            (self.inner.writes.load(Ordering::Relaxed), self.inner.inner.len())
        }
    }

    #[tokio::test]
    async fn bytes_that_are_written_while_other_tasks_run_join_the_flush() {
        let mut gather = CoalescedWrites::new(Counted::<Vec<u8>>::default());
        gather.write_all(b"one").await.unwrap();
        let mut turns = 0;
        std::future::poll_fn(|context| {
            turns += 1;
            let flushed = Pin::new(&mut gather).poll_flush(context);
            if flushed.is_pending() {
                assert!(Pin::new(&mut gather).poll_write(context, b"two").is_ready());
            }
            flushed
        })
        .await
        .unwrap();
        assert_eq!((turns, gather.written()), (2, (1, 6)));
        gather.flush().await.unwrap();
        assert_eq!(gather.written().0, 1, "an empty flush writes nothing");
    }

    #[tokio::test]
    async fn a_burst_of_answers_with_tokens_goes_in_few_writes() {
        const BURST: usize = 50;
        let (theirs, ours) = tokio::io::duplex(1 << 20);
        let writes = Arc::new(AtomicUsize::new(0));
        let counted = Counted { inner: ours, writes: Arc::clone(&writes) };
        let all_here = Arc::new(Barrier::new(BURST));
        let service = service_fn(move |_| {
            let all_here = Arc::clone(&all_here);
            async move {
                all_here.wait().await;
                let answer = Full::new(Bytes::from(vec![b'x'; 600]));
                Ok::<_, Infallible>(Response::new(answer))
            }
        });
        let executor = TokioExecutor::new();
        let server = hyper::server::conn::http2::Builder::new(executor.clone());
        tokio::spawn(server.serve_connection(TokioIo::new(CoalescedWrites::new(counted)), service));
        let (client, connection) =
            hyper::client::conn::http2::handshake(executor, TokioIo::new(theirs)).await.unwrap();
        tokio::spawn(connection);
        let answers = (0..BURST).map(|_| {
            let mut client = client.clone();
            async move {
                let request = Request::get("http://here/").body(Empty::<Bytes>::new()).unwrap();
                let answer = client.send_request(request).await.unwrap();
                answer.into_body().collect().await.unwrap().to_bytes().len()
            }
        });
        assert_eq!(futures::future::join_all(answers).await, [600; BURST]);
        let writes = writes.load(Ordering::Relaxed);
        assert!(writes < BURST / 4, "{writes} writes");
    }

    #[tokio::test]
    async fn unsent_bytes_are_bounded_and_all_of_them_arrive() {
        let mut gather = CoalescedWrites::new(Counted::<Vec<u8>>::default());
        for _ in 0..5 {
            gather.write_all(&vec![0; MAX_GATHERED_BYTES / 2]).await.unwrap();
        }
        assert_eq!(gather.written().1, 2 * MAX_GATHERED_BYTES);
        gather.shutdown().await.unwrap();
        assert_eq!(gather.written().1, 5 * MAX_GATHERED_BYTES / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_not_read_from_and_then_closed() {
        let (mut client, ours) = tokio::io::duplex(1024);
        let mut gather = CoalescedWrites::new(ours);
        client.write_all(b"one more request").await.unwrap();
        gather.write_all(&vec![0; 2 * MAX_GATHERED_BYTES]).await.unwrap();
        let before = tokio::time::Instant::now();
        let ended = gather.read(&mut [0; 64]).await.unwrap_err();
        assert_eq!((ended.kind(), before.elapsed()), (io::ErrorKind::TimedOut, STALL_TIMEOUT));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_that_takes_some_bytes_in_time_is_kept() {
        let (mut client, ours) = tokio::io::duplex(1024);
        let mut gather = CoalescedWrites::new(ours);
        let writing = tokio::spawn(async move {
            gather.write_all(&vec![0; MAX_GATHERED_BYTES]).await.unwrap();
            gather.shutdown().await.unwrap();
        });
        for _ in 0..MAX_GATHERED_BYTES / 1024 {
            tokio::time::sleep(STALL_TIMEOUT / 2).await;
            client.read_exact(&mut [0; 1024]).await.unwrap();
        }
        writing.await.unwrap();
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_stops_the_writer() {
        let (mut slow, ours) = tokio::io::duplex(1024);
        let mut gather = CoalescedWrites::new(ours);
        let writing = tokio::spawn(async move {
            for _ in 0..100 {
                gather.write_all(&[7; 4096]).await.unwrap();
            }
            gather.flush().await.unwrap();
        });
        tokio::task::yield_now().await;
        assert!(!writing.is_finished());
        let mut all = Vec::new();
        slow.read_to_end(&mut all).await.unwrap();
        assert_eq!((all.len(), all.iter().all(|byte| *byte == 7)), (409_600, true));
        writing.await.unwrap();
    }
}
