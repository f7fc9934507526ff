//! Authenticates requests to a CSP: selects a credential and obtains its header
//! field.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use http::HeaderValue;
use http::header;
use secrecy::ExposeSecret as _;
use secrecy::SecretString;
use tokio::time::Instant;
use url::Url;

use crate::auth::config::ApiKeyConfig;
use crate::auth::config::BasicConfig;
use crate::auth::config::CredentialConfig;
use crate::auth::header::AuthHeader;
use crate::auth::scopes::Scopes;
use crate::auth::secret::read_secret;
use crate::auth::token::Tokens;
use crate::policy::origin::Origin;
use crate::transport::client::HttpClient;
use crate::transport::failure::CallFailure;
use hoth_core::domain::CspName;
use hoth_core::domain::TransportCode;

/// The time for which a key or a password is used before it is read again. A
/// rotation takes effect as fast as a restart of the host would, and few calls
/// wait for the file system.
const REREAD_INTERVAL: Duration = Duration::from_secs(5);

/// All credentials of one CSP.
#[derive(Debug)]
pub struct Credentials {
    default: Option<Credential>,
    /// The origins that get the default credential: that of `base_url`, and
    /// those in `credential_origins`.
    default_origins: Vec<Origin>,
    named: BTreeMap<String, Credential>,
    /// Every header field that carries a credential in some request.
    header_names: Vec<HeaderName>,
}

/// A credential of one kind.
#[derive(Debug, Clone)]
pub enum Credential {
    OAuth2(Tokens),
    Static(StaticCredential),
}

/// The error of a request for a credential that is not configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it asks for the credential {name:?}, and there is no `[csp.{csp}.credentials.{name}]`")]
pub struct UnknownCredential {
    csp: CspName,
    name: String,
}

/// A key or a password that is read from its source.
#[derive(Debug, Clone)]
pub struct StaticCredential(Arc<StaticInner>);

#[derive(Debug)]
struct StaticInner {
    csp: CspName,
    kind: StaticKind,
    /// The header that was read last, and the time at which that read began.
    cached: Mutex<Option<(Instant, AuthHeader)>>,
    /// Held during a read, so that a file system which does not answer takes
    /// one of the threads that all CSPs share, and not one for each call.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
enum StaticKind {
    ApiKey(ApiKeyConfig),
    Basic(BasicConfig),
}

impl Credentials {
    /// Makes the credentials of one CSP from a valid configuration. `timeout`
    /// is the limit of a call to the CSP.
    pub fn new(
        csp: &CspName,
        default: &CredentialConfig,
        default_origins: Vec<Origin>,
        named: &BTreeMap<String, CredentialConfig>,
        http: &HttpClient,
        timeout: Duration,
    ) -> Self {
        let make = |config: &CredentialConfig| Credential::new(csp, config, http, timeout);
        // `authorization` is always among them, so that no adapter can set it
        // and smuggle in a credential of its own.
        let mut header_names = vec![header::AUTHORIZATION];
        let api_keys = named.values().chain([default]).filter_map(|it| it.api_key.as_ref());
        header_names.extend(api_keys.map(|api_key| api_key.header.clone()));
        Self {
            default: make(default),
            default_origins,
            named: named
                .iter()
                .filter_map(|(name, config)| Some((name.clone(), make(config)?)))
                .collect(),
            header_names,
        }
    }

    /// Selects the credential of a request to `url`. Without a name this is the
    /// default credential, or `None` if the CSP has no default credential or if
    /// the origin of `url` does not get it.
    pub fn select(
        &self,
        csp: &CspName,
        name: Option<&str>,
        url: &Url,
    ) -> Result<Option<&Credential>, UnknownCredential> {
        let Some(name) = name else {
            let origin = Origin::of(url);
            return Ok(self.default.as_ref().filter(|_| self.default_origins.contains(&origin)));
        };
        let unknown = || UnknownCredential { csp: csp.clone(), name: name.to_owned() };
        self.named.get(name).map(Some).ok_or_else(unknown)
    }

    /// Returns true if a credential with this name is configured.
    pub fn has(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    /// Returns every header field that carries a credential in some request.
    pub fn header_names(&self) -> &[HeaderName] {
        &self.header_names
    }
}

impl Credential {
    /// Makes a credential. Returns `None` if the configuration is empty.
    fn new(
        csp: &CspName,
        config: &CredentialConfig,
        http: &HttpClient,
        timeout: Duration,
    ) -> Option<Self> {
        if let Some(oauth2) = &config.oauth2 {
            return Some(Self::OAuth2(Tokens::new(csp, oauth2, http.clone(), timeout)));
        }
        let api_key = config.api_key.clone().map(StaticKind::ApiKey);
        let kind = api_key.or_else(|| config.basic.clone().map(StaticKind::Basic))?;
        let (cached, reading) = (Mutex::default(), tokio::sync::Mutex::default());
        let inner = StaticInner { csp: csp.clone(), kind, cached, reading };
        Some(Self::Static(StaticCredential(Arc::new(inner))))
    }

    /// Returns the header of the next request, from the cache if possible.
    /// Waits up to `patience` while the issuer asks for a pause.
    pub async fn header(
        &self,
        scopes: &Scopes,
        patience: Duration,
    ) -> Result<AuthHeader, CallFailure> {
        match self {
            Self::OAuth2(tokens) => tokens.header(scopes, patience).await,
            Self::Static(credential) => credential.header().await,
        }
    }

    /// Returns a new header after the CSP refused one. Returns `None` if the
    /// source of a key or a password still holds the refused value.
    pub async fn renew(
        &self,
        scopes: &Scopes,
        refused: &AuthHeader,
        patience: Duration,
    ) -> Result<Option<AuthHeader>, CallFailure> {
        match self {
            Self::OAuth2(tokens) => {
                tokens.discard(scopes, refused);
                tokens.header(scopes, patience).await.map(Some)
            }
            Self::Static(credential) => {
                // Read again in any case: the cached value is the refused one.
                let _reading = credential.0.reading.lock().await;
                let read = credential.read().await?;
                Ok((read.value != refused.value).then_some(read))
            }
        }
    }
}

impl StaticCredential {
    async fn header(&self) -> Result<AuthHeader, CallFailure> {
        if let Some(header) = self.cached() {
            return Ok(header);
        }
        let _reading = self.0.reading.lock().await;
        // Another call may have read it while this one waited for the lock.
        match self.cached() {
            Some(header) => Ok(header),
            None => self.read().await,
        }
    }

    /// Returns the header that was read last, unless that is long ago.
    fn cached(&self) -> Option<AuthHeader> {
        let cached = self.0.cached.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_at, header) = cached.as_ref()?;
        (read_at.elapsed() < REREAD_INTERVAL).then(|| header.clone())
    }

    /// Reads the secret and caches its header.
    async fn read(&self) -> Result<AuthHeader, CallFailure> {
        // The time before the read: a secret that is replaced meanwhile must
        // not count as newer than it is.
        let read_at = Instant::now();
        let (source, what) = match &self.0.kind {
            StaticKind::ApiKey(api_key) => (&api_key.value, "API key"),
            StaticKind::Basic(basic) => (&basic.password, "password"),
        };
        let secret = read_secret(&self.0.csp, source, what).await?;
        let header = self.0.kind.header(secret).ok_or_else(|| {
            let csp = &self.0.csp;
            let message = format!("the {what} for {csp} cannot be sent in a header");
            CallFailure::unsent(TransportCode::TokenUnavailable, message)
        })?;
        let mut cached = self.0.cached.lock().unwrap_or_else(PoisonError::into_inner);
        *cached = Some((read_at, header.clone()));
        Ok(header)
    }
}

impl StaticKind {
    /// Makes the header of a secret. Returns `None` if the secret has a byte
    /// that a header field cannot carry.
    fn header(&self, secret: SecretString) -> Option<AuthHeader> {
        let (name, value, password) = match self {
            Self::ApiKey(config) => (config.header.clone(), secret, None),
            Self::Basic(config) => {
                let pair =
                    SecretString::from(format!("{}:{}", config.username, secret.expose_secret()));
                let encoded = STANDARD.encode(pair.expose_secret());
                let value = SecretString::from(format!("Basic {encoded}"));
                (header::AUTHORIZATION, value, Some(secret))
            }
        };
        let mut value = HeaderValue::from_str(value.expose_secret()).ok()?;
        value.set_sensitive(true);
        Some(AuthHeader::new(name, value, password.as_ref(), 0))
    }
}
