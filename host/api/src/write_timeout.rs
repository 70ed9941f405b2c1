//! A connection that ends if the client does not take what is sent to it.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Bytes that a client must take within the time limit, if there are that many. A client that takes a byte now and then
/// must not keep an answer for ever.
const PROGRESS: usize = 64 << 10;

/// A stream whose writes fail if the other end takes too little for too long.
pub(crate) struct WriteTimeout<S> {
    stream: S,
    limit: Duration,
    /// Since a write had to wait: the end of the time limit, and the bytes written.
    waiting: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S> WriteTimeout<S> {
    pub(crate) fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, waiting: None }
    }

    /// Notes the result of a write.
    fn note<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        bytes: impl Fn(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match &written {
            Poll::Pending => {
                let (limit, _) = self.waiting.get_or_insert_with(|| (Box::pin(sleep(self.limit)), 0));
                ready!(pin!(limit.as_mut()).poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take the answer")))
            }
            Poll::Ready(Ok(value)) => {
                if let Some((_, taken)) = &mut self.waiting {
                    *taken += bytes(value);
                }
                if self.waiting.as_ref().is_some_and(|(_, taken)| *taken >= PROGRESS) {
                    self.waiting = None;
                }
                written
            }
            Poll::Ready(Err(_)) => written,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(cx, written, |taken| *taken)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(cx, written, |taken| *taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        // Everything was taken.
        self.note(cx, flushed, |()| PROGRESS)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up_after_the_limit() {
        let (_client, server) = duplex(1_024);
        let began = Instant::now();
        let written = WriteTimeout::new(server, LIMIT).write_all(&[0; 4_096]).await;
        assert_eq!(written.expect_err("nobody reads").kind(), io::ErrorKind::TimedOut);
        assert!((LIMIT..LIMIT * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_byte_now_and_then_is_given_up_too() {
        let (mut client, server) = duplex(1_024);
        let slow = tokio::spawn(async move {
            while client.read_u8().await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let began = Instant::now();
        let written = WriteTimeout::new(server, LIMIT).write_all(&[0; 1 << 20]).await;
        assert_eq!(written.expect_err("it is too slow").kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() < LIMIT * 2, "{:?}", began.elapsed());
        slow.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_goes_on_reading_has_as_long_as_it_takes() {
        const PIECES: usize = 20;
        let (mut client, server) = duplex(PROGRESS);
        let reading = tokio::spawn(async move {
            let mut piece = vec![0; PROGRESS];
            for _ in 0..PIECES {
                client.read_exact(&mut piece).await?;
                tokio::time::sleep(LIMIT / 2).await;
            }
            io::Result::Ok(())
        });
        let mut server = WriteTimeout::new(server, LIMIT);
        let began = Instant::now();
        server.write_all(&vec![0; PIECES * PROGRESS]).await.expect("the client reads");
        server.flush().await.expect("the client reads");
        assert!(began.elapsed() > LIMIT * 5, "{:?}", began.elapsed());
        assert!(server.waiting.is_none(), "a later answer has its own time");
        reading.await.expect("it does not panic").expect("it reads everything");
    }
}
