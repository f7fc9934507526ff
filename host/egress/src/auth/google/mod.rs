//! Access tokens of Google Cloud: for a service account with a key, and for the
//! tokens of another issuer.

mod impersonation;

use http::HeaderValue;
use secrecy::ExposeSecret as _;
use secrecy::SecretString;
use url::form_urlencoded;

use crate::auth::config::CLOUD_PLATFORM;
use crate::auth::config::GoogleFederationConfig;
use crate::auth::config::GoogleServiceAccountConfig;
use crate::auth::google::impersonation::Impersonation;
use crate::auth::grants::Granted;
use crate::auth::issuer_client::IssuerSetup;
use crate::auth::scopes::Scopes;
use crate::auth::scopes::joined;
use crate::auth::secret::read_secret;
use crate::auth::secret::unusable;
use crate::auth::sign::account_key::AccountKey;
use crate::auth::token_endpoint::TokenEndpoint;
use crate::transport::failure::CallFailure;
use hoth_core::domain::CspName;

/// The grant of a token for a signed assertion (RFC 7523).
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// The issuer of a service account's tokens.
#[derive(Debug)]
pub struct ServiceAccount {
    csp: CspName,
    config: GoogleServiceAccountConfig,
    endpoint: TokenEndpoint,
    impersonation: Option<Impersonation>,
}

/// The issuer of tokens in exchange for those of another one.
#[derive(Debug)]
pub struct Federation {
    csp: CspName,
    config: GoogleFederationConfig,
    endpoint: TokenEndpoint,
    impersonation: Option<Impersonation>,
}

impl ServiceAccount {
    pub fn new(setup: &IssuerSetup, config: &GoogleServiceAccountConfig) -> Self {
        let account = config.impersonate.as_deref();
        Self {
            csp: setup.csp.clone(),
            config: config.clone(),
            endpoint: TokenEndpoint::new(setup, &config.token_url),
            impersonation: account.map(|it| Impersonation::new(setup, &config.iam_url, it)),
        }
    }

    /// Requests a token once. Reads the key again each time.
    pub async fn request(&self, scopes: &Scopes) -> Result<Granted<HeaderValue>, CallFailure> {
        let (csp, source) = (&self.csp, &self.config.key);
        let json = read_secret(csp, source, "service account key").await?;
        let key = AccountKey::from_json(json.expose_secret())
            .map_err(|bad| unusable(csp, source, "service account key", &bad))?;
        let scope = first_scope(self.impersonation.as_ref(), scopes);
        let form = |now| {
            let assertion = key.assertion(&scope, now);
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", JWT_BEARER);
            form.append_pair("assertion", assertion.expose_secret());
            form.finish()
        };
        let granted = self.endpoint.request_signed(form).await?;
        impersonated(self.impersonation.as_ref(), granted, scopes).await
    }
}

impl Federation {
    pub fn new(setup: &IssuerSetup, config: &GoogleFederationConfig) -> Self {
        let account = config.impersonate.as_deref();
        Self {
            csp: setup.csp.clone(),
            config: config.clone(),
            endpoint: TokenEndpoint::new(setup, &config.sts_url),
            impersonation: account.map(|it| Impersonation::new(setup, &config.iam_url, it)),
        }
    }

    /// Requests a token once. Reads the token of the other issuer again each
    /// time.
    pub async fn request(&self, scopes: &Scopes) -> Result<Granted<HeaderValue>, CallFailure> {
        let token = read_secret(&self.csp, &self.config.subject_token, "subject token").await?;
        let scope = first_scope(self.impersonation.as_ref(), scopes);
        let granted = self.endpoint.request(self.form(&token, &scope), None).await?;
        impersonated(self.impersonation.as_ref(), granted, scopes).await
    }

    /// Returns the body of the exchange (RFC 8693 section 2.1).
    fn form(&self, token: &SecretString, scope: &str) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs([
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("audience", &self.config.audience),
            ("scope", scope),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token_type", &self.config.subject_token_type),
            ("subject_token", token.expose_secret()),
        ]);
        form.finish()
    }
}

/// Returns the scope of the first token: the one that may ask for another
/// account's token, or the one that is sent to the CSP.
fn first_scope(impersonation: Option<&Impersonation>, scopes: &Scopes) -> String {
    match impersonation {
        Some(_) => CLOUD_PLATFORM.to_owned(),
        None => joined(scopes),
    }
}

/// Exchanges a token for that of the impersonated account, if there is one.
async fn impersonated(
    impersonation: Option<&Impersonation>,
    granted: Granted<HeaderValue>,
    scopes: &Scopes,
) -> Result<Granted<HeaderValue>, CallFailure> {
    match impersonation {
        Some(impersonation) => impersonation.request(granted.value, scopes).await,
        None => Ok(granted),
    }
}
