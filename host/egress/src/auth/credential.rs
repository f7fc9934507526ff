//! Authenticates requests to a CSP: selects a credential and obtains a signer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use http::HeaderValue;
use http::header;
use secrecy::ExposeSecret as _;
use secrecy::SecretString;

use crate::auth::aws::credential::AwsCredential;
use crate::auth::config::ApiKeyConfig;
use crate::auth::config::BasicConfig;
use crate::auth::config::CredentialConfig;
use crate::auth::demand::Demand;
use crate::auth::destination::Destinations;
use crate::auth::google;
use crate::auth::issuer_client::IssuerSetup;
use crate::auth::oauth2::OAuth2;
use crate::auth::oci::OciCredential;
use crate::auth::parameters;
use crate::auth::parameters::BadParameters;
use crate::auth::parameters::Parameters;
use crate::auth::reread::Reread;
use crate::auth::secret::read_secret;
use crate::auth::sign::header::AuthHeader;
use crate::auth::sign::signer::HeaderSigner;
use crate::auth::sign::signer::Signer;
use crate::auth::status::CredentialStatus;
use crate::auth::tokens::TokenIssuer;
use crate::auth::tokens::Tokens;
use crate::endpoints::DEFAULT_CREDENTIAL;
use crate::endpoints::EndpointCredential;
use crate::policy::aws_scope::AwsScope;
use crate::policy::target::Place;
use crate::transport::failure::CallFailure;
use hoth_core::domain::CredentialChoice;
use hoth_core::domain::CredentialUse;
use hoth_core::domain::CspName;
use hoth_core::domain::TransportCode;
use hoth_platform::clock::Clock;

/// All credentials of one CSP.
#[derive(Debug)]
pub struct Credentials {
    default: Option<Credential>,
    named: BTreeMap<String, Credential>,
    destinations: Destinations,
    /// Every header field that carries a credential in some request.
    header_names: Vec<HeaderName>,
}

/// A credential of one kind.
#[derive(Debug, Clone)]
pub enum Credential {
    Tokens(Tokens),
    Static(StaticCredential),
    AwsSigV4(AwsCredential),
    OciSignature(OciCredential),
}

/// The error of a request for a credential that it cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCredential {
    #[error(
        "it asks for the credential {name:?}, and there is no `[csp.{csp}.credentials.{name}]`"
    )]
    Unknown { csp: CspName, name: String },
    #[error(
        "it asks for the credential {name:?} at {place}, where no `named_credentials` of \
         `[csp.{csp}]` list it"
    )]
    Elsewhere { csp: CspName, name: String, place: Place },
}

/// A key or a password that is read from its source.
#[derive(Debug, Clone)]
pub struct StaticCredential(Arc<StaticInner>);

#[derive(Debug)]
struct StaticInner {
    csp: CspName,
    kind: StaticKind,
    read: Reread<AuthHeader>,
}

#[derive(Debug)]
enum StaticKind {
    ApiKey(ApiKeyConfig),
    Basic(BasicConfig),
}

impl Credentials {
    /// Makes the credentials of one CSP from a valid configuration.
    pub fn new(
        setup: &IssuerSetup,
        default: &CredentialConfig,
        named: &BTreeMap<String, CredentialConfig>,
        destinations: Destinations,
    ) -> Self {
        // `authorization` is always among them, so that no adapter can set it
        // and smuggle in a credential of its own.
        let mut header_names = vec![header::AUTHORIZATION];
        let api_keys = named.values().chain([default]).filter_map(|it| it.api_key.as_ref());
        header_names.extend(api_keys.map(|api_key| api_key.header.clone()));
        let mut aws = AwsCredentials { setup, default, named, made: BTreeMap::new() };
        Self {
            default: Credential::new(setup, DEFAULT_CREDENTIAL, default, &mut aws),
            named: named
                .iter()
                .filter_map(|(name, config)| {
                    Some((name.clone(), Credential::new(setup, name, config, &mut aws)?))
                })
                .collect(),
            destinations,
            header_names,
        }
    }

    /// Selects the credential of a request to `place`. Returns `None` if the
    /// adapter asks for none, or if the place gets none.
    pub fn select(
        &self,
        csp: &CspName,
        choice: &CredentialChoice,
        place: &Place,
    ) -> Result<Option<&Credential>, BadCredential> {
        let CredentialUse { name, .. } = match choice {
            CredentialChoice::None => return Ok(None),
            CredentialChoice::Default => {
                return Ok(match self.destinations.own(place) {
                    EndpointCredential::Default => self.default.as_ref(),
                    EndpointCredential::None => None,
                    EndpointCredential::Named(name) => self.named.get(name),
                });
            }
            CredentialChoice::Named(named) => named,
        };
        let Some(credential) = self.named.get(name) else {
            return Err(BadCredential::Unknown { csp: csp.clone(), name: name.clone() });
        };
        if !self.destinations.may_name(place, name) {
            let (csp, name, place) = (csp.clone(), name.clone(), place.clone());
            return Err(BadCredential::Elsewhere { csp, name, place });
        }
        Ok(Some(credential))
    }

    /// Returns the service and the region that `place` signs for, if the
    /// configuration has them.
    pub fn signing(&self, place: &Place) -> Option<&AwsScope> {
        self.destinations.signing(place)
    }

    /// Returns the state of every credential, the default one first.
    pub fn statuses(&self, clock: &Clock) -> Vec<CredentialStatus> {
        let default = self.default.iter().map(|credential| credential.status(None, clock));
        let named = self.named.iter();
        let named = named.map(|(name, credential)| credential.status(Some(name), clock));
        default.chain(named).collect()
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

/// The credentials for AWS while they are made. One may use the keys of another
/// one, and then both share them.
struct AwsCredentials<'a> {
    setup: &'a IssuerSetup,
    default: &'a CredentialConfig,
    named: &'a BTreeMap<String, CredentialConfig>,
    made: BTreeMap<String, AwsCredential>,
}

impl AwsCredentials<'_> {
    /// Returns the credential of this name, made at most once. Returns `None` if
    /// it is not one for AWS.
    fn get(&mut self, name: &str) -> Option<AwsCredential> {
        if let Some(made) = self.made.get(name) {
            return Some(made.clone());
        }
        let config = match name {
            DEFAULT_CREDENTIAL => self.default,
            name => self.named.get(name)?,
        };
        let config = config.aws_sigv4.as_ref()?;
        // Ends, because a checked chain has no circle.
        let from = config.assume_role.as_ref().and_then(|role| self.get(&role.from));
        let made = AwsCredential::new(self.setup, config, from);
        self.made.insert(name.to_owned(), made.clone());
        Some(made)
    }
}

impl Credential {
    /// Makes a credential. Returns `None` if the configuration is empty.
    fn new(
        setup: &IssuerSetup,
        name: &str,
        config: &CredentialConfig,
        aws: &mut AwsCredentials<'_>,
    ) -> Option<Self> {
        if let Some(oauth2) = &config.oauth2 {
            let issuer = TokenIssuer::OAuth2(OAuth2::new(setup, oauth2));
            return Some(Self::Tokens(Tokens::new(issuer, oauth2.scopes.clone())));
        }
        if let Some(account) = &config.google_service_account {
            let issuer = TokenIssuer::GoogleAccount(google::ServiceAccount::new(setup, account));
            return Some(Self::Tokens(Tokens::new(issuer, account.scopes.clone())));
        }
        if let Some(federation) = &config.google_federation {
            let issuer = TokenIssuer::GoogleFederation(google::Federation::new(setup, federation));
            return Some(Self::Tokens(Tokens::new(issuer, federation.scopes.clone())));
        }
        if config.aws_sigv4.is_some() {
            return aws.get(name).map(Self::AwsSigV4);
        }
        if let Some(oci) = &config.oci_signature {
            return Some(Self::OciSignature(OciCredential::new(setup, oci)));
        }
        let api_key = config.api_key.clone().map(StaticKind::ApiKey);
        let kind = api_key.or_else(|| config.basic.clone().map(StaticKind::Basic))?;
        let inner = StaticInner { csp: setup.csp.clone(), kind, read: Reread::default() };
        Some(Self::Static(StaticCredential(Arc::new(inner))))
    }

    /// Returns the state of the credential, for operators.
    fn status(&self, name: Option<&str>, clock: &Clock) -> CredentialStatus {
        let (kind, token) = match self {
            Self::Tokens(tokens) => (tokens.kind(), Some(tokens.status(clock))),
            Self::Static(credential) => match &credential.0.kind {
                StaticKind::ApiKey(_) => ("api_key", None),
                StaticKind::Basic(_) => ("basic", None),
            },
            Self::AwsSigV4(credential) => ("aws_sigv4", credential.status(clock)),
            Self::OciSignature(_) => ("oci_signature", None),
        };
        CredentialStatus { name: name.map(str::to_owned), kind, token }
    }

    /// Checks the parameters of a request.
    pub fn check(&self, parameters: &Parameters) -> Result<(), BadParameters> {
        match self {
            Self::Tokens(_) | Self::Static(_) | Self::OciSignature(_) => {
                parameters::check_none(parameters)
            }
            Self::AwsSigV4(credential) => credential.check(parameters),
        }
    }

    /// Returns the signer of the next request, from the cache if possible.
    /// Waits up to `patience` while the issuer asks for a pause.
    pub async fn signer(
        &self,
        demand: &Demand<'_>,
        patience: Duration,
    ) -> Result<Signer, CallFailure> {
        match self {
            Self::Tokens(tokens) => {
                let grant = tokens.get(&demand.scopes, patience).await?;
                let (header, generation) = (grant.value, grant.generation);
                Ok(Signer::Header(HeaderSigner { header, generation }))
            }
            Self::Static(credential) => {
                let inner = &credential.0;
                let header = inner.read.get(|| inner.read_header()).await?;
                Ok(Signer::Header(HeaderSigner { header, generation: 0 }))
            }
            Self::AwsSigV4(credential) => credential.signer(demand, patience).await,
            Self::OciSignature(credential) => credential.signer().await,
        }
    }

    /// Returns a new signer after the CSP refused one. Returns `None` if the
    /// source of a key or a password still holds the refused value.
    pub async fn renew(
        &self,
        demand: &Demand<'_>,
        refused: &Signer,
        patience: Duration,
    ) -> Result<Option<Signer>, CallFailure> {
        match (self, refused) {
            (Self::Tokens(tokens), Signer::Header(refused)) => {
                tokens.discard(&demand.scopes, refused.generation);
                self.signer(demand, patience).await.map(Some)
            }
            (Self::Static(credential), Signer::Header(refused)) => {
                let inner = &credential.0;
                let header = inner.read.get_anew(|| inner.read_header()).await?;
                let is_new = header.value != refused.header.value;
                Ok(is_new.then_some(Signer::Header(HeaderSigner { header, generation: 0 })))
            }
            (Self::AwsSigV4(credential), refused) => {
                credential.renew(demand, refused, patience).await
            }
            (Self::OciSignature(credential), refused) => credential.renew(refused).await,
            (Self::Tokens(_) | Self::Static(_), Signer::AwsSigV4(_) | Signer::OciSignature(_)) => {
                Ok(None)
            }
        }
    }
}

impl StaticInner {
    /// Reads the secret and makes its header.
    async fn read_header(&self) -> Result<AuthHeader, CallFailure> {
        let (source, what) = match &self.kind {
            StaticKind::ApiKey(api_key) => (&api_key.value, "API key"),
            StaticKind::Basic(basic) => (&basic.password, "password"),
        };
        let secret = read_secret(&self.csp, source, what).await?;
        self.kind.header(secret).ok_or_else(|| {
            let message = format!("the {what} for {} cannot be sent in a header", self.csp);
            CallFailure::unsent(TransportCode::TokenUnavailable, message)
        })
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
        Some(AuthHeader::new(name, value, password.as_ref()))
    }
}
