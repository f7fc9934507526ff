//! The configuration of credentials.

use std::path::Path;

use http::HeaderName;
use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error as _;
use url::Url;

use crate::policy::headers;
use crate::policy::origin;
use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;
use hoth_platform::secret::SecretSource;

/// The table `[csp.<NAME>.credentials.<CREDENTIAL>]`: one of three kinds. The
/// default credential has the same kinds, each a table of the CSP's own.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialConfig {
    pub oauth2: Option<OAuth2Config>,
    pub api_key: Option<ApiKeyConfig>,
    pub basic: Option<BasicConfig>,
}

/// The table `oauth2`: the client credentials grant (RFC 6749 section 4.4).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OAuth2Config {
    pub token_url: Url,
    pub client_id: String,
    /// Read at each token request, so a rotated file takes effect.
    pub client_secret: SecretSource,
}

/// The table `api_key`: a key that only its owner replaces.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyConfig {
    /// The header field that carries the key. Adapters of this CSP must not set
    /// it.
    #[serde(deserialize_with = "header_name")]
    pub header: HeaderName,
    /// The whole field value: `abc`, or `ApiKey abc`. Read again every few
    /// seconds.
    pub value: SecretSource,
}

/// The table `basic`: user name and password (RFC 7617).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicConfig {
    pub username: String,
    /// Read again every few seconds.
    pub password: SecretSource,
}

impl CredentialConfig {
    /// Returns the number of kinds that are given. A usable credential has one.
    pub fn kind_count(&self) -> usize {
        [self.oauth2.is_some(), self.api_key.is_some(), self.basic.is_some()]
            .into_iter()
            .filter(|given| *given)
            .count()
    }

    /// Returns every secret with the key that configures it.
    pub fn secrets(&self) -> impl Iterator<Item = (&'static str, &SecretSource)> {
        let oauth2 = self.oauth2.as_ref().map(|it| ("oauth2.client_secret", &it.client_secret));
        let api_key = self.api_key.as_ref().map(|it| ("api_key.value", &it.value));
        let basic = self.basic.as_ref().map(|it| ("basic.password", &it.password));
        [oauth2, api_key, basic].into_iter().flatten()
    }

    /// Resolves relative file paths against `dir`.
    pub fn resolve_against(&mut self, dir: &Path) {
        let oauth2 = self.oauth2.as_mut().map(|it| &mut it.client_secret);
        let api_key = self.api_key.as_mut().map(|it| &mut it.value);
        let basic = self.basic.as_mut().map(|it| &mut it.password);
        for secret in [oauth2, api_key, basic].into_iter().flatten() {
            secret.resolve_against(dir);
        }
    }

    /// Returns true if the token endpoint is called over TLS.
    pub fn needs_tls(&self) -> bool {
        self.oauth2.as_ref().is_some_and(|oauth2| oauth2.token_url.scheme() == "https")
    }
}

impl Table for CredentialConfig {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(oauth2) = &self.oauth2 {
            if let Err(bad) = origin::check_endpoint(&oauth2.token_url) {
                problems.push(Problem::new("oauth2.token_url", bad));
            }
            if oauth2.client_id.is_empty() {
                problems.push(Problem::new("oauth2.client_id", "must not be empty"));
            }
        }
        if let Some(api_key) = &self.api_key
            && !headers::may_carry_key(&api_key.header)
        {
            let message = format!("must not be `{}`, which is a reserved header", api_key.header);
            problems.push(Problem::new("api_key.header", message));
        }
        if let Some(basic) = &self.basic
            && (basic.username.contains(':') || basic.username.contains(char::is_control))
        {
            let message = "must not contain a colon or a control character";
            problems.push(Problem::new("basic.username", message));
        }
        problems
    }
}

fn header_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HeaderName, D::Error> {
    let text = String::deserialize(deserializer)?;
    HeaderName::try_from(&text)
        .map_err(|_| D::Error::custom(format!("`{text}` is not a header name")))
}
