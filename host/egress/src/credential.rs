//! Shows a CSP who calls: picks the credential, and puts it into the request.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::header;
use secrecy::ExposeSecret as _;
use secrecy::SecretString;
use tokio::time::Instant;
use tracing::warn;

use crate::config::Config;
use crate::credential_config::ApiKeyConfig;
use crate::credential_config::BasicConfig;
use crate::credential_config::CredentialConfig;
use crate::failure::CallFailure;
use crate::http_client::HttpClient;
use crate::token::Scopes;
use crate::token::Tokens;
use hoth_core::domain::CspName;
use hoth_core::domain::TransportCode;
use hoth_platform::secret::SecretSource;

/// How long a key or a password that was read is used before it is read again.
/// A rotation takes effect as fast as anyone could restart the host, and few
/// calls wait for the file system.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// All credentials of one CSP.
#[derive(Debug)]
pub struct Credentials {
    default: Option<Credential>,
    named: BTreeMap<String, Credential>,
    headers: Vec<HeaderName>,
}

/// One way to show who calls.
#[derive(Debug, Clone)]
pub enum Credential {
    OAuth2(Tokens),
    Fixed(Fixed),
}

/// A credential as one request carries it.
#[derive(Debug, Clone)]
pub struct Pass {
    pub header: HeaderName,
    /// Marked as sensitive.
    pub value: HeaderValue,
    /// What lies within the value in another form: a password.
    pub within: Option<Arc<SecretString>>,
    /// Distinguishes a token from its successor.
    pub number: u64,
}

/// A name that the configuration does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it asks for the credential {name:?}, and there is no `[csp.{csp}.credentials.{name}]`")]
pub struct UnknownCredential {
    csp: CspName,
    name: String,
}

/// A key or a password that is read from where it stands.
#[derive(Debug, Clone)]
pub struct Fixed(Arc<FixedInner>);

#[derive(Debug)]
struct FixedInner {
    csp: CspName,
    kind: Kind,
    read: Mutex<Option<(Instant, Pass)>>,
}

#[derive(Debug)]
enum Kind {
    ApiKey(ApiKeyConfig),
    Basic(BasicConfig),
}

impl Credentials {
    /// `config` has been validated.
    pub fn new(csp: &CspName, config: &Config, http: &HttpClient) -> Self {
        let make = |from: &CredentialConfig| Credential::new(csp, from, config, http);
        let default_config = config.default_credential();
        let mut headers = vec![header::AUTHORIZATION];
        let all = config.credentials.values().chain([&default_config]);
        headers.extend(all.filter_map(|it| Some(it.api_key.as_ref()?.header.clone())));
        Self {
            default: make(&default_config),
            named: config
                .credentials
                .iter()
                .filter_map(|(name, it)| Some((name.clone(), make(it)?)))
                .collect(),
            headers,
        }
    }

    /// The credential for a request; none where the CSP has no default one.
    pub fn choose(
        &self,
        csp: &CspName,
        name: Option<&str>,
    ) -> Result<Option<&Credential>, UnknownCredential> {
        let Some(name) = name else { return Ok(self.default.as_ref()) };
        let unknown = || UnknownCredential { csp: csp.clone(), name: name.to_owned() };
        self.named.get(name).map(Some).ok_or_else(unknown)
    }

    pub fn has(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    /// Every header that carries a credential in some request.
    pub fn headers(&self) -> &[HeaderName] {
        &self.headers
    }
}

impl Credential {
    fn new(
        csp: &CspName,
        config: &CredentialConfig,
        of: &Config,
        http: &HttpClient,
    ) -> Option<Self> {
        if let Some(oauth2) = &config.oauth2 {
            let proxied = of.is_proxied(&oauth2.token_url);
            let tokens = Tokens::new(csp, oauth2, http.clone(), of.timeout(), proxied);
            return Some(Self::OAuth2(tokens));
        }
        let api_key = config.api_key.clone().map(Kind::ApiKey);
        let kind = api_key.or_else(|| config.basic.clone().map(Kind::Basic))?;
        Some(Self::Fixed(Fixed(Arc::new(FixedInner {
            csp: csp.clone(),
            kind,
            read: Mutex::default(),
        }))))
    }

    /// What the next request carries.
    pub async fn get(&self, scopes: &Scopes) -> Result<Pass, CallFailure> {
        match self {
            Self::OAuth2(tokens) => tokens.get(scopes).await,
            Self::Fixed(fixed) => fixed.get().await,
        }
    }

    /// What a request carries after the CSP did not take `refused`; none when
    /// there is nothing else.
    pub async fn renew(
        &self,
        scopes: &Scopes,
        refused: &Pass,
    ) -> Result<Option<Pass>, CallFailure> {
        match self {
            Self::OAuth2(tokens) => {
                tokens.discard(scopes, refused);
                tokens.get(scopes).await.map(Some)
            }
            Self::Fixed(fixed) => {
                let read = fixed.read().await?;
                Ok((read.value != refused.value).then_some(read))
            }
        }
    }
}

impl Fixed {
    async fn get(&self) -> Result<Pass, CallFailure> {
        {
            let read = self.0.read.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((at, pass)) = &*read
                && at.elapsed() < READ_AGAIN
            {
                return Ok(pass.clone());
            }
        }
        self.read().await
    }

    async fn read(&self) -> Result<Pass, CallFailure> {
        let at = Instant::now();
        let (source, what) = match &self.0.kind {
            Kind::ApiKey(api_key) => (&api_key.value, "API key"),
            Kind::Basic(basic) => (&basic.password, "password"),
        };
        let secret = read_secret(&self.0.csp, source, what).await?;
        let pass = self.0.kind.pass(secret).ok_or_else(|| {
            let csp = &self.0.csp;
            let message = format!("the {what} for {csp} cannot be sent in a header");
            CallFailure::unsent(TransportCode::TokenUnavailable, message)
        })?;
        let mut read = self.0.read.lock().unwrap_or_else(PoisonError::into_inner);
        *read = Some((at, pass.clone()));
        Ok(pass)
    }
}

impl Kind {
    /// None: no header can hold it.
    fn pass(&self, secret: SecretString) -> Option<Pass> {
        let (header, value, within) = match self {
            Self::ApiKey(config) => (config.header.clone(), secret, None),
            Self::Basic(config) => {
                let pair =
                    SecretString::from(format!("{}:{}", config.username, secret.expose_secret()));
                let encoded = STANDARD.encode(pair.expose_secret());
                let value = SecretString::from(format!("Basic {encoded}"));
                (header::AUTHORIZATION, value, Some(Arc::new(secret)))
            }
        };
        let mut value = HeaderValue::from_str(value.expose_secret()).ok()?;
        value.set_sensitive(true);
        Some(Pass { header, value, within, number: 0 })
    }
}

impl Pass {
    /// Puts the credential into a request.
    pub fn sign(&self, headers: &mut HeaderMap) {
        headers.insert(self.header.clone(), self.value.clone());
    }
}

/// Reads a secret, and tells the log alone where it should have stood.
pub async fn read_secret(
    csp: &CspName,
    source: &SecretSource,
    what: &str,
) -> Result<SecretString, CallFailure> {
    let source = source.clone();
    let read = tokio::task::spawn_blocking(move || source.read()).await;
    let error: Box<dyn Error> = match read {
        Ok(Ok(secret)) => return Ok(secret),
        Ok(Err(error)) => error.into(),
        Err(error) => error.into(),
    };
    let cause = error.source().map(ToString::to_string);
    warn!(%csp, %error, cause, "The {what} for {csp} cannot be read");
    let message = format!("the {what} for {csp} cannot be read");
    Err(CallFailure::unsent(TransportCode::TokenUnavailable, message))
}
