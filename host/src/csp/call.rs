//! One HTTP call: sent once, read to a bound, and its failure named.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;

use crate::csp::config::Config;
use crate::csp::failure::Cause;
use crate::csp::failure::Unanswered;
use crate::csp::network::PrivateAddress;
use crate::csp::resolver::Resolver;

/// Less than the 5 s after which the most impatient common server (Node.js)
/// closes an idle connection: a request that meets such a close may or may not
/// have been read.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(4);

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
    pub response_bytes_max: usize,
    /// Where to change that: `` (`max_response_bytes`)``.
    pub response_bytes_hint: &'static str,
}

/// What came back, as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Makes the HTTP client of one CSP. It follows no redirect, keeps no cookie,
/// asks no proxy, and repeats nothing that a peer may have seen.
pub fn http_client(config: &Config, resolver: Resolver) -> Result<reqwest::Client, reqwest::Error> {
    // An error says that one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .dns_resolver(Arc::new(resolver))
        .connect_timeout(config.connect_timeout())
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(config.max_concurrent.get() as usize);
    if !config.needs_tls() {
        // A machine without certificates can still call itself.
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}

/// Sends a request once and reads the answer.
pub async fn call(
    http: &reqwest::Client,
    mut request: reqwest::Request,
    peer: &Peer,
) -> Result<Answer, Unanswered> {
    *request.timeout_mut() = Some(peer.timeout);
    let mut response =
        http.execute(request).await.map_err(|error| peer.unanswered(&error, Phase::Header))?;
    let header_bytes: usize =
        response.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if header_bytes > HEADER_BYTES_MAX {
        return Err(peer.header_too_large());
    }
    let body = peer.read_body(&mut response).await?;
    Ok(Answer {
        status: response.status().as_u16(),
        headers: std::mem::take(response.headers_mut()),
        body,
    })
}

/// What was being waited for when a call failed.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Header,
    Body,
}

impl Peer {
    async fn read_body(&self, response: &mut reqwest::Response) -> Result<Bytes, Unanswered> {
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

    fn body_too_large(&self) -> Unanswered {
        let Self { name, response_bytes_max, response_bytes_hint, .. } = self;
        self.sent(
            Cause::TooLarge,
            format!(
                "{name} answered with more than {response_bytes_max} bytes{response_bytes_hint}"
            ),
        )
    }

    fn header_too_large(&self) -> Unanswered {
        let name = &self.name;
        self.sent(
            Cause::TooLarge,
            format!("{name} answered with a header of more than {HEADER_BYTES_MAX} bytes"),
        )
    }

    fn sent(&self, cause: Cause, message: String) -> Unanswered {
        Unanswered { cause, message, sent: true }
    }

    /// Names what went wrong. The order matters: causes lie within each other.
    fn unanswered(&self, error: &reqwest::Error, phase: Phase) -> Unanswered {
        let name = &self.name;
        if error.is_builder() {
            let message = format!("{name} cannot be called: the request cannot be sent as HTTP");
            return Unanswered::unsent(Cause::RequestRefused, message);
        }
        if let Some(private) = find::<PrivateAddress>(error) {
            let message = format!("{name} cannot be called: {private}");
            return Unanswered::unsent(Cause::OriginRefused, message);
        }
        if error.is_connect() {
            let (cause, reason) = unconnected(error);
            return Unanswered::unsent(cause, format!("{name} could not be reached: {reason}"));
        }
        if error.is_timeout() {
            let within = self.timeout.as_millis();
            return self.sent(Cause::Timeout, format!("{name} did not answer within {within} ms"));
        }
        if let Some(hyper) = find::<hyper::Error>(error) {
            if hyper.is_parse_too_large() {
                return self.header_too_large();
            }
            if hyper.is_parse() {
                let message = format!("the answer of {name} is not readable as HTTP");
                return self.sent(Cause::Truncated, message);
            }
            if hyper.is_canceled() || hyper.is_closed() {
                let message = format!("{name} closed the connection before the request was sent");
                return Unanswered::unsent(Cause::Reset, message);
            }
        }
        let reset = find::<io::Error>(error)
            .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
        match phase {
            Phase::Body if !reset => {
                self.sent(Cause::Truncated, format!("the answer of {name} broke off"))
            }
            Phase::Body | Phase::Header => {
                self.sent(Cause::Reset, format!("{name} closed the connection without an answer"))
            }
        }
    }
}

/// Why there is no connection.
fn unconnected(error: &reqwest::Error) -> (Cause, String) {
    if let Some(tls) = find::<rustls::Error>(error) {
        return (Cause::Tls, shorten(&tls.to_string()));
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
            None => "no connection".to_owned(),
        }
    };
    (Cause::Connect, reason)
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

fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect()
}
