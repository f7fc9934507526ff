//! HTTP/1.1 connections that run in the task of their call.
//!
//! `hyper` has a connection read and write when it is polled. A task of its own
//! for that would be woken for each request and each response, and hold memory
//! while its call waits. For a slow call, the connection of `hyper` is dropped
//! as well until the response begins: see [`wire`](super::wire).

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Weak;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::task::ready;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::Uri;
use http::header;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1;
use hyper::client::conn::http2;
use tokio::task::coop;

use crate::transport::limits::HEADER_FIELDS_MAX;
use crate::transport::pool::Peer;
use crate::transport::pool::Pool;
use crate::transport::wire::RequestProgress;
use crate::transport::wire::Wire;

pub type Outgoing = Request<Full<Bytes>>;

/// The pool to which connections return.
pub type ConnectionPool = Pool<Box<Http1>, http2::SendRequest<Full<Bytes>>>;

/// The passes of a connection that one poll makes without a wake-up: one that
/// reads, and one for what was asked for after that.
const PASSES: usize = 2;

type Responding = Pin<Box<dyn Future<Output = Responded> + Send>>;
type Responded = Result<Response<Incoming>, TrySendError<Outgoing>>;

/// The wait for a response after which its call is slow: long enough that the
/// other calls save the making of a connection, short enough that few calls wait
/// with all buffers when thousands come at once. Tests have nearly no other calls.
const SLOW_AFTER: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 100 });

/// A connection, which moves no byte unless the call that has it polls it.
#[derive(Debug)]
pub struct Http1 {
    peer: Peer,
    /// Weak, because the pool has connections.
    pool: Weak<ConnectionPool>,
    /// Dropped before the connection, which then ends.
    sender: http1::SendRequest<Full<Bytes>>,
    driven: Driven,
    progress: Arc<RequestProgress>,
}

/// The part of a connection that reads and writes; `None` once it has ended.
#[derive(Debug)]
struct Driven(Option<http1::Connection<Wire, Full<Bytes>>>);

/// A request that its connection has taken.
pub struct Sent {
    http1: Box<Http1>,
    method: Method,
    responding: Responding,
}

/// A slow call, without a connection of `hyper`.
struct Parked {
    peer: Peer,
    pool: Weak<ConnectionPool>,
    method: Method,
    wire: Wire,
}

/// The body of a response. At its end, an HTTP/1.1 connection returns to its
/// pool. One whose body is not read to its end is closed.
#[derive(Debug)]
pub struct ResponseBody {
    body: Incoming,
    /// The connection that the body needs to be read. `None` for HTTP/2, whose
    /// connections have a task, and after the end.
    http1: Option<Box<Http1>>,
}

impl Http1 {
    /// Makes a connection on a new stream, or on that of a request that was sent.
    ///
    /// # Errors
    ///
    /// Returns an error of `hyper`. None is known: nothing is read or written.
    pub async fn open(
        peer: Peer,
        pool: Weak<ConnectionPool>,
        wire: Wire,
    ) -> Result<Box<Self>, hyper::Error> {
        let progress = wire.progress();
        let made = http1::Builder::new().max_headers(HEADER_FIELDS_MAX).handshake(wire).await;
        let (sender, connection) = made?;
        Ok(Box::new(Self { peer, pool, sender, driven: Driven(Some(connection)), progress }))
    }

    /// Returns false if the peer has closed the connection, or has sent what
    /// was not asked for.
    pub fn is_ready(&mut self) -> bool {
        self.driven.poll(&mut Context::from_waker(Waker::noop()));
        self.driven.0.is_some() && self.sender.is_ready()
    }

    /// Sends a request, as far as the peer takes it at once.
    ///
    /// # Errors
    ///
    /// Returns the error of a connection that failed by now. The error has the
    /// request if no byte of it was written.
    pub fn send(
        mut self: Box<Self>,
        mut request: Outgoing,
    ) -> Result<Sent, Box<TrySendError<Outgoing>>> {
        let host = self.peer.host();
        request.headers_mut().entry(header::HOST).or_insert_with(|| {
            HeaderValue::from_str(host).expect("a host is a valid header value")
        });
        // The target in origin form (RFC 9112 section 3.2.1).
        let target = request.uri().path_and_query().cloned();
        *request.uri_mut() = target.map_or_else(Uri::default, Uri::from);
        let method = request.method().clone();
        self.progress.begin();
        let mut responding: Responding = Box::pin(self.sender.try_send_request(request));
        // Without a wake-up: `Sent::response` polls again.
        let mut silent = Context::from_waker(Waker::noop());
        self.driven.poll(&mut silent);
        if self.driven.0.is_none()
            && let Poll::Ready(Err(error)) = responding.as_mut().poll(&mut silent)
        {
            return Err(Box::new(error));
        }
        Ok(Sent { http1: self, method, responding })
    }

    /// Polls what this connection makes ready.
    ///
    /// Only the socket wakes the task. Wake-ups between the connection and
    /// `poll` would only poll the task once more, as both are in it.
    fn poll_driven<T>(
        &mut self,
        context: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // One unit of the task's budget for the whole, and none for its parts:
        // one that is out of budget wakes the waker that it was polled with, and
        // that may be the silent one.
        let budget = ready!(coop::poll_proceed(context));
        let mut passes = coop::unconstrained(poll_fn(|context| {
            let mut silent = Context::from_waker(Waker::noop());
            for _ in 0..PASSES {
                self.driven.poll(&mut silent);
                if let Poll::Ready(ready) = poll(&mut silent) {
                    return Poll::Ready(ready);
                }
            }
            // With the waker of the task, which the socket then has. Whatever
            // `poll` asks for after that wakes the task, too.
            self.driven.poll(context);
            poll(&mut silent)
        }));
        let ready = ready!(Pin::new(&mut passes).poll(context));
        budget.made_progress();
        Poll::Ready(ready)
    }

    /// Returns to the pool, unless another request could not be sent.
    fn release(mut self: Box<Self>) {
        if self.is_ready()
            && let Some(pool) = self.pool.upgrade()
        {
            pool.put(self.peer.clone(), self);
        }
    }

    /// Drops the connection of `hyper` under a request of this method. Returns
    /// the connection as it is while a part of the request has not left.
    fn park(mut self: Box<Self>, method: Method) -> Result<Parked, Box<Self>> {
        if !self.progress.is_sent() {
            return Err(self);
        }
        let Some(connection) = self.driven.0.take() else { return Err(self) };
        let http1::Parts { io, read_buf, .. } = connection.into_parts();
        let Self { peer, pool, .. } = *self;
        Ok(Parked { peer, pool, method, wire: io.after_request(&read_buf) })
    }
}

impl Parked {
    /// Waits for more of the response, or for the end of the connection, and lets
    /// `hyper` read it.
    async fn resume(mut self) -> Result<Sent, hyper::Error> {
        self.wire.more().await;
        let http1 = Http1::open(self.peer, self.pool, self.wire).await?;
        // The method decides on the body of a response (RFC 9112 section 6.3).
        // The rest was sent.
        let mut request = Request::new(Full::default());
        *request.method_mut() = self.method;
        http1.send(request).map_err(|error| error.into_error())
    }
}

impl Driven {
    /// Reads and writes as far as the peer lets it.
    fn poll(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = &mut self.0
            && Pin::new(&mut coop::unconstrained(connection)).poll(context).is_ready()
        {
            // Its error comes with the response, or with the body.
            self.0 = None;
        }
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        // Tells the peer of the end, if the connection is idle: TLS has a
        // message for it.
        self.poll(&mut Context::from_waker(Waker::noop()));
    }
}

impl Sent {
    /// Waits for the response. The connection is closed if this is dropped.
    ///
    /// # Errors
    ///
    /// Returns the error of a connection that failed.
    pub async fn response(self) -> Result<Response<ResponseBody>, hyper::Error> {
        let mut sent = self;
        // Ends with the response, with the connection, or at the limit of the
        // call: every turn but the first follows more bytes of the peer.
        loop {
            let Self { mut http1, method, mut responding } = sent;
            let mut answer = |context: &mut Context<'_>| responding.as_mut().poll(context);
            let answered = poll_fn(|context| http1.poll_driven(context, &mut answer));
            if let Ok(response) = tokio::time::timeout(SLOW_AFTER, answered).await {
                let response = response.map_err(TrySendError::into_error)?;
                return Ok(response.map(|body| ResponseBody { body, http1: Some(http1) }));
            }
            sent = match http1.park(method.clone()) {
                Ok(parked) => {
                    drop(responding);
                    Box::pin(parked.resume()).await?
                }
                // The peer has not taken the whole request yet.
                Err(http1) => Self { http1, method, responding },
            };
        }
    }
}

impl ResponseBody {
    /// Makes a body whose connection has a task of its own.
    pub fn of_http2(body: Incoming) -> Self {
        Self { body, http1: None }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { body, http1 } = &mut *self;
        let mut body = Pin::new(body);
        let Some(connection) = http1 else { return body.poll_frame(context) };
        let frame =
            ready!(connection.poll_driven(context, |context| body.as_mut().poll_frame(context)));
        match &frame {
            Some(Ok(_)) => {}
            Some(Err(_)) => *http1 = None,
            None => http1.take().into_iter().for_each(Http1::release),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
