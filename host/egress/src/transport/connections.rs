//! Requests on the connections to the peers of one CSP.

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::client::legacy::connect::Connection as _;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioTimer;
use tower::Service as _;
use tracing::debug;

use crate::transport::connector::Connector;
use crate::transport::http1::ConnectionPool;
use crate::transport::http1::Http1;
use crate::transport::http1::Outgoing;
use crate::transport::http1::ResponseBody;
use crate::transport::http1::Sent;
use crate::transport::limits::HEADER_BYTES_MAX;
use crate::transport::pool::Idle;
use crate::transport::pool::Peer;
use crate::transport::pool::Pool;
use crate::transport::wire::Wire;

/// The failure of a request that has no response.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection could be made, and nothing was sent.
    #[error("no connection to the peer")]
    Connect(#[source] Box<dyn Error + Send + Sync>),
    /// The connection failed.
    #[error("the connection failed")]
    Failed(#[source] hyper::Error),
}

/// The connections of one client, by HTTP/1.1 or HTTP/2, as the peer chooses.
#[derive(Debug)]
pub struct Connections {
    connector: Connector,
    http2: http2::Builder<TokioExecutor>,
    pool: Arc<ConnectionPool>,
}

/// A connection that takes a request.
enum Channel {
    Http1(Box<Http1>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A request that was sent. By HTTP/2 it is answered, too: there a request can
/// come back from its connection as unsent until then.
pub enum InFlight {
    Http1(Sent),
    /// Boxed, because the other variant waits for long and is small.
    Http2(Box<Response<Incoming>>),
}

impl Connections {
    /// Makes a client that keeps at most `idle_max` idle connections to each
    /// peer. Opens no connection.
    ///
    /// It follows no redirect, keeps no cookie, and repeats no request that it
    /// has begun to send. Only the retry policy of a job repeats requests: it
    /// knows which of them are idempotent.
    pub fn new(connector: Connector, idle_max: usize) -> Self {
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2.timer(TokioTimer::new()).max_header_list_size(HEADER_BYTES_MAX as u32);
        Self { connector, http2, pool: Pool::new(idle_max) }
    }

    /// Sends a request on an idle connection or on a new one. A connection that
    /// turns out to be closed before it takes the request is replaced.
    ///
    /// # Errors
    ///
    /// [`SendError`].
    ///
    /// # Panics
    ///
    /// Panics if the URI of the request is relative.
    pub async fn send(&self, mut request: Outgoing) -> Result<InFlight, SendError> {
        let uri = request.uri().clone();
        let peer = Peer::of(&uri).expect("a request to a peer has an absolute URI");
        // Ends, because every turn uses up an idle connection.
        loop {
            let (channel, is_new) = match self.idle(&peer) {
                Some(channel) => (channel, false),
                None => (self.connect(&peer).await?, true),
            };
            let sent = match channel {
                Channel::Http1(http1) => http1.send(request).map(InFlight::Http1),
                Channel::Http2(mut sender) => {
                    let answered = sender.try_send_request(request).await;
                    answered.map(|response| InFlight::Http2(Box::new(response))).map_err(Box::new)
                }
            };
            let mut failed = match sent {
                Ok(sent) => return Ok(sent),
                Err(failed) => failed,
            };
            match failed.take_message() {
                Some(unsent) if !is_new => request = unsent,
                Some(_) | None => return Err(SendError::Failed(failed.into_error())),
            }
            // Its connection takes no request more, whatever it says of itself.
            self.pool.forget_shared(&peer);
            *request.uri_mut() = uri.clone();
        }
    }

    /// Takes an idle connection that its peer has not closed.
    fn idle(&self, peer: &Peer) -> Option<Channel> {
        loop {
            match self.pool.take(peer)? {
                Idle::Exclusive(mut http1) => {
                    if http1.is_ready() {
                        return Some(Channel::Http1(http1));
                    }
                }
                Idle::Shared(sender) if !sender.is_closed() => {
                    return Some(Channel::Http2(sender));
                }
                Idle::Shared(_) => self.pool.forget_shared(peer),
            }
        }
    }

    async fn connect(&self, peer: &Peer) -> Result<Channel, SendError> {
        let connecting = self.connector.clone().call(peer.uri());
        let stream = connecting.await.map_err(SendError::Connect)?;
        if !stream.connected().is_negotiated_h2() {
            let pool = Arc::downgrade(&self.pool);
            let http1 = Http1::open(peer.clone(), pool, Wire::new(stream)).await;
            return http1.map(Channel::Http1).map_err(SendError::Failed);
        }
        // Of several calls that connected at the same time, the others go on with
        // the first one's connection.
        if let Some(shared @ Channel::Http2(_)) = self.idle(peer) {
            return Ok(shared);
        }
        let (mut sender, connection) =
            self.http2.handshake(stream).await.map_err(SendError::Failed)?;
        // Many calls share it, so it runs in a task of its own.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "A connection of HTTP/2 ended");
            }
        });
        sender.ready().await.map_err(SendError::Failed)?;
        self.pool.share(peer.clone(), sender.clone());
        Ok(Channel::Http2(sender))
    }
}

impl InFlight {
    /// Waits for the response.
    ///
    /// # Errors
    ///
    /// [`SendError::Failed`].
    pub async fn response(self) -> Result<Response<ResponseBody>, SendError> {
        match self {
            Self::Http1(sent) => sent.response().await.map_err(SendError::Failed),
            Self::Http2(response) => Ok(response.map(ResponseBody::of_http2)),
        }
    }
}
