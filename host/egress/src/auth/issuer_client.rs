//! Calls to the issuers of tokens and keys.

use std::time::Duration;

use http::HeaderValue;
use http::header;
use url::Url;

use crate::transport::call;
use crate::transport::call::CallTarget;
use crate::transport::call::RawResponse;
use crate::transport::client::HttpClient;
use crate::transport::failure::CallFailure;
use crate::transport::request::OutgoingRequest;
use crate::transport::retry_after;
use hoth_core::domain::CspName;
use hoth_core::domain::TransportCode;
use hoth_platform::clock::Clock;

/// The longest time for one request. An issuer that takes longer is down, while
/// calls to a CSP may well take longer.
const TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// The largest response that is read. Tokens with many claims have some 10 KiB.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// The part of a CSP's client that its issuers are called with.
#[derive(Debug, Clone)]
pub struct IssuerSetup {
    pub csp: CspName,
    pub http: HttpClient,
    /// The limit of a call to the CSP.
    pub timeout: Duration,
    pub clock: Clock,
}

/// A client of one issuer.
#[derive(Debug)]
pub struct IssuerClient {
    csp: CspName,
    http: HttpClient,
    target: CallTarget,
    /// The thing that is granted, in messages: `a token`.
    granted: &'static str,
    clock: Clock,
}

impl IssuerClient {
    /// Makes a client for the issuer at `url`. `name` is its name in messages,
    /// and `granted` that of its grants.
    pub fn new(setup: &IssuerSetup, url: &Url, name: &str, granted: &'static str) -> Self {
        let IssuerSetup { csp, http, timeout, clock } = setup.clone();
        let target = CallTarget {
            name: name.to_owned(),
            timeout: timeout.min(TIMEOUT_MAX),
            header_timeout: None,
            proxied: http.is_proxied(url),
            response_bytes_max: RESPONSE_BYTES_MAX,
            response_bytes_hint: "",
        };
        Self { csp, http, target, granted, clock }
    }

    /// Sends a request once and returns the response, whatever its status.
    pub async fn send(&self, request: OutgoingRequest) -> Result<RawResponse, CallFailure> {
        let http = self.http.get().await;
        let called = call::call(&http, request, &self.target).await;
        called.map_err(|failure| match failure.code {
            // A retry does not change the address of the issuer.
            TransportCode::OriginRefused => {
                self.failure(TransportCode::OriginRefused, &failure.message)
            }
            TransportCode::Connect
            | TransportCode::Timeout
            | TransportCode::Reset
            | TransportCode::Tls
            | TransportCode::Truncated
            | TransportCode::TooLarge
            | TransportCode::TokenRefused
            | TransportCode::TokenUnavailable
            | TransportCode::RequestRefused => self.unavailable(&failure.message),
        })
    }

    /// Returns the clock that dates of the issuer are compared with.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Makes the failure for a status that grants nothing. `word` is the
    /// issuer's error code, if it is a known one.
    pub fn status_failure(&self, response: &RawResponse, word: Option<&str>) -> CallFailure {
        let reason = self.status_message(response.status, word);
        match response.status {
            // A retry of these may succeed; any other 4xx is about the client
            // or the request and stays.
            408 | 425 | 429 => self.throttled(response, &reason),
            400..=499 => self.refused(&reason),
            _ => self.throttled(response, &reason),
        }
    }

    /// Describes a response that grants nothing: the status, and the error if
    /// it is a standard one.
    pub fn status_message(&self, status: u16, word: Option<&str>) -> String {
        let name = &self.target.name;
        match word {
            Some(word) if !word.is_empty() => {
                format!("{name} responded with status {status} (`{word}`)")
            }
            Some(_) | None => format!("{name} responded with status {status}"),
        }
    }

    /// Makes the failure of an issuer that asks for a pause, if it does.
    pub fn throttled(&self, response: &RawResponse, reason: &str) -> CallFailure {
        let pause = retry_after::read(&response.headers, &[], &self.clock);
        let asks = pause.map(|pause| format!(", and asks for a pause of {pause:.1?}"));
        let reason = format!("{reason}{}", asks.unwrap_or_default());
        CallFailure { retry_after: pause, ..self.unavailable(&reason) }
    }

    /// Makes the failure of a response that cannot be parsed.
    pub fn unparsable(&self) -> CallFailure {
        self.unavailable(&format!("{}'s response cannot be parsed", self.target.name))
    }

    /// Makes a failure that a retry may remove.
    pub fn unavailable(&self, reason: &str) -> CallFailure {
        self.failure(TransportCode::TokenUnavailable, reason)
    }

    /// Makes a failure that stays.
    pub fn refused(&self, reason: &str) -> CallFailure {
        self.failure(TransportCode::TokenRefused, reason)
    }

    /// Makes a failure. It counts as unsent because the CSP got no request.
    fn failure(&self, code: TransportCode, reason: &str) -> CallFailure {
        let Self { csp, granted, .. } = self;
        CallFailure::unsent(code, format!("cannot get {granted} for {csp}: {reason}"))
    }
}

/// Makes a POST request with a body of a media type.
pub fn post(url: Url, media_type: &'static str, body: String) -> OutgoingRequest {
    let mut request = OutgoingRequest::new(http::Method::POST, url);
    let headers = &mut request.headers;
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    let agent = HeaderValue::from_static(concat!("hoth/", env!("CARGO_PKG_VERSION")));
    headers.insert(header::USER_AGENT, agent);
    request.body = Some(body.into());
    request
}

/// The media type of the forms that issuers read.
pub const FORM: &str = "application/x-www-form-urlencoded";
