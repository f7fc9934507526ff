//! One request to the token endpoint (RFC 6749 section 4.4.2).

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::HeaderValue;
use http::header;
use oauth2::AccessToken;
use oauth2::AsyncHttpClient;
use oauth2::AuthType;
use oauth2::ClientId;
use oauth2::ClientSecret;
use oauth2::RefreshToken;
use oauth2::RequestTokenError;
use oauth2::Scope;
use oauth2::StandardRevocableToken;
use oauth2::TokenResponse;
use oauth2::TokenType;
use oauth2::TokenUrl;
use oauth2::basic::BasicErrorResponse;
use oauth2::basic::BasicRevocationErrorResponse;
use oauth2::basic::BasicTokenIntrospectionResponse;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;

use crate::call;
use crate::call::Answer;
use crate::call::Peer;
use crate::credential;
use crate::credential_config::OAuth2Config;
use crate::failure::Cause;
use crate::failure::Unanswered;
use crate::http_client::HttpClient;
use crate::token::Scopes;
use hoth_core::domain::CspName;

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

    /// Asks for a token once. The secret is read anew each time.
    pub async fn request(&self, scopes: &Scopes) -> Result<Granted, Unanswered> {
        let secret =
            credential::read_secret(&self.csp, &self.config.client_secret, "client secret").await?;
        let id = ClientId::new(self.config.client_id.clone());
        let client = OAuth2Client::new(id)
            .set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()))
            .set_token_uri(TokenUrl::from_url(self.config.token_url.clone()))
            .set_auth_type(AuthType::BasicAuth);
        let request = client
            .exchange_client_credentials()
            .add_extra_param("client_id", &self.config.client_id)
            .add_scopes(scopes.iter().cloned().map(Scope::new));
        match request.request_async(self).await {
            Ok(answer) => self.read(&answer),
            Err(RequestTokenError::Request(unanswered)) => Err(unanswered),
            // What these hold may quote the answer, and with it a token.
            Err(
                RequestTokenError::ServerResponse(_)
                | RequestTokenError::Parse(..)
                | RequestTokenError::Other(_),
            ) => Err(self.unavailable("the token endpoint's answer cannot be understood")),
        }
    }

    async fn post(
        &self,
        mut request: oauth2::HttpRequest,
    ) -> Result<oauth2::HttpResponse, Unanswered> {
        if let Some(credentials) = request.headers_mut().get_mut(header::AUTHORIZATION) {
            credentials.set_sensitive(true);
        }
        let agent = HeaderValue::from_static(concat!("hoth/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(header::USER_AGENT, agent);
        let request = reqwest::Request::try_from(request)
            .map_err(|_| self.unavailable("the request cannot be sent as HTTP"))?;
        let answer = call::call(&self.http, request, &self.peer).await;
        let Answer { status, body, .. } = answer.map_err(|unanswered| match unanswered.cause {
            // Trying again does not change who the endpoint is.
            Cause::OriginRefused => self.failure(Cause::OriginRefused, &unanswered.message),
            Cause::Connect
            | Cause::Timeout
            | Cause::Reset
            | Cause::Tls
            | Cause::Truncated
            | Cause::TooLarge
            | Cause::TokenRefused
            | Cause::TokenUnavailable
            | Cause::RequestRefused => self.unavailable(&unanswered.message),
        })?;
        let read = body.as_deref().unwrap_or_default();
        match status {
            // Only the body goes on: a media type that is not quite JSON's
            // does not make a token useless.
            200..=299 => match body {
                Ok(body) => Ok(oauth2::HttpResponse::new(body.into())),
                Err(too_large) => Err(self.unavailable(&too_large.message)),
            },
            408 | 425 | 429 => Err(self.unavailable(&said_no(status, read))),
            400..=499 => Err(self.failure(Cause::TokenRefused, &said_no(status, read))),
            _ => Err(self.unavailable(&said_no(status, read))),
        }
    }

    fn read(&self, answer: &TokenAnswer) -> Result<Granted, Unanswered> {
        if !answer.token_type.0.eq_ignore_ascii_case("bearer") {
            return Err(
                self.unavailable("the token endpoint granted something else than a bearer token")
            );
        }
        let token = answer.access_token.secret();
        let header = HeaderValue::from_str(&format!("Bearer {token}"));
        match header {
            Ok(mut header) if !token.is_empty() => {
                header.set_sensitive(true);
                Ok(Granted { header, expires_in: answer.expires_in() })
            }
            Ok(_) | Err(_) => Err(self.unavailable("the token cannot be sent in a header")),
        }
    }

    fn unavailable(&self, reason: &str) -> Unanswered {
        self.failure(Cause::TokenUnavailable, reason)
    }

    /// The CSP itself has not heard of any of this, hence unsent.
    fn failure(&self, cause: Cause, reason: &str) -> Unanswered {
        Unanswered::unsent(cause, format!("there is no token for {}: {reason}", self.csp))
    }
}

/// The HTTP client that the `oauth2` crate asks for.
impl<'c> AsyncHttpClient<'c> for TokenEndpoint {
    type Error = Unanswered;
    type Future = BoxFuture<'c, Result<oauth2::HttpResponse, Unanswered>>;

    fn call(&'c self, request: oauth2::HttpRequest) -> Self::Future {
        self.post(request).boxed()
    }
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

type OAuth2Client = oauth2::Client<
    BasicErrorResponse,
    TokenAnswer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
>;

/// A successful answer, read with more patience than the standard asks for:
/// some issuers leave the type out, and some write the lifetime as a string.
#[derive(Debug, Serialize, Deserialize)]
struct TokenAnswer {
    access_token: AccessToken,
    #[serde(default)]
    token_type: Kind,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kind(String);

impl Default for Kind {
    fn default() -> Self {
        Self("bearer".to_owned())
    }
}

impl TokenType for Kind {}

impl TokenResponse for TokenAnswer {
    type TokenType = Kind;

    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &Kind {
        &self.token_type
    }

    fn expires_in(&self) -> Option<Duration> {
        self.expires_in.map(Duration::from_secs)
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        None
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}

/// Reads 3600, 3600.0 and "3600"; anything else counts as not said.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let text = value.as_str().and_then(|text| text.trim().parse().ok());
    let whole = value.as_u64().or(text);
    Ok(whole.or_else(|| value.as_f64().map(|float| float as u64)))
}
