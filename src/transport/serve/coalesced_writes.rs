//! Gathers what a connection's requests answer at one moment into one write.
//!
//! Answers come in bursts: those of one batch of the store, or of one read from the network. Each
//! of them wakes its connection, which would send it at once, so that a burst of fifty is fifty
//! system calls here and fifty packets there. So a flush first lets whatever else is ready to run
//! have its turn, once, and then sends all that has come together. There is no timer: where
//! nothing else is ready, the turn comes back at once.
//!
//! Writes of several pieces are not taken: HTTP/2 would hand an answer of 256 bytes, as each with
//! a token is, over by itself and have it flushed before the next, so that two at most gathered.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much may gather before it is sent in any case.
const MAX_GATHERED_BYTES: usize = 64 * 1024;

/// A connection whose writes gather until its flush.
#[derive(Debug)]
pub(super) struct CoalescedWrites<T> {
    inner: T,
    gathered: BytesMut,
    /// Whether the flush under way has let the others go first.
    deferred: bool,
}

impl<T> CoalescedWrites<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, gathered: BytesMut::new(), deferred: false }
    }
}

impl<T: AsyncWrite + Unpin> CoalescedWrites<T> {
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let sent = ready!(Pin::new(&mut self.inner).poll_write(context, &self.gathered))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gathered.advance(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Ready once there is room for more.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.gathered.len() < MAX_GATHERED_BYTES {
            Poll::Ready(Ok(()))
        } else {
            self.poll_send(context)
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for CoalescedWrites<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
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
            // A task that wakes itself goes to the end of the queue.
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

    /// Counts its writes.
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
    async fn what_comes_while_others_have_their_turn_goes_along() {
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
        assert_eq!(gather.written().0, 1, "nothing is sent for nothing");
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
    async fn what_gathers_is_bounded_and_all_of_it_arrives() {
        let mut gather = CoalescedWrites::new(Counted::<Vec<u8>>::default());
        for _ in 0..5 {
            gather.write_all(&vec![0; MAX_GATHERED_BYTES / 2]).await.unwrap();
        }
        assert_eq!(gather.written().1, 2 * MAX_GATHERED_BYTES);
        gather.shutdown().await.unwrap();
        assert_eq!(gather.written().1, 5 * MAX_GATHERED_BYTES / 2);
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_holds_its_writer_up() {
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
