//! One connection, from its first byte to its last: TLS, HTTP/1.1, timeouts.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http::Response;
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service;
use tower::ServiceExt as _;
use tracing::debug;

use super::flush::FlushNotice;
use super::flush::PendingResponses;
use super::flush::TrackedBody;
use super::slot::Activation;
use super::slot::ConnectionSlot;
use super::timeouts::Timeouts;
use super::tls::ReloadableTls;
use super::tracked_io::TrackedIo;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The client's address, as an extension of every request.
#[derive(Debug, Clone, Copy)]
pub struct PeerAddr(pub SocketAddr);

/// The largest head of a request. Eight KiB is common; a batch of ten SQS
/// receipts in the query needs up to 6 KB of it.
const HEAD_BYTES_MAX: usize = 32 * 1_024;

/// The largest number of headers in a request. hyper answers 431 if a request
/// has more, or if its head is larger.
const HEADERS_MAX: usize = 64;

/// An accepted connection and its settings.
pub struct Connection {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    /// Freed when the connection ends.
    pub slot: Arc<ConnectionSlot>,
    pub tls: Option<ReloadableTls>,
    pub timeouts: Timeouts,
    /// Ends the connection after its active request.
    pub stop: CancellationToken,
}

impl Connection {
    /// Serves the connection until the client closes it, its slot is evicted,
    /// or `stop` is cancelled and the active request has ended.
    pub async fn serve<S, B>(self, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let slot = Arc::clone(&self.slot);
        tokio::select! {
            // Polled first, so that an evicted connection frees its slot at
            // once, even if more bytes have arrived on it.
            biased;
            () = slot.evicted() => debug!("An idle connection was evicted"),
            () = self.serve_in_slot(service) => {}
        }
    }

    async fn serve_in_slot<S, B>(self, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        // Responses are small and written whole. Nagle's algorithm would delay
        // them by up to 40 ms.
        if let Err(error) = self.stream.set_nodelay(true) {
            debug!(%error, "Setting TCP_NODELAY failed");
        }
        let pending = PendingResponses::default();
        let service = ConnectionService {
            service,
            peer: self.peer,
            slot: self.slot,
            pending: pending.clone(),
        };
        let Some(tls) = self.tls else {
            return serve_http(self.stream, service, pending, self.timeouts, self.stop).await;
        };
        // The connection is idle during the handshake, so it can be evicted. The
        // timeout covers hosts whose slots are never all taken.
        let handshake = TlsAcceptor::from(tls.current()).accept(self.stream);
        let handshake = tokio::time::timeout(self.timeouts.handshake, handshake);
        match self.stop.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => {
                serve_http(stream, service, pending, self.timeouts, self.stop).await
            }
            Some(Ok(Err(error))) => debug!(%error, "TLS handshake failed"),
            Some(Err(_)) => debug!("TLS handshake timed out"),
            None => {}
        }
    }
}

/// Serves HTTP/1.1 on an established byte stream.
async fn serve_http<T, S, B>(
    stream: T,
    service: ConnectionService<S>,
    pending: PendingResponses,
    timeouts: Timeouts,
    stop: CancellationToken,
) where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let io = TrackedIo::new(TokioIo::new(stream), pending, timeouts.send);
    // hyper sets the timer of the head whenever it begins to wait for one, so
    // that timer also ends connections that stay idle.
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.head)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(io, service);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            // The active request, if any, still gets its response.
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "Connection ended early");
    }
}

/// A wrapper of the service that lets each request make its connection active,
/// and tracks each response until it is flushed.
struct ConnectionService<S> {
    service: S,
    peer: SocketAddr,
    slot: Arc<ConnectionSlot>,
    pending: PendingResponses,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for ConnectionService<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
{
    type Response = Response<TrackedBody<B>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(PeerAddr(self.peer));
        // The service makes the connection active when it knows the caller.
        // Until then a new connection may take its slot, and the client sees a
        // closed connection.
        let activation = Activation::of(Arc::clone(&self.slot));
        request.extensions_mut().insert(activation.clone());
        let (service, pending) = (self.service.clone(), self.pending.clone());
        Box::pin(async move {
            let response = service.oneshot(request).await.map_err(Into::into)?;
            let active = activation.take();
            if let Some(active) = active.as_ref().filter(|_| response.status().is_success()) {
                active.mark_trusted();
            }
            let flush_notice =
                response.extensions().get::<FlushNotice>().and_then(FlushNotice::take);
            Ok(response.map(|body| TrackedBody::new(body, flush_notice, pending, active)))
        })
    }
}
