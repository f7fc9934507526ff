//! A byte stream that reports its flushes and cuts off slow readers.

use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use hyper::rt::Read;
use hyper::rt::ReadBufCursor;
use hyper::rt::Write;
use tokio::time::Sleep;

use super::flush::PendingResponses;

/// A stream that reports every successful flush, and fails if one does not
/// succeed in time.
///
/// hyper flushes the stream only after it has written all of its own buffer.
pub struct TrackedIo<T> {
    io: T,
    pending: PendingResponses,
    send_timeout: Duration,
    /// Runs from the first write that has to wait for the client to the next
    /// successful flush. Progress does not restart it, so a client that takes a
    /// byte now and then gains no time.
    deadline: Option<Pin<Box<Sleep>>>,
    /// True while the last write or flush waits for the client.
    stalled: bool,
}

impl<T> TrackedIo<T> {
    /// Wraps `io`; a response that takes longer than `send_timeout` fails.
    pub fn new(io: T, pending: PendingResponses, send_timeout: Duration) -> Self {
        Self { io, pending, send_timeout, deadline: None, stalled: false }
    }

    /// Prepares a write or flush. Fails if a handler has given up a response
    /// that is not flushed yet.
    ///
    /// The last bytes of the response must not reach the client: another client
    /// may hold its messages by now. A TLS stream holds bytes back until its
    /// flush, so this is called before a flush as well.
    fn begin_write(&mut self) -> io::Result<()> {
        if self.pending.is_abandoned() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // Before the bytes leave: a client that has read all of them may send its
        // next request at once, which then has to wait for this response.
        self.set_stalled(false);
        Ok(())
    }

    fn set_stalled(&mut self, stalled: bool) {
        if self.stalled != stalled {
            self.stalled = stalled;
            self.pending.set_stalled(stalled);
        }
    }

    /// Turns `Pending` into an error once the send timeout has passed.
    fn with_deadline<R>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if polled.is_ready() {
            return polled;
        }
        self.set_stalled(true);
        let timeout = self.send_timeout;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        // Polled with the task's context: the timer wakes the task even if the
        // client never reads again.
        deadline.as_mut().poll(context).map(|()| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads the response too slowly"))
        })
    }
}

impl<T: Read + Unpin> Read for TrackedIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // Without a deadline: hyper limits the time for a head
        // (`header_read_timeout`), and the handlers that for a body.
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<T: Write + Unpin> Write for TrackedIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.begin_write()?;
        let polled = Pin::new(&mut self.io).poll_write(context, bytes);
        self.with_deadline(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.begin_write()?;
        let polled = Pin::new(&mut self.io).poll_flush(context);
        if matches!(polled, Poll::Ready(Ok(()))) {
            // The kernel has every byte, so the next response starts with a full
            // timeout, and all notices so far are due.
            self.deadline = None;
            self.pending.flushed();
        }
        self.with_deadline(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A TLS stream writes its `close_notify` here, and before it any bytes
        // that it has held back. Both can wait for the client, too.
        self.begin_write()?;
        let polled = Pin::new(&mut self.io).poll_shutdown(context);
        self.with_deadline(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.begin_write()?;
        let polled = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.with_deadline(context, polled)
    }
}
