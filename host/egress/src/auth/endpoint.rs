//! One request to the token endpoint (RFC 6749 section 4.4.2).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::HeaderValue;
use http::header;
use secrecy::ExposeSecret as _;
use secrecy::SecretString;
use serde::Deserialize;
use serde::Deserializer;
use url::form_urlencoded;

use crate::auth::config::OAuth2Config;
use crate::auth::scopes::Scopes;
use crate::auth::secret::read_secret;
use crate::transport::call;
use crate::transport::call::CallTarget;
use crate::transport::call::RawResponse;
use crate::transport::client::HttpClient;
use crate::transport::coding::without_byte_order_mark;
use crate::transport::failure::CallFailure;
use crate::transport::retry_after;
use hoth_core::domain::CspName;
use hoth_core::domain::TransportCode;
use hoth_platform::clock::Clock;

/// The longest time for one token request. An identity provider that takes
/// longer is down, while calls to a CSP may well take longer.
const TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// The largest response that is read. Tokens with many claims have some 10 KiB.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// The error codes of RFC 6749 sections 4.1.2.1 and 5.2, and of RFC 8707. Other
/// text is not repeated: an issuer might quote the secret that it refused.
const ERROR_CODES: [&str; 10] = [
    "access_denied",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
];

/// The token endpoint of one CSP.
#[derive(Debug)]
pub struct TokenEndpoint {
    csp: CspName,
    config: OAuth2Config,
    http: HttpClient,
    target: CallTarget,
    /// Compares the date of a `Retry-After` that has one.
    clock: Clock,
}

/// A token as its issuer granted it, not yet cached.
#[derive(Debug)]
pub struct GrantedToken {
    /// `Bearer …`, marked as sensitive.
    pub header: HeaderValue,
    /// The lifetime, or `None` if the issuer states none.
    pub expires_in: Option<Duration>,
}

impl TokenEndpoint {
    pub fn new(csp: &CspName, config: &OAuth2Config, http: HttpClient, timeout: Duration) -> Self {
        let target = CallTarget {
            name: "the token endpoint".to_owned(),
            timeout: timeout.min(TIMEOUT_MAX),
            header_timeout: None,
            proxied: http.is_proxied(&config.token_url),
            response_bytes_max: RESPONSE_BYTES_MAX,
            response_bytes_hint: "",
        };
        Self { csp: csp.clone(), config: config.clone(), http, target, clock: Clock::system() }
    }

    /// Requests a token once. Reads the client secret again each time, so that a
    /// rotated secret takes effect.
    pub async fn request(&self, scopes: &Scopes) -> Result<GrantedToken, CallFailure> {
        let secret = read_secret(&self.csp, &self.config.client_secret, "client secret").await?;
        let body = self.post(&secret, scopes).await?;
        // Ignores bytes after the object. The error is dropped because it may
        // quote the body, and with it a token.
        let json = without_byte_order_mark(&body);
        match TokenResponse::deserialize(&mut serde_json::Deserializer::from_slice(json)) {
            Ok(response) => self.read(&response),
            Err(_) => Err(self.unavailable("the token endpoint's response cannot be parsed")),
        }
    }

    /// Sends the form and returns the body of a successful response.
    async fn post(&self, secret: &SecretString, scopes: &Scopes) -> Result<Bytes, CallFailure> {
        let mut request = reqwest::Request::new(http::Method::POST, self.config.token_url.clone());
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        headers.insert(header::AUTHORIZATION, basic_credentials(&self.config.client_id, secret));
        let agent = HeaderValue::from_static(concat!("hoth/", env!("CARGO_PKG_VERSION")));
        headers.insert(header::USER_AGENT, agent);
        *request.body_mut() = Some(form(&self.config.client_id, scopes).into());
        let http = self.http.get().await;
        let called = call::call(&http, request, &self.target).await;
        let RawResponse { status, headers, body } =
            called.map_err(|failure| match failure.code {
                // A retry does not change the address of the endpoint.
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
            })?;
        let read = without_byte_order_mark(body.as_deref().unwrap_or_default());
        let pause = retry_after::read(&headers, &self.clock);
        let word = error_word(read);
        let message = error_message(status, word.as_deref());
        // Some issuers send a refusal or an overload with status 200 or 400.
        if matches!(status, 200..=499) && word.as_deref().is_some_and(may_pass) {
            return Err(self.throttled(&message, pause));
        }
        match status {
            200..=299 if word.is_some() && !grants(read) => {
                Err(self.failure(TransportCode::TokenRefused, &message))
            }
            // The media type is not checked: some issuers send a token as
            // `text/plain`.
            200..=299 => match body {
                Ok(body) => Ok(body),
                Err(too_large) => Err(self.unavailable(&too_large.message)),
            },
            // A retry of these may succeed; any other 4xx is about the client
            // or the request and stays.
            408 | 425 | 429 => Err(self.throttled(&message, pause)),
            400..=499 => Err(self.failure(TransportCode::TokenRefused, &message)),
            _ => Err(self.throttled(&message, pause)),
        }
    }

    /// Reads a granted token.
    fn read(&self, response: &TokenResponse) -> Result<GrantedToken, CallFailure> {
        // A token of another type (`mac`, `DPoP`) needs a proof that a bearer
        // token does not have; the next one would be of the same type.
        if !is_bearer(response.token_type.as_deref()) {
            return Err(self.failure(
                TransportCode::TokenRefused,
                "the token endpoint granted a token that is not a bearer token",
            ));
        }
        let token = response.access_token.expose_secret();
        let header = HeaderValue::from_str(&format!("Bearer {token}"));
        match header {
            Ok(mut header) if !token.is_empty() => {
                header.set_sensitive(true);
                Ok(GrantedToken {
                    header,
                    expires_in: response.expires_in.map(Duration::from_secs),
                })
            }
            Ok(_) | Err(_) => Err(self.unavailable("the token cannot be sent in a header")),
        }
    }

    /// Makes the failure of an endpoint that asks for a pause, if it does.
    fn throttled(&self, reason: &str, pause: Option<Duration>) -> CallFailure {
        let asks = pause.map(|pause| format!(", and asks for a pause of {:.1?}", pause));
        let reason = format!("{reason}{}", asks.unwrap_or_default());
        CallFailure { retry_after: pause, ..self.unavailable(&reason) }
    }

    fn unavailable(&self, reason: &str) -> CallFailure {
        self.failure(TransportCode::TokenUnavailable, reason)
    }

    /// Makes a failure. It counts as unsent because the CSP got no request.
    fn failure(&self, code: TransportCode, reason: &str) -> CallFailure {
        CallFailure::unsent(code, format!("cannot get a token for {}: {reason}", self.csp))
    }
}

/// Returns `Basic …`, marked as sensitive. RFC 6749 section 2.3.1 asks for the
/// form encoding of id and secret first, unlike RFC 7617.
fn basic_credentials(id: &str, secret: &SecretString) -> HeaderValue {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(id), encoded(secret.expose_secret()));
    let mut header = HeaderValue::try_from(format!("Basic {}", BASE64.encode(pair)))
        .expect("base64 is visible ASCII");
    header.set_sensitive(true);
    header
}

/// Returns the body of the request. It repeats `client_id` because some issuers
/// require that.
fn form(client_id: &str, scopes: &Scopes) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if !scopes.is_empty() {
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        form.append_pair("scope", &scopes.join(" "));
    }
    form.append_pair("client_id", client_id);
    form.finish()
}

/// Returns the error of a response: a standard code, or an empty text for any
/// other. Returns `None` if the response has none.
fn error_word(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct ErrorResponse {
        error: String,
    }
    let parsed = ErrorResponse::deserialize(&mut serde_json::Deserializer::from_slice(body));
    let ErrorResponse { error } = parsed.ok()?;
    Some(if ERROR_CODES.contains(&error.as_str()) { error } else { String::new() })
}

/// Returns true for the errors that RFC 6749 has for an endpoint that cannot
/// answer now.
fn may_pass(error: &str) -> bool {
    matches!(error, "server_error" | "temporarily_unavailable")
}

/// Returns true if the body has a token, whatever else it has.
fn grants(body: &[u8]) -> bool {
    TokenResponse::deserialize(&mut serde_json::Deserializer::from_slice(body)).is_ok()
}

/// Returns true for the types of bearer tokens. Some issuers leave the type out,
/// send `null`, or have their own spelling.
fn is_bearer(token_type: Option<&str>) -> bool {
    let named = token_type.unwrap_or_default().trim();
    named.is_empty()
        || named.eq_ignore_ascii_case("bearer")
        || named.eq_ignore_ascii_case("bearertoken")
}

/// Describes a response that grants no token: the status, and the error if it
/// is a standard one.
fn error_message(status: u16, word: Option<&str>) -> String {
    match word {
        Some(word) if !word.is_empty() => {
            format!("the token endpoint responded with status {status} (`{word}`)")
        }
        Some(_) | None => format!("the token endpoint responded with status {status}"),
    }
}

/// A successful response, read more leniently than RFC 6749 section 5.1: some
/// issuers leave the type out, and some write the lifetime as a string.
#[derive(Deserialize)]
struct TokenResponse {
    access_token: SecretString,
    #[serde(default)]
    token_type: Option<String>,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
}

/// Reads 3600, 3600.0 and "3600". Anything else counts as absent.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let text = value.as_str().and_then(|text| text.trim().parse().ok());
    let whole = value.as_u64().or(text);
    Ok(whole.or_else(|| value.as_f64().map(|float| float as u64)))
}
