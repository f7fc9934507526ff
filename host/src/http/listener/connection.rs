//! One connection, from its first byte to its last.

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

use super::BoxError;
use super::Peer;
use super::Timeouts;
use super::departure::Departing;
use super::departure::Departure;
use super::departure::Pending;
use super::seat::Seat;
use super::tls::Tls;
use super::watched::Watched;

/// The bound on a request's head, in bytes, and on its headers.
const HEAD_BYTES_MAX: usize = 32 * 1_024;
const HEADERS_MAX: usize = 64;

/// A connection that has been accepted.
pub struct Connection {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    pub seat: Arc<Seat>,
    pub tls: Option<Tls>,
    pub timeouts: Timeouts,
    pub stop: CancellationToken,
}

impl Connection {
    /// Serves it until it ends, its seat is lost, or `stop` and the request in
    /// hand has ended.
    pub async fn serve<S, B>(self, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let seat = Arc::clone(&self.seat);
        tokio::select! {
            biased;
            () = seat.lost() => debug!("A connection was idle and gave way"),
            () = self.serve_seated(service) => {}
        }
    }

    async fn serve_seated<S, B>(self, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        // Answers are small and written whole; waiting to merge them costs 40 ms.
        if let Err(error) = self.stream.set_nodelay(true) {
            debug!(%error, "A connection without TCP_NODELAY");
        }
        let pending = Pending::default();
        let guarded =
            Guarded { service, peer: self.peer, seat: self.seat, pending: pending.clone() };
        let Some(tls) = self.tls else {
            return http(self.stream, guarded, pending, self.timeouts, self.stop).await;
        };
        let shaken = TlsAcceptor::from(tls.current()).accept(self.stream);
        let shaken = tokio::time::timeout(self.timeouts.handshake, shaken);
        match self.stop.run_until_cancelled(shaken).await {
            Some(Ok(Ok(stream))) => http(stream, guarded, pending, self.timeouts, self.stop).await,
            Some(Ok(Err(error))) => debug!(%error, "A TLS handshake failed"),
            Some(Err(_)) => debug!("A TLS handshake took too long"),
            None => {}
        }
    }
}

async fn http<T, S, B>(
    stream: T,
    guarded: Guarded<S>,
    pending: Pending,
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
    let io = Watched::new(TokioIo::new(stream), pending, timeouts.send);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.head)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(io, guarded);
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

/// The service, behind what every request and every response passes.
struct Guarded<S> {
    service: S,
    peer: SocketAddr,
    seat: Arc<Seat>,
    pending: Pending,
}

/// A request that came when the connection's end was already decided.
#[derive(Debug, thiserror::Error)]
#[error("the connection gave way to another")]
struct SeatLost;

impl<S, B> hyper::service::Service<Request<Incoming>> for Guarded<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
{
    type Response = Response<Departing<B>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(Peer(self.peer));
        let (service, busy, pending) =
            (self.service.clone(), self.seat.begin(), self.pending.clone());
        Box::pin(async move {
            let busy = busy.ok_or(SeatLost)?;
            let response = service.oneshot(request).await.map_err(Into::into)?;
            if response.status().is_success() {
                busy.trust();
            }
            let departure = response.extensions().get::<Departure>().and_then(Departure::take);
            Ok(response.map(|body| Departing::new(body, departure, pending, busy)))
        })
    }
}
