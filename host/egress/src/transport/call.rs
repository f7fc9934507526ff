//! One HTTP call: sends a request once, reads the response up to a bound, and
//! classifies failures.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use bytes::BytesMut;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use http::Response;
use http::header;
use http::response::Parts;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use crate::policy::network::PrivateAddress;
use crate::policy::resolver::ResolveError;
use crate::transport::coding;
use crate::transport::connections::Connections;
use crate::transport::connections::InFlight;
use crate::transport::connections::SendError;
use crate::transport::connector::ConnectTimedOut;
use crate::transport::failure::CallFailure;
use crate::transport::http1::ResponseBody;
use crate::transport::limits::HEADER_BYTES_MAX;
use crate::transport::limits::HEADER_FIELDS_MAX;
use crate::transport::request::OutgoingRequest;
use crate::transport::request::UnsendableUrl;
use hoth_core::domain::TransportCode;

/// The bound on a library's error text within a message, in characters.
const REASON_CHARS_MAX: usize = 200;

/// The peer of a call, and the bounds of the call.
#[derive(Debug, Clone)]
pub struct CallTarget {
    /// The name in messages: `CSP_A`.
    pub name: String,
    /// The limit from connecting to the last byte.
    pub timeout: Duration,
    /// The limit from connecting to the end of the header, if it has its own.
    pub header_timeout: Option<Duration>,
    /// True if the call goes through a proxy.
    pub proxied: bool,
    /// The largest body that is read.
    pub response_bytes_max: usize,
    /// A hint at the setting of that bound: `` (`max_response_bytes`)``.
    pub response_bytes_hint: &'static str,
}

/// A response as it arrived.
#[derive(Debug)]
pub struct RawResponse {
    pub status: u16,
    pub headers: HeaderMap,
    /// The body, or an error if it is too large or if the body of a 5xx broke
    /// off: status and header are usable without it.
    pub body: Result<Bytes, CallFailure>,
}

/// Sends a request once and reads the response.
pub fn call(
    http: &Connections,
    request: OutgoingRequest,
    target: &CallTarget,
) -> impl Future<Output = Result<RawResponse, CallFailure>> {
    // Boxed and outside of the future, which waits for long and would keep the
    // room for a request and for the making of a connection.
    let sending = request.into_http().map(|request| http.send(request).boxed());
    async move {
        match sending {
            Ok(sending) => target.respond(sending).await,
            Err(UnsendableUrl) => Err(target.unsendable()),
        }
    }
}

/// The sending of a request.
type Sending<'a> = BoxFuture<'a, Result<InFlight, SendError>>;

/// The part of the response that was awaited when a call failed.
#[derive(Debug, Clone, Copy)]
enum AwaitedPart {
    Header,
    Body,
}

impl CallTarget {
    /// Waits for the response and reads it.
    async fn respond(&self, sending: Sending<'_>) -> Result<RawResponse, CallFailure> {
        let deadline = Instant::now() + self.timeout;
        let response = self.header_in_time(sending, deadline).await?;
        let (Parts { status, mut headers, .. }, body) = response.into_parts();
        let header_bytes: usize =
            headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if header_bytes > HEADER_BYTES_MAX {
            return Err(self.header_too_large());
        }
        let body = match self.read_decoded(body, &mut headers, deadline).await {
            // The status of a server error decides on a retry, with or without
            // its body. Any other response is useless if its body broke off.
            Err(failure)
                if failure.code != TransportCode::TooLarge && !status.is_server_error() =>
            {
                return Err(failure);
            }
            body => body,
        };
        Ok(RawResponse { status: status.as_u16(), headers, body })
    }

    /// Waits for the header within its limit.
    async fn header_in_time(
        &self,
        sending: Sending<'_>,
        deadline: Instant,
    ) -> Result<Response<ResponseBody>, CallFailure> {
        let own_limit = self.header_timeout.filter(|limit| *limit < self.timeout);
        let header_deadline = own_limit.map_or(deadline, |limit| Instant::now() + limit);
        let responding = async { sending.await?.response().await };
        match tokio::time::timeout_at(header_deadline, responding).await {
            Ok(responded) => {
                responded.map_err(|error| self.failure_of(&error, AwaitedPart::Header))
            }
            Err(_elapsed) => {
                Err(own_limit.map_or_else(|| self.too_late(), |limit| self.header_too_late(limit)))
            }
        }
    }

    /// Reads the body and removes its content coding. The bound holds for the
    /// body as it arrives and as it is decoded.
    async fn read_decoded(
        &self,
        body: ResponseBody,
        headers: &mut HeaderMap,
        deadline: Instant,
    ) -> Result<Bytes, CallFailure> {
        let reading = tokio::time::timeout_at(deadline, self.read_body(body));
        let body = reading.await.unwrap_or_else(|_elapsed| Err(self.too_late()))?;
        // A response to HEAD names the coding of the body that GET would have.
        if body.is_empty() || !headers.contains_key(header::CONTENT_ENCODING) {
            return Ok(body);
        }
        match coding::decode(headers, body, self.response_bytes_max) {
            Ok(Some(decoded)) => {
                headers.remove(header::CONTENT_ENCODING);
                headers.remove(header::CONTENT_LENGTH);
                Ok(decoded)
            }
            Ok(None) => Err(self.body_too_large()),
            Err(undecodable) => {
                let message = format!("{} sent a body that {undecodable}", self.name);
                let failure = self.sent(TransportCode::Truncated, message);
                Err(CallFailure { permanent: undecodable.is_permanent(), ..failure })
            }
        }
    }

    /// Reads the body up to the bound.
    async fn read_body(&self, mut body: ResponseBody) -> Result<Bytes, CallFailure> {
        let max = self.response_bytes_max;
        // The announced length is enough: nothing is read to find out.
        if body.size_hint().exact().is_some_and(|length| length > max as u64) {
            return Err(self.body_too_large());
        }
        let mut read = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.failure_of(&error, AwaitedPart::Body))?;
            // Trailers have no place in a response of an adapter.
            let Ok(chunk) = frame.into_data() else { continue };
            // Chunked bodies announce no length, and a peer may lie.
            if read.len() + chunk.len() > max {
                return Err(self.body_too_large());
            }
            read.extend_from_slice(&chunk);
        }
        Ok(read.freeze())
    }

    fn unsendable(&self) -> CallFailure {
        let name = &self.name;
        let message = format!("{name} cannot be called: the request cannot be sent as HTTP");
        CallFailure::unsent(TransportCode::RequestRefused, message)
    }

    fn body_too_large(&self) -> CallFailure {
        let Self { name, response_bytes_max, response_bytes_hint, .. } = self;
        self.sent(
            TransportCode::TooLarge,
            format!(
                "{name} sent a body of more than {response_bytes_max} bytes{response_bytes_hint}"
            ),
        )
    }

    fn header_too_large(&self) -> CallFailure {
        let name = &self.name;
        self.sent(
            TransportCode::TooLarge,
            format!(
                "{name} sent a header of more than {HEADER_BYTES_MAX} bytes or \
                 {HEADER_FIELDS_MAX} fields"
            ),
        )
    }

    fn too_late(&self) -> CallFailure {
        let (name, within) = (&self.name, self.timeout.as_millis());
        let message = format!("{name} did not respond within {within} ms");
        self.sent(TransportCode::Timeout, message)
    }

    fn header_too_late(&self, limit: Duration) -> CallFailure {
        let (name, within) = (&self.name, limit.as_millis());
        let message =
            format!("{name} did not begin to respond within {within} ms (`header_timeout_ms`)");
        self.sent(TransportCode::Timeout, message)
    }

    fn sent(&self, code: TransportCode, message: String) -> CallFailure {
        CallFailure::sent(code, message)
    }

    /// Classifies an error of the HTTP client. The order of the checks matters:
    /// one error may have several of these causes.
    fn failure_of(
        &self,
        error: &(dyn Error + Send + Sync + 'static),
        awaited: AwaitedPart,
    ) -> CallFailure {
        let name = &self.name;
        if let Some(private) = find::<PrivateAddress>(error) {
            let message = format!("{name} cannot be called: {private}");
            return CallFailure::unsent(TransportCode::OriginRefused, message);
        }
        // Before the timeout: a timeout while connecting is unsent, and may be
        // repeated.
        if matches!(find(error), Some(SendError::Connect(_))) {
            let (code, reason) = connect_failure(error);
            let through = if self.proxied { " through its proxy" } else { "" };
            let message = format!("cannot connect to {name}{through}: {reason}");
            return CallFailure::unsent(code, message);
        }
        if is_kind(error, io::ErrorKind::TimedOut) {
            // The system has given the connection up.
            return self.too_late();
        }
        // A server that has begun to respond has processed the request, whatever
        // it says after that.
        let unanswered = matches!(awaited, AwaitedPart::Header);
        if unanswered && find::<h2::Error>(error).is_some_and(is_unprocessed) {
            let message = format!("{name} closed the stream before it processed the request");
            return CallFailure::unsent(TransportCode::Reset, message);
        }
        if let Some(hyper) = find::<hyper::Error>(error) {
            if hyper.is_parse_too_large() {
                return self.header_too_large();
            }
            if hyper.is_parse() {
                let message = format!("the response of {name} is not valid HTTP");
                return self.sent(TransportCode::Truncated, message);
            }
            // An idle connection that the peer closed before the request left.
            if hyper.is_canceled() || hyper.is_closed() {
                let message = format!("{name} closed the connection before the request was sent");
                return CallFailure::unsent(TransportCode::Reset, message);
            }
        }
        let reset = is_kind(error, io::ErrorKind::ConnectionReset);
        match awaited {
            AwaitedPart::Body if !reset => {
                self.sent(TransportCode::Truncated, format!("the response of {name} ended early"))
            }
            AwaitedPart::Body | AwaitedPart::Header => self.sent(
                TransportCode::Reset,
                format!("{name} closed the connection without a response"),
            ),
        }
    }
}

/// Returns true if the server says that it did not process the request: by
/// REFUSED_STREAM, or by a GOAWAY that leaves the stream out, for any reason (RFC
/// 9113 sections 6.8 and 8.7). h2 passes a GOAWAY only to the streams that it
/// leaves out.
fn is_unprocessed(error: &h2::Error) -> bool {
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (refused || error.is_go_away())
}

/// Returns the code and the reason of a connection that could not be made.
fn connect_failure(error: &(dyn Error + 'static)) -> (TransportCode, String) {
    if let Some(tls) = find::<rustls::Error>(error) {
        return (TransportCode::Tls, shorten(&tls.to_string()));
    }
    let timed_out = find::<ConnectTimedOut>(error).is_some();
    let reason = if timed_out || is_kind(error, io::ErrorKind::TimedOut) {
        "timed out (`connect_timeout_ms`)".to_owned()
    } else if matches!(find(error), Some(ResolveError::Unresolved(_))) {
        "its name cannot be resolved".to_owned()
    } else {
        match find::<io::Error>(error) {
            Some(io) if io.kind() == io::ErrorKind::ConnectionRefused => {
                "connection refused".to_owned()
            }
            Some(io) if io.kind() == io::ErrorKind::ConnectionReset => {
                "connection reset".to_owned()
            }
            Some(io) => shorten(&io.to_string()),
            // A refusal of the proxy has no type of its own, only a text.
            None => shorten(&root(error).to_string()),
        }
    };
    (TransportCode::Connect, reason)
}

/// Returns true if the first error of the system among the causes of `error` has
/// this kind.
fn is_kind(error: &(dyn Error + 'static), kind: io::ErrorKind) -> bool {
    find::<io::Error>(error).is_some_and(|error| error.kind() == kind)
}

/// Finds an error type among the causes of `error`. Also looks into an
/// `io::Error`, whose `source` skips the error that it wraps.
fn find<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = wrapped.and_then(|wrapped| find::<T>(wrapped)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Returns the last cause of `error`.
fn root<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root
}

/// Cuts a text to the bound and drops control characters.
fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect()
}
