//! The bytes of an HTTP/1.1 connection, which outlive the connection of `hyper`
//! that reads and writes them.
//!
//! A connection of `hyper` holds 26 KB: two buffers and a channel. While a call
//! waits for a slow CSP, these are empty. So they are dropped, and made again
//! when the response begins: a new connection of `hyper` gets the same stream,
//! a request whose bytes are not written, and the bytes that were received
//! meanwhile.

use std::future::poll_fn;
use std::io;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::BytesMut;
use hyper::rt::Read;
use hyper::rt::ReadBuf;
use hyper::rt::ReadBufCursor;
use hyper::rt::Write;

use crate::transport::connector::Stream;

/// The most bytes of a response that are read without a buffer of `hyper`.
const FIRST_BYTES_MAX: usize = 1_024;

/// The stream of a connection.
#[derive(Debug)]
pub struct Wire {
    stream: Stream,
    request: Arc<RequestProgress>,
    /// The bytes that were received and not read yet. They are read before the
    /// stream.
    received: BytesMut,
    /// The error behind these bytes. The stream reports it once.
    failure: Option<io::Error>,
    /// The request was sent before, so its bytes are dropped. Nothing is read
    /// until they are: `hyper` takes what comes before a request for a fault of
    /// the peer.
    is_repeated: bool,
}

/// The way of a request from `hyper` to the stream.
///
/// It is changed by the task that polls the connection, and by no other. A flush
/// alone does not tell that the request was written: `hyper` flushes when it has
/// written nothing, too, and may take the request at a later poll.
#[derive(Debug)]
pub struct RequestProgress(AtomicU8);

impl RequestProgress {
    /// No byte of the request has been written.
    const AWAITED: u8 = 0;
    /// Bytes of it have been written. The next flush is behind the last one.
    const WRITTEN: u8 = 1;
    const SENT: u8 = 2;

    /// Notes that `hyper` is about to get a request.
    pub fn begin(&self) {
        self.0.store(Self::AWAITED, Ordering::Relaxed);
    }

    /// Returns true if all of the request has left.
    pub fn is_sent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::SENT
    }

    fn write(&self) {
        self.0.store(Self::WRITTEN, Ordering::Relaxed);
    }

    fn flush(&self) {
        if self.0.load(Ordering::Relaxed) == Self::WRITTEN {
            self.0.store(Self::SENT, Ordering::Relaxed);
        }
    }
}

impl Wire {
    /// Takes a stream on which nothing was sent.
    pub fn new(stream: Stream) -> Self {
        let request = Arc::new(RequestProgress(AtomicU8::new(RequestProgress::AWAITED)));
        Self { stream, request, received: BytesMut::new(), failure: None, is_repeated: false }
    }

    /// Returns the progress of the connection's request.
    pub fn progress(&self) -> Arc<RequestProgress> {
        Arc::clone(&self.request)
    }

    /// Goes on behind a request that was sent, with `unread` bytes of its
    /// response, for another connection of `hyper` that gets the same request.
    pub fn after_request(self, unread: &[u8]) -> Self {
        // A copy: as `Bytes`, they keep the whole buffer of `hyper`, also if there
        // are none.
        Self { received: BytesMut::from(unread), is_repeated: true, ..self }
    }

    /// Waits until more bytes have been received, or no more will come.
    pub async fn more(&mut self) {
        poll_fn(|context| self.poll_more(context)).await;
    }

    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [MaybeUninit::uninit(); FIRST_BYTES_MAX];
        let mut buffer = ReadBuf::uninit(&mut bytes);
        match ready!(Pin::new(&mut self.stream).poll_read(context, buffer.unfilled())) {
            // At its end, the stream says so again.
            Ok(()) => self.received.extend_from_slice(buffer.filled()),
            Err(error) => self.failure = Some(error),
        }
        Poll::Ready(())
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_repeated {
            // No waker is kept: the connection is polled once more after the
            // request.
            return Poll::Pending;
        }
        if !self.received.is_empty() {
            let fitting = self.received.len().min(buffer.remaining());
            buffer.put_slice(&self.received.split_to(fitting));
            return Poll::Ready(Ok(()));
        }
        match self.failure.take() {
            Some(error) => Poll::Ready(Err(error)),
            None => Pin::new(&mut self.stream).poll_read(context, buffer),
        }
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.request.write();
        if self.is_repeated {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.request.flush();
        if self.request.is_sent() {
            self.is_repeated = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.request.write();
        if self.is_repeated {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use hyper_util::rt::TokioIo;
    use tokio::io::AsyncReadExt as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn bytes_that_were_read_before_are_no_reason_to_go_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        let wire = Wire::new(Stream::Plain(TokioIo::new(stream)));
        let mut wire = wire.after_request(b"HTTP/1.1 2");
        assert!(wire.more().now_or_never().is_none());
        peer.write_all(b"00 OK").await.unwrap();
        wire.more().await;
        drop(peer);
        let mut wire = TokioIo::new(wire);
        // The request, which was sent before.
        wire.write_all(b"GET / HTTP/1.1").await.unwrap();
        wire.flush().await.unwrap();
        let mut read = String::new();
        wire.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "HTTP/1.1 200 OK");
    }
}
