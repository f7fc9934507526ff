//! How a CSP is shown who calls, as an operator writes it.

use std::path::Path;

use http::HeaderName;
use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error as _;
use url::Url;

use crate::headers;
use crate::origin;
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

/// The table `api_key`: a value that never changes by itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyConfig {
    /// Which header carries it. No adapter of this CSP may set that one.
    #[serde(deserialize_with = "header_name")]
    pub header: HeaderName,
    /// The whole of the header's value: `abc`, or `ApiKey abc`. Read anew
    /// every few seconds.
    pub value: SecretSource,
}

/// The table `basic`: user name and password (RFC 7617).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicConfig {
    pub username: String,
    /// Read anew every few seconds.
    pub password: SecretSource,
}

impl CredentialConfig {
    /// How many kinds are given. One that can be used has one.
    pub fn kinds(&self) -> usize {
        [self.oauth2.is_some(), self.api_key.is_some(), self.basic.is_some()]
            .into_iter()
            .filter(|given| *given)
            .count()
    }

    /// Every secret, and the key that names its place.
    pub fn secrets(&self) -> impl Iterator<Item = (&'static str, &SecretSource)> {
        let oauth2 = self.oauth2.as_ref().map(|it| ("oauth2.client_secret", &it.client_secret));
        let api_key = self.api_key.as_ref().map(|it| ("api_key.value", &it.value));
        let basic = self.basic.as_ref().map(|it| ("basic.password", &it.password));
        [oauth2, api_key, basic].into_iter().flatten()
    }

    /// Makes relative file paths ones below `dir`.
    pub fn resolve_against(&mut self, dir: &Path) {
        let oauth2 = self.oauth2.as_mut().map(|it| &mut it.client_secret);
        let api_key = self.api_key.as_mut().map(|it| &mut it.value);
        let basic = self.basic.as_mut().map(|it| &mut it.password);
        for secret in [oauth2, api_key, basic].into_iter().flatten() {
            secret.resolve_against(dir);
        }
    }

    /// Whether its token comes by an encrypted connection.
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
            let message = format!("cannot be `{}`, which has another meaning", api_key.header);
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
        .map_err(|_| D::Error::custom(format!("`{text}` is not the name of a header")))
}
