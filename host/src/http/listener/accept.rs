//! A bound socket, and the loop that accepts its connections.

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

use super::connection::BoxError;
use super::connection::Connection;
use super::slot::ConnectionSlots;
use super::timeouts::Timeouts;
use super::tls::ReloadableTls;

/// The pause after an accept that failed, for example because no file
/// descriptor was free. Descriptors become free as connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound socket, ready to serve.
pub struct Listener {
    socket: TcpListener,
    /// Bounds the open connections; shared with every connection.
    slots: Arc<ConnectionSlots>,
    timeouts: Timeouts,
    tls: Option<ReloadableTls>,
}

impl Listener {
    /// Binds `address`.
    ///
    /// At most `connections_max` connections are open at once. A further
    /// connection takes the place of an idle one, or waits until there is one;
    /// the ones after it wait in the kernel's backlog.
    ///
    /// # Errors
    ///
    /// Returns the system's error if the address cannot be bound.
    pub async fn bind(address: SocketAddr, connections_max: usize) -> std::io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let slots = ConnectionSlots::new(connections_max);
        Ok(Self { socket, slots, timeouts: Timeouts::default(), tls: None })
    }

    /// Replaces the default timeouts.
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Serves TLS if `tls` is given, and plain HTTP otherwise.
    pub fn with_tls(mut self, tls: Option<ReloadableTls>) -> Self {
        self.tls = tls;
        self
    }

    /// Returns the bound address, with the port that the system chose.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves connections until `stop`, then waits for the active requests.
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
            // Accepted before it has a slot: taking one may evict an idle
            // connection, which needs a new connection as its reason.
            let Some(slot) = stop.run_until_cancelled(self.slots.take()).await else { break };
            let (tls, timeouts, stop) = (self.tls.clone(), self.timeouts, stop.clone());
            let connection = Connection { stream, peer, slot, tls, timeouts, stop };
            tasks.spawn(connection.serve(service.clone()));
        }
        // Every connection has its own clone of `stop`, and ends after its
        // active request. The caller limits the time of this wait.
        tasks.close();
        tasks.wait().await;
    }

    /// Returns the next connection; retries after errors.
    async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    warn!(%error, "Accepting a connection failed");
                    // If the process has no free descriptor, this frees one.
                    self.slots.evict();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}
