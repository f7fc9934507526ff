//! HTTP/1.1 connections that run in the task of their call.
//!
//! `hyper` has a connection read and write when it is polled. A task of its own
//! for that would be woken for each request and each response, and hold memory
//! while its call waits.

use std::pin::Pin;
use std::sync::Weak;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::task::ready;

use bytes::Bytes;
use http::HeaderValue;
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

use crate::transport::connector::Stream;
use crate::transport::pool::Peer;
use crate::transport::pool::Pool;

pub type Outgoing = Request<Full<Bytes>>;

/// The pool to which connections return.
pub type ConnectionPool = Pool<Box<Http1>, http2::SendRequest<Full<Bytes>>>;

/// The passes of a connection that one poll makes without a wake-up: one that
/// reads, and one for what was asked for after that.
const PASSES: usize = 2;

type Responding = Pin<Box<dyn Future<Output = Responded> + Send>>;
type Responded = Result<Response<Incoming>, TrySendError<Outgoing>>;

/// A connection, which moves no byte unless the call that has it polls it.
#[derive(Debug)]
pub struct Http1 {
    peer: Peer,
    /// Weak, because the pool has connections.
    pool: Weak<ConnectionPool>,
    /// Dropped before the connection, which then ends.
    sender: http1::SendRequest<Full<Bytes>>,
    driven: Driven,
}

/// The part of a connection that reads and writes.
#[derive(Debug)]
struct Driven {
    connection: http1::Connection<Stream, Full<Bytes>>,
    has_ended: bool,
}

/// A request that its connection has taken.
pub struct Sent {
    http1: Box<Http1>,
    responding: Responding,
}

/// The body of a response. At its end the connection returns to its pool. A
/// connection whose body is not read to its end is closed.
#[derive(Debug)]
pub struct Http1Body {
    body: Incoming,
    /// `None` after the end.
    http1: Option<Box<Http1>>,
}

impl Http1 {
    /// Makes a connection of what `hyper` returns for a new stream.
    pub fn new(
        peer: Peer,
        pool: Weak<ConnectionPool>,
        (sender, connection): (
            http1::SendRequest<Full<Bytes>>,
            http1::Connection<Stream, Full<Bytes>>,
        ),
    ) -> Self {
        Self { peer, pool, sender, driven: Driven { connection, has_ended: false } }
    }

    /// Returns false if the peer has closed the connection, or has sent what
    /// was not asked for.
    pub fn is_ready(&mut self) -> bool {
        self.driven.poll(&mut Context::from_waker(Waker::noop()));
        !self.driven.has_ended && self.sender.is_ready()
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
        let mut responding: Responding = Box::pin(self.sender.try_send_request(request));
        // Without a wake-up: `Sent::response` polls again.
        let mut silent = Context::from_waker(Waker::noop());
        self.driven.poll(&mut silent);
        if self.driven.has_ended
            && let Poll::Ready(Err(error)) = responding.as_mut().poll(&mut silent)
        {
            return Err(Box::new(error));
        }
        Ok(Sent { http1: self, responding })
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
        let mut silent = Context::from_waker(Waker::noop());
        for _ in 0..PASSES {
            self.driven.poll(&mut silent);
            if let Poll::Ready(ready) = poll(&mut silent) {
                return Poll::Ready(ready);
            }
        }
        // With the waker of the task, which the socket then has. Whatever `poll`
        // asks for after that wakes the task, too.
        self.driven.poll(context);
        poll(&mut silent)
    }

    /// Returns to the pool, unless another request could not be sent.
    fn release(mut self: Box<Self>) {
        if self.is_ready()
            && let Some(pool) = self.pool.upgrade()
        {
            pool.put(self.peer.clone(), self);
        }
    }
}

impl Driven {
    /// Reads and writes as far as the peer lets it.
    fn poll(&mut self, context: &mut Context<'_>) {
        if !self.has_ended {
            // Its error comes with the response, or with the body.
            self.has_ended = Pin::new(&mut self.connection).poll(context).is_ready();
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
    pub async fn response(self) -> Result<Response<Http1Body>, hyper::Error> {
        let Self { mut http1, mut responding } = self;
        let mut answer = |context: &mut Context<'_>| responding.as_mut().poll(context);
        let response =
            std::future::poll_fn(|context| http1.poll_driven(context, &mut answer)).await;
        let response = response.map_err(TrySendError::into_error)?;
        Ok(response.map(|body| Http1Body { body, http1: Some(http1) }))
    }
}

impl Body for Http1Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { body, http1 } = &mut *self;
        let Some(connection) = http1 else { return Poll::Ready(None) };
        let frame = ready!(
            connection.poll_driven(context, |context| Pin::new(&mut *body).poll_frame(context))
        );
        match &frame {
            Some(Ok(_)) => {}
            Some(Err(_)) => *http1 = None,
            None => http1.take().into_iter().for_each(Http1::release),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.http1.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
