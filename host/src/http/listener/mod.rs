//! The way in: connections, and knowing that a response left.

mod connection;
mod departure;
mod seat;
#[cfg(test)]
mod tests;
mod tls;
mod watched;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;
use tracing::warn;

pub use departure::Departure;
pub use tls::Tls;
pub use tls::TlsConfig;
pub use tls::TlsError;

use self::connection::Connection;
use self::seat::Seats;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The pause after an accept that failed, such as for want of file
/// descriptors: they come back when connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To send a request's head; also the first byte of it, so an idle
    /// connection ends after this.
    pub head: Duration,
    /// To exchange keys, where TLS is spoken.
    pub handshake: Duration,
    /// To take a whole answer, from when it first has to be waited for.
    pub send: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            handshake: Duration::from_secs(10),
            send: Duration::from_secs(60),
        }
    }
}

/// Who is at the other end of the connection: an extension of every request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// A bound socket.
pub struct Listener {
    socket: TcpListener,
    seats: Arc<Seats>,
    timeouts: Timeouts,
    tls: Option<Tls>,
}

impl Listener {
    /// Binds `address`. At most `connections_max` connections are open at
    /// once; a further one takes the place of one that is idle, or waits in
    /// the kernel's backlog.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub async fn bind(address: SocketAddr, connections_max: usize) -> std::io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let seats = Seats::new(connections_max);
        Ok(Self { socket, seats, timeouts: Timeouts::default(), tls: None })
    }

    /// Gives clients other times than the default ones.
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Speaks TLS, where there is a certificate.
    pub fn with_tls(mut self, tls: Option<Tls>) -> Self {
        self.tls = tls;
        self
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
        S::Error: Into<BoxError>,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let tasks = TaskTracker::new();
        while let Some((stream, peer)) = stop.run_until_cancelled(self.accept()).await {
            let Some(seat) = stop.run_until_cancelled(self.seats.take()).await else { break };
            let (tls, timeouts, stop) = (self.tls.clone(), self.timeouts, stop.clone());
            let connection = Connection { stream, peer, seat, tls, timeouts, stop };
            tasks.spawn(connection.serve(service.clone()));
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    warn!(%error, "A connection could not be accepted");
                    // Where descriptors are short, this frees one.
                    self.seats.evict();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}
