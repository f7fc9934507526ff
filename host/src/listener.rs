//! The way in: connections, and knowing that a response left.
//!
//! HTTP/1.1 only: on a connection that carries one response at a time, a flush
//! that succeeds after the body's end means that the kernel has every byte of
//! that response. On a multiplexed connection it would say nothing.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use hyper::body::Incoming;
use hyper::rt::ReadBufCursor;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;
use tower::ServiceExt as _;
use tracing::debug;
use tracing::warn;

/// How long a client may take to send a request's head, also the first one on
/// an idle connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The bound on a request's head, in bytes, and on its headers.
const HEAD_BYTES_MAX: usize = 32 * 1_024;
const HEADERS_MAX: usize = 64;

/// The pause after an accept that failed, such as for want of file
/// descriptors: they come back when connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Tells a handler whether its response has left. Put it into the response's
/// extensions: the notice arrives when the kernel has taken the last byte, and
/// the channel closes without it when the connection breaks before. A handler
/// that closes its end first will not have it leave any more, and the
/// connection is cut.
#[derive(Debug, Clone)]
pub struct Departure(Arc<Mutex<Option<oneshot::Sender<()>>>>);

impl Departure {
    /// A notice, and where to wait for it.
    pub fn new() -> (Self, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(sender)))), receiver)
    }

    fn take(&self) -> Option<oneshot::Sender<()>> {
        self.0.lock().expect("no one panics while holding the notice").take()
    }
}

/// A bound socket.
pub struct Listener {
    socket: TcpListener,
    connections: Arc<Semaphore>,
}

impl Listener {
    /// Binds `address`. At most `connections_max` connections are open at
    /// once; further ones wait in the kernel's backlog.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub async fn bind(address: SocketAddr, connections_max: usize) -> std::io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        Ok(Self { socket, connections: Arc::new(Semaphore::new(connections_max)) })
    }

    /// The address, with the port that was chosen.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves connections until `stop`, then lets the requests in hand end.
    pub async fn serve<S, B>(self, service: S, stop: CancellationToken)
    where
        S: Service<http::Request<Incoming>, Response = http::Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        B: Body<Data = bytes::Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let tasks = TaskTracker::new();
        while let Some(accepted) = stop.run_until_cancelled(self.accept()).await {
            let (stream, permit) = accepted;
            let (service, stop) = (service.clone(), stop.clone());
            tasks.spawn(async move {
                connection(stream, service, stop).await;
                drop(permit);
            });
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn accept(&self) -> (TcpStream, tokio::sync::OwnedSemaphorePermit) {
        let permit = Arc::clone(&self.connections).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        loop {
            match self.socket.accept().await {
                Ok((stream, _)) => return (stream, permit),
                Err(error) => {
                    warn!(%error, "A connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn connection<S, B>(stream: TcpStream, service: S, stop: CancellationToken)
where
    S: Service<http::Request<Incoming>, Response = http::Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body<Data = bytes::Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Answers are small and written whole; waiting to merge them costs 40 ms.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "A connection without TCP_NODELAY");
    }
    let pending = Pending::default();
    let io = Watched { io: TokioIo::new(stream), pending: pending.clone() };
    let watched = service.map_response(move |response: http::Response<B>| {
        let departure = response.extensions().get::<Departure>().and_then(Departure::take);
        response.map(|body| Departing::new(body, departure, pending.clone()))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(io, TowerToHyperService::new(watched));
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "A connection ended early");
    }
}

/// Notices whose responses hyper has in its buffer, waiting for a flush.
#[derive(Debug, Clone, Default)]
struct Pending(Arc<Mutex<Vec<oneshot::Sender<()>>>>);

impl Pending {
    fn add(&self, notice: oneshot::Sender<()>) {
        self.0.lock().expect("no one panics while holding the notices").push(notice);
    }

    /// Whether a handler has given a response up that has not left yet.
    fn is_given_up(&self) -> bool {
        let pending = self.0.lock().expect("no one panics while holding the notices");
        pending.iter().any(oneshot::Sender::is_closed)
    }

    fn flushed(&self) {
        let mut pending = self.0.lock().expect("no one panics while holding the notices");
        for notice in pending.drain(..) {
            // Who no longer waits need not be told.
            let _ = notice.send(());
        }
    }
}

/// A response's body that knows when its last frame has been handed over.
struct Departing<B> {
    body: B,
    notice: Option<oneshot::Sender<()>>,
    pending: Pending,
}

impl<B: Body> Departing<B> {
    fn new(body: B, notice: Option<oneshot::Sender<()>>, pending: Pending) -> Self {
        let mut departing = Self { body, notice, pending };
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

/// A connection that tells when a flush has succeeded. hyper flushes it only
/// after it has written all of its own buffer.
struct Watched<T> {
    io: T,
    pending: Pending,
}

impl<T> Watched<T> {
    /// The last bytes of a response that was given up must not leave: its
    /// messages are somebody else's by now.
    fn check(&self) -> std::io::Result<()> {
        match self.pending.is_given_up() {
            true => Err(std::io::ErrorKind::TimedOut.into()),
            false => Ok(()),
        }
    }
}

impl<T: hyper::rt::Read + Unpin> hyper::rt::Read for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<T: hyper::rt::Write + Unpin> hyper::rt::Write for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(context);
        if matches!(polled, Poll::Ready(Ok(()))) {
            self.pending.flushed();
        }
        polled
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }
}
