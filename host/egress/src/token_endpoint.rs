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

use crate::call;
use crate::call::Answer;
use crate::call::Peer;
use crate::credential;
use crate::credential_config::OAuth2Config;
use crate::failure::CallFailure;
use crate::http_client::HttpClient;
use crate::token::Scopes;
use hoth_core::domain::CspName;
use hoth_core::domain::TransportCode;

/// An identity provider that takes longer is down; calls to a CSP may well
/// take longer.
const TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// Tokens with many claims have some 10 KiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The error words of RFC 6749 sections 4.1.2.1 and 5.2, and of RFC 8707. Another
/// word may be anything: an issuer might quote the secret that it did not like.
const ERROR_WORDS: [&str; 10] = [
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

/// Where the tokens of one CSP come from.
#[derive(Debug)]
pub struct TokenEndpoint {
    csp: CspName,
    config: OAuth2Config,
    http: HttpClient,
    peer: Peer,
}

/// A token as its issuer granted it.
#[derive(Debug)]
pub struct Granted {
    /// `Bearer …`, marked as sensitive.
    pub header: HeaderValue,
    pub expires_in: Option<Duration>,
}

impl TokenEndpoint {
    pub fn new(
        csp: &CspName,
        config: &OAuth2Config,
        http: HttpClient,
        timeout: Duration,
        proxied: bool,
    ) -> Self {
        let peer = Peer {
            name: "the token endpoint".to_owned(),
            timeout: timeout.min(TIMEOUT_MAX),
            header_timeout: None,
            proxied,
            response_bytes_max: ANSWER_BYTES_MAX,
            response_bytes_hint: "",
        };
        Self { csp: csp.clone(), config: config.clone(), http, peer }
    }

    /// Requests a token once. Reads the client secret again each time.
    pub async fn request(&self, scopes: &Scopes) -> Result<Granted, CallFailure> {
        let secret =
            credential::read_secret(&self.csp, &self.config.client_secret, "client secret").await?;
        let body = self.post(&secret, scopes).await?;
        // Ignores bytes after the object. The error is dropped because it may
        // quote the body, and with it a token.
        match TokenAnswer::deserialize(&mut serde_json::Deserializer::from_slice(&body)) {
            Ok(answer) => self.read(&answer),
            Err(_) => Err(self.unavailable("the token endpoint's answer cannot be understood")),
        }
    }

    /// Sends the form and returns the body of a successful response.
    async fn post(&self, secret: &SecretString, scopes: &Scopes) -> Result<Bytes, CallFailure> {
        let mut request = reqwest::Request::new(http::Method::POST, self.config.token_url.clone());
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        headers.insert(header::AUTHORIZATION, basic_credentials(&self.config.client_id, secret));
        let agent = HeaderValue::from_static(concat!("hoth/", env!("CARGO_PKG_VERSION")));
        headers.insert(header::USER_AGENT, agent);
        *request.body_mut() = Some(form(&self.config.client_id, scopes).into());
        let answer = call::call(&self.http, request, &self.peer).await;
        let Answer { status, body, .. } = answer.map_err(|unanswered| match unanswered.code {
            // Trying again does not change who the endpoint is.
            TransportCode::OriginRefused => {
                self.failure(TransportCode::OriginRefused, &unanswered.message)
            }
            TransportCode::Connect
            | TransportCode::Timeout
            | TransportCode::Reset
            | TransportCode::Tls
            | TransportCode::Truncated
            | TransportCode::TooLarge
            | TransportCode::TokenRefused
            | TransportCode::TokenUnavailable
            | TransportCode::RequestRefused => self.unavailable(&unanswered.message),
        })?;
        let read = body.as_deref().unwrap_or_default();
        match status {
            // Only the body goes on: a media type that is not quite JSON's
            // does not make a token useless.
            200..=299 => match body {
                Ok(body) => Ok(body),
                Err(too_large) => Err(self.unavailable(&too_large.message)),
            },
            408 | 425 | 429 => Err(self.unavailable(&said_no(status, read))),
            400..=499 => Err(self.failure(TransportCode::TokenRefused, &said_no(status, read))),
            _ => Err(self.unavailable(&said_no(status, read))),
        }
    }

    fn read(&self, answer: &TokenAnswer) -> Result<Granted, CallFailure> {
        if !answer.token_type.eq_ignore_ascii_case("bearer") {
            return Err(
                self.unavailable("the token endpoint granted something else than a bearer token")
            );
        }
        let token = answer.access_token.expose_secret();
        let header = HeaderValue::from_str(&format!("Bearer {token}"));
        match header {
            Ok(mut header) if !token.is_empty() => {
                header.set_sensitive(true);
                Ok(Granted { header, expires_in: answer.expires_in.map(Duration::from_secs) })
            }
            Ok(_) | Err(_) => Err(self.unavailable("the token cannot be sent in a header")),
        }
    }

    fn unavailable(&self, reason: &str) -> CallFailure {
        self.failure(TransportCode::TokenUnavailable, reason)
    }

    /// The CSP itself has not heard of any of this, hence unsent.
    fn failure(&self, code: TransportCode, reason: &str) -> CallFailure {
        CallFailure::unsent(code, format!("there is no token for {}: {reason}", self.csp))
    }
}

/// Returns `Basic …`, marked as sensitive. RFC 6749 section 2.3.1 wants id and
/// secret in the form encoding first, unlike Basic credentials elsewhere.
fn basic_credentials(id: &str, secret: &SecretString) -> HeaderValue {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(id), encoded(secret.expose_secret()));
    let mut header = HeaderValue::try_from(format!("Basic {}", BASE64.encode(pair)))
        .expect("base64 is visible ASCII");
    header.set_sensitive(true);
    header
}

/// Returns the body of the request. Some issuers want `client_id` here too.
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

/// Names the status, and why, where the answer has a standard word for it.
fn said_no(status: u16, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let said = serde_json::from_slice(body).ok();
    let word = said.and_then(|Refusal { error }| ERROR_WORDS.into_iter().find(|it| *it == error));
    match word {
        Some(word) => format!("the token endpoint answered {status} (`{word}`)"),
        None => format!("the token endpoint answered {status}"),
    }
}

/// Successful response, read more leniently than the standard asks for: some
/// issuers leave the type out, and some write the lifetime as a string.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: SecretString,
    #[serde(default = "bearer")]
    token_type: String,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
}

fn bearer() -> String {
    "bearer".to_owned()
}

/// Reads 3600, 3600.0 and "3600"; anything else counts as not said.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let text = value.as_str().and_then(|text| text.trim().parse().ok());
    let whole = value.as_u64().or(text);
    Ok(whole.or_else(|| value.as_f64().map(|float| float as u64)))
}
