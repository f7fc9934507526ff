//! Detects that the kernel has taken a whole response.
//!
//! This works for HTTP/1.1 only. On a connection that carries one response at a
//! time, a flush that succeeds after the body's end means that the kernel has
//! every byte of that response. On a multiplexed connection a flush would prove
//! nothing. The flush of a TLS stream succeeds when its last record has been
//! written to the socket, so the same holds for TLS.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::Context;
use std::task::Poll;

use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use tokio::sync::oneshot;

use super::slot::ActiveRequest;

/// A notice to a handler that its response has been flushed.
///
/// Put it into the response's extensions. A message arrives when the kernel has
/// taken the last byte; the channel closes without one if the connection breaks
/// before that. The sender is shared and taken once, because extensions must be
/// `Clone` and a sender is not.
#[derive(Debug, Clone)]
pub struct FlushNotice(Arc<Mutex<Option<oneshot::Sender<()>>>>);

impl FlushNotice {
    /// Returns a notice, and the receiver that waits for it.
    pub fn new() -> (Self, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(sender)))), receiver)
    }

    /// Takes the sender out of the notice; returns `None` the second time.
    pub(super) fn take(&self) -> Option<oneshot::Sender<()>> {
        self.0.lock().expect("no code panics while it holds the notice").take()
    }
}

/// Notices of the responses that hyper has buffered and not yet flushed.
///
/// Shared by the response's body, which adds a notice, and the connection's
/// stream, which sends it.
#[derive(Debug, Clone, Default)]
pub struct PendingNotices(Arc<Mutex<Vec<oneshot::Sender<()>>>>);

impl PendingNotices {
    fn add(&self, notice: oneshot::Sender<()>) {
        self.0.lock().expect("no code panics while it holds the notices").push(notice);
    }

    /// Returns `true` if a handler has stopped waiting for a response that is
    /// not flushed yet.
    pub fn is_abandoned(&self) -> bool {
        let pending = self.0.lock().expect("no code panics while it holds the notices");
        pending.iter().any(oneshot::Sender::is_closed)
    }

    /// Sends all notices, after a flush that succeeded.
    pub fn flushed(&self) {
        let mut pending = self.0.lock().expect("no code panics while it holds the notices");
        for notice in pending.drain(..) {
            // An error means that the handler no longer waits.
            let _ = notice.send(());
        }
    }
}

/// A response body that registers its notice once hyper has the last frame.
pub struct TrackedBody<B> {
    body: B,
    /// Taken when the last frame is handed to hyper.
    notice: Option<oneshot::Sender<()>>,
    pending: PendingNotices,
    /// Keeps the connection active, and so safe from eviction, until the body
    /// is dropped.
    _request_guard: ActiveRequest,
}

impl<B: Body> TrackedBody<B> {
    /// Wraps `body`; `notice` is sent after its last byte is flushed.
    pub fn new(
        body: B,
        notice: Option<oneshot::Sender<()>>,
        pending: PendingNotices,
        request_guard: ActiveRequest,
    ) -> Self {
        let mut tracked = Self { body, notice, pending, _request_guard: request_guard };
        // hyper never polls an empty body for frames.
        tracked.register_if_ended();
        tracked
    }

    /// Registers the notice if the body has no further frame.
    ///
    /// hyper moves a frame into its buffer before it does anything else, so the
    /// next successful flush comes after the last byte.
    fn register_if_ended(&mut self) {
        if self.body.is_end_stream()
            && let Some(notice) = self.notice.take()
        {
            self.pending.add(notice);
        }
    }
}

impl<B: Body + Unpin> Body for TrackedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            // A body that cannot announce its end shows it only now. hyper
            // buffers the end of the message before its next flush.
            Poll::Ready(None) => {
                if let Some(notice) = self.notice.take() {
                    self.pending.add(notice);
                }
            }
            Poll::Ready(Some(Ok(_))) => self.register_if_ended(),
            // A broken body is never flushed whole. Dropping the notice closes
            // its channel.
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
