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
use std::sync::MutexGuard;
use std::task::Context;
use std::task::Poll;

use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use tokio::sync::oneshot;
use tokio::sync::watch;

use super::slot::ActiveRequest;

/// A notice to a handler that its response has been flushed.
///
/// Put it into the response's extensions. A message arrives when the kernel has
/// taken the last byte; the channel closes without one if the connection breaks
/// before that. The sender is shared and taken once, because extensions must be
/// `Clone` and a sender is not.
#[derive(Debug, Clone)]
pub struct FlushNotice(Arc<Mutex<Option<Sender>>>);

/// The sending half of a notice.
#[derive(Debug)]
pub struct Sender {
    flushed: oneshot::Sender<()>,
    progress: Progress,
}

/// The progress of a response, for code that waits for other responses. All
/// clones share it, and the response has ended when all of them are dropped.
///
/// The value is `true` while the response waits for its client to read.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<watch::Sender<bool>>);

impl Progress {
    /// Returns a receiver of the changes.
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }

    /// Notes that the response waits for its client, or no longer does.
    pub fn set_stalled(&self, stalled: bool) {
        self.0.send_if_modified(|now| std::mem::replace(now, stalled) != stalled);
    }
}

impl FlushNotice {
    /// Returns a notice, and the receiver that waits for it. `progress` tells
    /// others if the response waits for its client.
    pub fn new(progress: Progress) -> (Self, oneshot::Receiver<()>) {
        let (flushed, receiver) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(Sender { flushed, progress })))), receiver)
    }

    /// Takes the sender out of the notice; returns `None` the second time.
    pub(super) fn take(&self) -> Option<Sender> {
        self.0.lock().expect("no code panics while it holds the notice").take()
    }
}

/// A response that hyper has buffered and not yet flushed.
struct PendingResponse {
    notice: Option<Sender>,
    /// Keeps the connection active until its client has the response.
    _active: Option<ActiveRequest>,
}

/// The responses that hyper has buffered and not yet flushed.
///
/// Shared by the response's body, which adds itself, and the connection's
/// stream, which sends the notices.
#[derive(Clone, Default)]
pub struct PendingResponses(Arc<Mutex<Vec<PendingResponse>>>);

impl PendingResponses {
    pub(super) fn add(&self, notice: Option<Sender>, active: Option<ActiveRequest>) {
        self.lock().push(PendingResponse { notice, _active: active });
    }

    /// Returns `true` if a handler has stopped waiting for a response that is
    /// not flushed yet.
    pub fn is_abandoned(&self) -> bool {
        let is_closed = |notice: &Sender| notice.flushed.is_closed();
        self.lock().iter().any(|pending| pending.notice.as_ref().is_some_and(is_closed))
    }

    /// Notes that the responses wait for the client, or no longer do.
    pub fn set_stalled(&self, stalled: bool) {
        for notice in self.lock().iter().filter_map(|pending| pending.notice.as_ref()) {
            notice.progress.set_stalled(stalled);
        }
    }

    /// Sends all notices, after a flush that succeeded.
    pub fn flushed(&self) {
        for notice in self.lock().drain(..).filter_map(|pending| pending.notice) {
            // An error means that the handler no longer waits.
            let _ = notice.flushed.send(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<PendingResponse>> {
        self.0.lock().expect("no code panics while it holds the responses")
    }
}

/// A response body that registers its notice once hyper has the last frame.
pub struct TrackedBody<B> {
    body: B,
    /// Taken when the last frame is handed to hyper.
    notice: Option<Sender>,
    pending: PendingResponses,
    /// Keeps the connection active, and so safe from eviction. Taken with the
    /// notice, because hyper drops the body before the client has it.
    active: Option<ActiveRequest>,
}

impl<B: Body> TrackedBody<B> {
    /// Wraps `body`; `notice` is sent after its last byte is flushed.
    pub fn new(
        body: B,
        notice: Option<Sender>,
        pending: PendingResponses,
        active: Option<ActiveRequest>,
    ) -> Self {
        let mut tracked = Self { body, notice, pending, active };
        // hyper never polls an empty body for frames.
        tracked.register_if_ended();
        tracked
    }

    /// Moves the notice and the guard to the pending responses.
    fn register(&mut self) {
        let (notice, active) = (self.notice.take(), self.active.take());
        if notice.is_some() || active.is_some() {
            self.pending.add(notice, active);
        }
    }

    /// Registers the notice if the body has no further frame.
    ///
    /// hyper moves a frame into its buffer before it does anything else, so the
    /// next successful flush comes after the last byte.
    fn register_if_ended(&mut self) {
        if self.body.is_end_stream() {
            self.register();
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
            Poll::Ready(None) => self.register(),
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
