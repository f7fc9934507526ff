//! A connection's bytes, watched: flushes are told, and slow readers cut off.

use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use hyper::rt::Read;
use hyper::rt::ReadBufCursor;
use hyper::rt::Write;
use tokio::time::Sleep;

use super::departure::Pending;

/// A connection that tells when a flush has succeeded, and breaks when one
/// does not succeed in time. hyper flushes it only after it has written all of
/// its own buffer.
pub struct Watched<T> {
    io: T,
    pending: Pending,
    send_timeout: Duration,
    /// Runs from the first write that has to wait for the client to the flush
    /// that succeeds: a client that takes a byte now and then gains nothing.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<T> Watched<T> {
    pub fn new(io: T, pending: Pending, send_timeout: Duration) -> Self {
        Self { io, pending, send_timeout, deadline: None }
    }

    /// The last bytes of a response that was given up must not leave: its
    /// messages are somebody else's by now.
    fn check(&self) -> io::Result<()> {
        match self.pending.is_given_up() {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(()),
        }
    }

    fn in_time<R>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if polled.is_ready() {
            return polled;
        }
        let timeout = self.send_timeout;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        deadline.as_mut().poll(context).map(|()| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes its answer too slowly"))
        })
    }
}

impl<T: Read + Unpin> Read for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<T: Write + Unpin> Write for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let polled = Pin::new(&mut self.io).poll_write(context, bytes);
        self.in_time(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(context);
        if matches!(polled, Poll::Ready(Ok(()))) {
            self.deadline = None;
            self.pending.flushed();
        }
        self.in_time(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_shutdown(context);
        self.in_time(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let polled = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.in_time(context, polled)
    }
}
