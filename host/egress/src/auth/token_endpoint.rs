//! The token endpoint (RFC 6749 section 3.2), for each of its grants.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http::header;
use secrecy::ExposeSecret as _;
use secrecy::SecretString;
use serde::Deserialize;
use serde::Deserializer;
use url::Url;

use crate::auth::grants::Granted;
use crate::auth::issuer_client;
use crate::auth::issuer_client::IssuerClient;
use crate::auth::issuer_client::IssuerSetup;
use crate::auth::sign::signing_clock::SigningClock;
use crate::transport::call::RawResponse;
use crate::transport::coding::without_byte_order_mark;
use crate::transport::failure::CallFailure;
use hoth_core::domain::Timestamp;

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
    client: IssuerClient,
    url: Url,
    /// Dates the assertions that HOTH signs.
    clock: SigningClock,
}

impl TokenEndpoint {
    pub fn new(setup: &IssuerSetup, url: &Url) -> Self {
        let client = IssuerClient::new(setup, url, "the token endpoint", "a token");
        let clock = SigningClock::new(&setup.csp, setup.clock.clone());
        Self { client, url: url.clone(), clock }
    }

    /// Sends a form once. Returns the token that is granted.
    pub async fn request(
        &self,
        form: String,
        authorization: Option<HeaderValue>,
    ) -> Result<Granted<HeaderValue>, CallFailure> {
        let response = self.post(form, authorization).await?;
        self.grant(response)
    }

    /// Sends a form with an assertion that is signed at the given time. If the
    /// endpoint refuses it and has another time, signs and sends it once more.
    pub async fn request_signed(
        &self,
        form: impl Fn(Timestamp) -> String + Sync,
    ) -> Result<Granted<HeaderValue>, CallFailure> {
        let mut response = self.post(form(self.clock.now()), None).await?;
        if matches!(response.status, 400 | 401)
            && let Some(skew) = self.clock.skew(&response.headers)
        {
            self.clock.correct(skew);
            response = self.post(form(self.clock.now()), None).await?;
        }
        self.grant(response)
    }

    async fn post(
        &self,
        form: String,
        authorization: Option<HeaderValue>,
    ) -> Result<RawResponse, CallFailure> {
        let mut request = issuer_client::post(self.url.clone(), issuer_client::FORM, form);
        if let Some(authorization) = authorization {
            request.headers.insert(header::AUTHORIZATION, authorization);
        }
        self.client.send(request).await
    }

    /// Reads a response.
    fn grant(&self, response: RawResponse) -> Result<Granted<HeaderValue>, CallFailure> {
        let body = self.successful(response)?;
        // Ignores bytes after the object. The error is dropped because it may
        // quote the body, and with it a token.
        let json = without_byte_order_mark(&body);
        match TokenResponse::deserialize(&mut serde_json::Deserializer::from_slice(json)) {
            Ok(response) => self.read(&response),
            Err(_) => Err(self.client.unparsable()),
        }
    }

    /// Returns the body of a successful response.
    fn successful(&self, response: RawResponse) -> Result<Bytes, CallFailure> {
        let read = without_byte_order_mark(response.body.as_deref().unwrap_or_default());
        let status = response.status;
        let word = error_word(read);
        let message = self.client.status_message(status, word.as_deref());
        // Some issuers send a refusal or an overload with status 200 or 400.
        if matches!(status, 200..=499) && word.as_deref().is_some_and(may_pass) {
            return Err(self.client.throttled(&response, &message));
        }
        match status {
            200..=299 if word.is_some() && !grants(read) => Err(self.client.refused(&message)),
            // The media type is not checked: some issuers send a token as
            // `text/plain`.
            200..=299 => response.body.map_err(|bad| self.client.unavailable(&bad.message)),
            _ => Err(self.client.status_failure(&response, word.as_deref())),
        }
    }

    /// Reads a granted token.
    fn read(&self, response: &TokenResponse) -> Result<Granted<HeaderValue>, CallFailure> {
        // A token of another type (`mac`, `DPoP`) needs a proof that a bearer
        // token does not have; the next one would be of the same type.
        if !is_bearer(response.token_type.as_deref()) {
            return Err(self
                .client
                .refused("the token endpoint granted a token that is not a bearer token"));
        }
        let value = bearer(&response.access_token)
            .ok_or_else(|| self.client.unavailable("the token cannot be sent in a header"))?;
        Ok(Granted { value, expires_in: response.expires_in.map(Duration::from_secs) })
    }
}

/// Returns `Bearer …`, marked as sensitive, or `None` if the token is empty or
/// cannot be sent in a header.
pub fn bearer(token: &SecretString) -> Option<HeaderValue> {
    let token = token.expose_secret();
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    (!token.is_empty()).then_some(header)
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
