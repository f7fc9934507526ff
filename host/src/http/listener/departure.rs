//! Knowing that a response has left.
//!
//! HTTP/1.1 only: on a connection that carries one response at a time, a flush
//! that succeeds after the body's end means that the kernel has every byte of
//! that response. On a multiplexed connection it would say nothing. A TLS
//! stream's flush succeeds when its last record has been written to the
//! socket, so the same holds there.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::Context;
use std::task::Poll;

use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use tokio::sync::oneshot;

use super::seat::Busy;

/// Tells a handler whether its response has left. Put it into the response's
/// extensions: `true` arrives when the kernel has taken the last byte, and the
/// channel closes without it when the connection breaks before.
#[derive(Debug, Clone)]
pub struct Departure(Arc<Mutex<Option<oneshot::Sender<()>>>>);

impl Departure {
    /// A notice, and where to wait for it.
    pub fn new() -> (Self, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(sender)))), receiver)
    }

    pub(super) fn take(&self) -> Option<oneshot::Sender<()>> {
        self.0.lock().expect("no one panics while holding the notice").take()
    }
}

/// Notices whose responses hyper has in its buffer, waiting for a flush.
#[derive(Debug, Clone, Default)]
pub struct Pending(Arc<Mutex<Vec<oneshot::Sender<()>>>>);

impl Pending {
    fn add(&self, notice: oneshot::Sender<()>) {
        self.0.lock().expect("no one panics while holding the notices").push(notice);
    }

    /// Whether a handler has given a response up that has not left yet.
    pub fn is_given_up(&self) -> bool {
        let pending = self.0.lock().expect("no one panics while holding the notices");
        pending.iter().any(oneshot::Sender::is_closed)
    }

    /// Everything that was handed over has left.
    pub fn flushed(&self) {
        let mut pending = self.0.lock().expect("no one panics while holding the notices");
        for notice in pending.drain(..) {
            // Who no longer waits need not be told.
            let _ = notice.send(());
        }
    }
}

/// A response's body that knows when its last frame has been handed over.
pub struct Departing<B> {
    body: B,
    notice: Option<oneshot::Sender<()>>,
    pending: Pending,
    /// The connection has a request in hand until the body is gone.
    _busy: Busy,
}

impl<B: Body> Departing<B> {
    pub fn new(body: B, notice: Option<oneshot::Sender<()>>, pending: Pending, busy: Busy) -> Self {
        let mut departing = Self { body, notice, pending, _busy: busy };
        // hyper does not ask an empty body for frames.
        departing.handed_over_if_ended();
        departing
    }

    /// hyper takes a frame into its buffer before it does anything else, so
    /// the next flush that succeeds comes after the last byte.
    fn handed_over_if_ended(&mut self) {
        if self.body.is_end_stream()
            && let Some(notice) = self.notice.take()
        {
            self.pending.add(notice);
        }
    }
}

impl<B: Body + Unpin> Body for Departing<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(None) => {
                if let Some(notice) = self.notice.take() {
                    self.pending.add(notice);
                }
            }
            Poll::Ready(Some(Ok(_))) => self.handed_over_if_ended(),
            // A body that breaks has not left: the notice goes with it.
            Poll::Ready(Some(Err(_))) => self.notice = None,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
