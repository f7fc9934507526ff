//! Connections to the peers of one CSP: by TCP, through a proxy, and with TLS.

use std::error::Error;
use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use http::Uri;
use hyper::rt::Read;
use hyper::rt::ReadBufCursor;
use hyper::rt::Write;
use hyper_rustls::HttpsConnector;
use hyper_rustls::MaybeHttpsStream;
use hyper_util::client::legacy::connect::Connected;
use hyper_util::client::legacy::connect::Connection;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower::Service;
use url::Url;

use crate::policy::resolver::Resolver;
use hoth_platform::loopback::points_at_loopback;

/// The time after which a silent connection is probed, and that between two
/// probes: shorter than the minutes after which common gateways forget it.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// The probes without an answer after which a connection has failed.
const KEEPALIVE_PROBES_MAX: u32 = 3;

/// The longest time for which sent bytes may stay unacknowledged. Without it, a
/// peer that has vanished is noticed only at the limit of the call.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

type BoxError = Box<dyn Error + Send + Sync>;
type Direct = HttpsConnector<HttpConnector<Resolver>>;
type DirectStream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// The error of a connection that was not ready in time.
#[derive(Debug, thiserror::Error)]
#[error("the connection was not ready in time")]
pub struct ConnectTimedOut;

/// A connector of the HTTP client. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connector {
    direct: Direct,
    /// The way through the proxy, if there is one.
    tunnel: Option<HttpsConnector<Tunnel<Direct>>>,
    /// The limit for name, connection, proxy and TLS together.
    timeout: Duration,
}

/// A connection. Those with TLS are boxed: their state is large, and hyper moves
/// a connection several times until it is in use.
#[derive(Debug)]
pub enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<DirectStream>),
    /// With TLS within a connection to the proxy.
    Tunnelled(Box<MaybeHttpsStream<DirectStream>>),
}

/// Evaluates an expression with the stream of any variant.
macro_rules! with_stream {
    ($self:expr, $stream:ident => $do:expr) => {
        match $self {
            Stream::Plain($stream) => $do,
            Stream::Tls($stream) => $do,
            Stream::Tunnelled($stream) => $do,
        }
    };
}

impl From<DirectStream> for Stream {
    fn from(stream: DirectStream) -> Self {
        match stream {
            MaybeHttpsStream::Http(stream) => Self::Plain(stream),
            MaybeHttpsStream::Https(_) => Self::Tls(Box::new(stream)),
        }
    }
}

impl Connector {
    /// Makes a connector. Opens no connection.
    pub fn new(
        resolver: Resolver,
        tls: ClientConfig,
        proxy: Option<&Uri>,
        timeout: Duration,
    ) -> Self {
        let mut http = HttpConnector::new_with_resolver(resolver);
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(KEEPALIVE));
        http.set_keepalive_interval(Some(KEEPALIVE));
        http.set_keepalive_retries(Some(KEEPALIVE_PROBES_MAX));
        #[cfg(target_os = "linux")]
        http.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX));
        let tls = Arc::new(tls);
        let tunnel = proxy.map(|proxy| {
            let mut to_proxy = ClientConfig::clone(&tls);
            // A proxy speaks HTTP/1.1 for CONNECT.
            to_proxy.alpn_protocols = Vec::new();
            let to_proxy = HttpsConnector::from((http.clone(), to_proxy));
            HttpsConnector::from((Tunnel::new(proxy.clone(), to_proxy), Arc::clone(&tls)))
        });
        Self { direct: HttpsConnector::from((http, tls)), tunnel, timeout }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // The connectors below are always ready: each call is a connection.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let timeout = self.timeout;
        let tunnel = self.tunnel.as_mut().filter(|_| !is_loopback(&to));
        let connecting: Self::Future = match tunnel {
            Some(tunnel) => {
                let connecting = tunnel.call(to);
                Box::pin(async move { Ok(Stream::Tunnelled(Box::new(connecting.await?))) })
            }
            None => {
                let connecting = self.direct.call(to);
                Box::pin(async move { Ok(connecting.await?.into()) })
            }
        };
        Box::pin(async move {
            match tokio::time::timeout(timeout, connecting).await {
                Ok(connected) => connected,
                Err(_elapsed) => Err(ConnectTimedOut.into()),
            }
        })
    }
}

/// Returns true for a URI of this machine, which no proxy is used for.
fn is_loopback(uri: &Uri) -> bool {
    Url::parse(&uri.to_string()).is_ok_and(|url| points_at_loopback(&url))
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        with_stream!(self, stream => stream.connected())
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        with_stream!(self.get_mut(), stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        with_stream!(self.get_mut(), stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        with_stream!(self.get_mut(), stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        with_stream!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(context))
    }

    fn is_write_vectored(&self) -> bool {
        with_stream!(self, stream => stream.is_write_vectored())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        with_stream!(self.get_mut(), stream => {
            Pin::new(stream).poll_write_vectored(context, slices)
        })
    }
}
