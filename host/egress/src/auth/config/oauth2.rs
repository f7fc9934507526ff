//! The table `oauth2`.

use std::collections::BTreeMap;

use serde::Deserialize;
use url::Url;

use super::kind::Kind;
use super::kind::Secret;
use super::kind::SecretForm;
use crate::auth::scopes::Scopes;
use crate::auth::sign::jwt::Algorithm;
use crate::policy::origin;
use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;
use hoth_platform::secret::SecretSource;

/// The table `oauth2`: the client credentials grant (RFC 6749 section 4.4).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OAuth2Config {
    /// It may have a query.
    pub token_url: Url,
    pub client_id: String,
    /// Read at each token request, so a rotated file takes effect.
    pub client_secret: Option<SecretSource>,
    /// The way in which the client secret is sent.
    #[serde(default)]
    pub client_authentication: Option<ClientAuthentication>,
    /// In place of a secret: the certificate of a key that signs assertions.
    pub client_certificate: Option<ClientCertificateConfig>,
    /// In place of a secret: an assertion that another party signs and replaces
    /// (RFC 7523). Read at each token request.
    pub client_assertion: Option<SecretSource>,
    /// The scopes of requests that ask for none.
    #[serde(default)]
    pub scopes: Scopes,
    /// Further parameters of the token request, such as `audience` and
    /// `resource`.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

/// The way in which a client secret is sent (RFC 6749 section 2.3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuthentication {
    /// In the header field `Authorization`.
    #[default]
    Basic,
    /// In the form.
    Post,
}

/// The table `client_certificate`, of a client that Microsoft Entra knows by its
/// certificate.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificateConfig {
    /// The certificate in PEM.
    pub certificate: SecretSource,
    /// Its RSA key in PEM. Both are read at each token request.
    pub key: SecretSource,
    /// PS256, or RS256 for issuers that do not know it.
    #[serde(default)]
    pub algorithm: Algorithm,
}

/// The parameters that HOTH sets itself.
const OWN_PARAMETERS: [&str; 6] = [
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "grant_type",
    "scope",
];

impl Kind for OAuth2Config {
    fn secrets(&mut self) -> Vec<Secret<'_>> {
        let texts = [
            ("client_secret", self.client_secret.as_mut()),
            ("client_assertion", self.client_assertion.as_mut()),
        ];
        let mut secrets: Vec<_> = texts
            .into_iter()
            .filter_map(|(key, source)| Some(Secret::new(key, source?, SecretForm::Text)))
            .collect();
        if let Some(ClientCertificateConfig { certificate, key, .. }) = &mut self.client_certificate
        {
            secrets.extend([
                Secret::new("client_certificate.certificate", certificate, SecretForm::Certificate),
                Secret::new("client_certificate.key", key, SecretForm::RsaKey),
            ]);
        }
        secrets
    }

    fn urls(&self) -> Vec<&Url> {
        vec![&self.token_url]
    }
}

impl Table for OAuth2Config {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Err(bad) = origin::check_token_url(&self.token_url) {
            problems.push(Problem::new("token_url", bad));
        }
        if self.client_id.is_empty() {
            problems.push(Problem::new("client_id", "must not be empty"));
        }
        let given = [
            self.client_secret.is_some(),
            self.client_certificate.is_some(),
            self.client_assertion.is_some(),
        ];
        if given.into_iter().filter(|given| *given).count() != 1 {
            problems.push(Problem::of_table(
                "must have exactly one of `client_secret`, `client_certificate` and \
                 `client_assertion`",
            ));
        }
        if self.client_authentication.is_some() && self.client_secret.is_none() {
            let message = "belongs to `client_secret`, which is missing";
            problems.push(Problem::new("client_authentication", message));
        }
        let own = self.parameters.keys().find(|name| OWN_PARAMETERS.contains(&name.as_str()));
        if let Some(own) = own {
            let message = format!("must not have `{own}`, which HOTH sets");
            problems.push(Problem::new("parameters", message));
        }
        problems
    }
}
