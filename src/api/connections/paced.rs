//! [`Paced`]: a connection whose client must take what it asked for. One that reads a few bytes now and then would hold a place,
//! and the memory of an answer, for ever.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// How slowly an answer may be taken: in each `window` of waiting for the client, `least` bytes a second. Time in which there
/// is nothing to send does not count.
#[derive(Clone, Copy, Debug)]
pub struct Taking {
    /// What the bytes are counted over.
    pub window: Duration,
    /// Bytes a second.
    pub least: u32,
}

/// A connection that ends once its client takes too little.
#[derive(Debug)]
pub(super) struct Paced<S> {
    stream: S,
    taking: Taking,
    /// Whether something waits to be taken.
    stuck: Arc<AtomicBool>,
    /// Bytes taken in this window, from its first wait on: what came before went to buffers of the kernel.
    taken: u64,
    /// How long they were waited for.
    waited: Duration,
    /// Since when there is a wait, and the window's end.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<S> Paced<S> {
    /// `stuck` tells others whether something waits to be taken.
    pub(super) fn new(stream: S, taking: Taking, stuck: Arc<AtomicBool>) -> Self {
        Paced { stream, taking, stuck, taken: 0, waited: Duration::ZERO, waiting: None }
    }

    /// What is to be made of an attempt to write, of so many bytes if it got anywhere.
    fn judge<T>(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
        bytes: impl Fn(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        self.stuck.store(wrote.is_pending(), Ordering::Relaxed);
        if wrote.is_ready() {
            self.waited += self.waiting.take().map_or(Duration::ZERO, |(since, _)| since.elapsed());
            self.taken += wrote_bytes(&wrote, bytes);
            return if self.close_window() { wrote } else { Poll::Ready(Err(too_slow())) };
        }
        if self.waited.is_zero() && self.waiting.is_none() {
            self.taken = 0;
        }
        loop {
            let left = self.taking.window.saturating_sub(self.waited);
            let (since, end) = self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
            ready!(end.as_mut().poll(cx));
            self.waited += since.elapsed();
            self.waiting = None;
            if !self.close_window() {
                return Poll::Ready(Err(too_slow()));
            }
        }
    }

    /// Begins another window if this one is over. `false` if too little was taken in it.
    fn close_window(&mut self) -> bool {
        if self.waited < self.taking.window {
            return true;
        }
        let enough = self.taken as f64 >= self.taking.window.as_secs_f64() * f64::from(self.taking.least);
        (self.taken, self.waited) = (0, Duration::ZERO);
        enough
    }
}

fn wrote_bytes<T>(wrote: &Poll<io::Result<T>>, bytes: impl Fn(&T) -> usize) -> u64 {
    match wrote {
        Poll::Ready(Ok(wrote)) => bytes(wrote) as u64,
        _ => 0,
    }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client takes too little of its answer")
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.judge(cx, wrote, |bytes| *bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.judge(cx, wrote, |bytes| *bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, flushed, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(cx, shut, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// Whether an answer of 20,000 bytes arrives at a client that takes `bytes` every `pause` milliseconds, where 3,000 bytes are
    /// the least in each 300 ms.
    async fn sent(bytes: usize, pause: u64) -> bool {
        let (server, mut client) = duplex(1000);
        let mut server =
            Paced::new(server, Taking { window: Duration::from_millis(300), least: 10_000 }, Arc::default());
        let reader = tokio::spawn(async move {
            let mut taken = vec![0; bytes];
            loop {
                sleep(Duration::from_millis(pause)).await;
                if client.read(&mut taken).await.is_ok_and(|n| n == 0) {
                    return;
                }
            }
        });
        let wrote = server.write_all(&[7; 20_000]).await;
        reader.abort();
        wrote.is_ok()
    }

    #[tokio::test]
    async fn who_takes_too_little_is_ended_and_who_pauses_is_not() {
        let all = tokio::join!(sent(1000, 1), sent(1000, 40), sent(10, 290), sent(1, 1), sent(1000, 60_000));
        assert_eq!(all, (true, true, false, false, false));
    }
}
