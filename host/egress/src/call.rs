//! One HTTP call: sent once, read to a bound, and its failure named.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;

use crate::failure::CallFailure;
use crate::http_client::HttpClient;
use crate::network::PrivateAddress;
use hoth_core::domain::TransportCode;

/// The names and values of an answer's header. Common servers send at most
/// 8 KiB; this much can be handed on without a thought.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// What a library says about a failure is cut after so many characters.
const REASON_CHARS_MAX: usize = 200;

/// Whom a call goes to, and its bounds.
#[derive(Debug, Clone)]
pub struct Peer {
    /// As messages have it: `CSP_A`.
    pub name: String,
    /// From connecting to the last byte.
    pub timeout: Duration,
    /// From connecting to the end of the header, where that has a bound of its
    /// own.
    pub header_timeout: Option<Duration>,
    /// Whether a proxy stands between.
    pub proxied: bool,
    pub response_bytes_max: usize,
    /// Where to change that: `` (`max_response_bytes`)``.
    pub response_bytes_hint: &'static str,
}

/// What came back, as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// An error where it is too large, or where that of a 5xx broke off:
    /// status and header count all the same.
    pub body: Result<Bytes, CallFailure>,
}

/// Sends a request once and reads the answer.
pub async fn call(
    http: &HttpClient,
    mut request: reqwest::Request,
    peer: &Peer,
) -> Result<Answer, CallFailure> {
    *request.timeout_mut() = Some(peer.timeout);
    let http = http.get().await;
    let mut response = peer.header_in_time(http.execute(request)).await?;
    let header_bytes: usize =
        response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if header_bytes > HEADER_BYTES_MAX {
        return Err(peer.header_too_large());
    }
    let status = response.status();
    let body = match peer.read_body(&mut response).await {
        // What the body of a server's error would have said changes nothing; any
        // other answer is none without it.
        Err(broken_off)
            if broken_off.code != TransportCode::TooLarge && !status.is_server_error() =>
        {
            return Err(broken_off);
        }
        body => body,
    };
    Ok(Answer { status: status.as_u16(), headers: std::mem::take(response.headers_mut()), body })
}

/// What was being waited for when a call failed.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Header,
    Body,
}

impl Peer {
    async fn header_in_time(
        &self,
        executing: impl Future<Output = reqwest::Result<reqwest::Response>>,
    ) -> Result<reqwest::Response, CallFailure> {
        let executed = match self.header_timeout {
            None => executing.await,
            Some(limit) => match tokio::time::timeout(limit, executing).await {
                Ok(executed) => executed,
                Err(_elapsed) => return Err(self.header_too_late(limit)),
            },
        };
        executed.map_err(|error| self.unanswered(&error, Phase::Header))
    }

    async fn read_body(&self, response: &mut reqwest::Response) -> Result<Bytes, CallFailure> {
        let max = self.response_bytes_max;
        if response.content_length().is_some_and(|length| length > max as u64) {
            return Err(self.body_too_large());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| self.unanswered(&error, Phase::Body))?
        {
            if body.len() + chunk.len() > max {
                return Err(self.body_too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    fn body_too_large(&self) -> CallFailure {
        let Self { name, response_bytes_max, response_bytes_hint, .. } = self;
        self.sent(
            TransportCode::TooLarge,
            format!(
                "{name} answered with more than {response_bytes_max} bytes{response_bytes_hint}"
            ),
        )
    }

    fn header_too_large(&self) -> CallFailure {
        let name = &self.name;
        self.sent(
            TransportCode::TooLarge,
            format!("{name} answered with a header of more than {HEADER_BYTES_MAX} bytes"),
        )
    }

    fn header_too_late(&self, limit: Duration) -> CallFailure {
        let (name, within) = (&self.name, limit.as_millis());
        let message =
            format!("{name} did not begin to answer within {within} ms (`header_timeout_ms`)");
        self.sent(TransportCode::Timeout, message)
    }

    fn sent(&self, code: TransportCode, message: String) -> CallFailure {
        CallFailure { code, message, sent: true }
    }

    /// Names what went wrong. The order matters: causes lie within each other.
    fn unanswered(&self, error: &reqwest::Error, phase: Phase) -> CallFailure {
        let name = &self.name;
        if error.is_builder() {
            let message = format!("{name} cannot be called: the request cannot be sent as HTTP");
            return CallFailure::unsent(TransportCode::RequestRefused, message);
        }
        if let Some(private) = find::<PrivateAddress>(error) {
            let message = format!("{name} cannot be called: {private}");
            return CallFailure::unsent(TransportCode::OriginRefused, message);
        }
        if error.is_connect() {
            let (cause, reason) = unconnected(error);
            let through = if self.proxied { " through its proxy" } else { "" };
            let message = format!("{name} could not be reached{through}: {reason}");
            return CallFailure::unsent(cause, message);
        }
        if error.is_timeout() {
            let within = self.timeout.as_millis();
            return self
                .sent(TransportCode::Timeout, format!("{name} did not answer within {within} ms"));
        }
        if let Some(hyper) = find::<hyper::Error>(error) {
            if hyper.is_parse_too_large() {
                return self.header_too_large();
            }
            if hyper.is_parse() {
                let message = format!("the answer of {name} is not readable as HTTP");
                return self.sent(TransportCode::Truncated, message);
            }
            if hyper.is_canceled() || hyper.is_closed() {
                let message = format!("{name} closed the connection before the request was sent");
                return CallFailure::unsent(TransportCode::Reset, message);
            }
        }
        let reset = find::<io::Error>(error)
            .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
        match phase {
            Phase::Body if !reset => {
                self.sent(TransportCode::Truncated, format!("the answer of {name} broke off"))
            }
            Phase::Body | Phase::Header => self.sent(
                TransportCode::Reset,
                format!("{name} closed the connection without an answer"),
            ),
        }
    }
}

/// Why there is no connection.
fn unconnected(error: &reqwest::Error) -> (TransportCode, String) {
    if let Some(tls) = find::<rustls::Error>(error) {
        return (TransportCode::Tls, shorten(&tls.to_string()));
    }
    let reason = if error.is_timeout() {
        "no connection in time (`connect_timeout_ms`)".to_owned()
    } else if error.is_dns() {
        "its name could not be resolved".to_owned()
    } else {
        match find::<io::Error>(error) {
            Some(io) if io.kind() == io::ErrorKind::ConnectionRefused => {
                "connection refused".to_owned()
            }
            Some(io) if io.kind() == io::ErrorKind::ConnectionReset => {
                "connection reset".to_owned()
            }
            Some(io) => shorten(&io.to_string()),
            // What a proxy answers has no type, only words.
            None => shorten(&root(error).to_string()),
        }
    };
    (TransportCode::Connect, reason)
}

/// Finds a kind of error among the causes of another, also within an
/// `io::Error`, which leaves what it wraps out of its own chain.
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

fn root<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root
}

fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect()
}
