//! The configuration of credentials.

mod aws;
mod google;
mod oauth2;
mod oci;
mod secrets;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use http::HeaderName;
use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error as _;
use url::Url;

pub use aws::AssumeRoleConfig;
pub use aws::AwsSigV4Config;
pub use aws::StsConfig;
pub use aws::WebIdentityConfig;
pub use google::CLOUD_PLATFORM;
pub use google::GoogleFederationConfig;
pub use google::GoogleServiceAccountConfig;
pub use oauth2::ClientAuthentication;
pub use oauth2::ClientCertificateConfig;
pub use oauth2::OAuth2Config;
pub use oci::OciSignatureConfig;
pub use secrets::Secret;
use secrets::SecretForm;

use crate::endpoints::DEFAULT_CREDENTIAL;
use crate::policy::headers;
use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;
use hoth_core::domain::Manifest;
use hoth_platform::secret::SecretSource;

/// The table `[csp.<NAME>.credentials.<CREDENTIAL>]`: one of these kinds. The
/// default credential has the same kinds, each a table of the CSP's own.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialConfig {
    pub oauth2: Option<OAuth2Config>,
    pub api_key: Option<ApiKeyConfig>,
    pub basic: Option<BasicConfig>,
    pub aws_sigv4: Option<AwsSigV4Config>,
    pub google_service_account: Option<GoogleServiceAccountConfig>,
    pub google_federation: Option<GoogleFederationConfig>,
    pub oci_signature: Option<OciSignatureConfig>,
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
    /// The kinds of credentials, as their tables are named.
    pub const KINDS: [&str; 7] = [
        "oauth2",
        "api_key",
        "basic",
        "aws_sigv4",
        "google_service_account",
        "google_federation",
        "oci_signature",
    ];

    /// Returns the kinds that are given. A usable credential has one.
    pub fn kinds(&self) -> Vec<&'static str> {
        let given = [
            self.oauth2.is_some(),
            self.api_key.is_some(),
            self.basic.is_some(),
            self.aws_sigv4.is_some(),
            self.google_service_account.is_some(),
            self.google_federation.is_some(),
            self.oci_signature.is_some(),
        ];
        Self::KINDS
            .into_iter()
            .zip(given)
            .filter_map(|(kind, given)| given.then_some(kind))
            .collect()
    }

    /// Returns every secret with the key that configures it.
    pub fn secrets(&self) -> Vec<Secret> {
        let mut secrets = Vec::new();
        if let Some(oauth2) = &self.oauth2 {
            secrets.extend(oauth2.secrets());
        }
        if let Some(api_key) = &self.api_key {
            secrets.push(Secret::new("api_key.value", &api_key.value, SecretForm::Text));
        }
        if let Some(basic) = &self.basic {
            secrets.push(Secret::new("basic.password", &basic.password, SecretForm::Text));
        }
        if let Some(aws) = &self.aws_sigv4 {
            secrets.extend(aws.secrets());
        }
        if let Some(account) = &self.google_service_account {
            let key = "google_service_account.key";
            secrets.push(Secret::new(key, &account.key, SecretForm::GoogleAccount));
        }
        if let Some(federation) = &self.google_federation {
            let key = "google_federation.subject_token";
            secrets.push(Secret::new(key, &federation.subject_token, SecretForm::Text));
        }
        if let Some(oci) = &self.oci_signature {
            secrets.push(Secret::new("oci_signature.key", &oci.key, SecretForm::RsaKey));
        }
        secrets
    }

    /// Resolves relative file paths against `dir`.
    pub fn resolve_against(&mut self, dir: &Path) {
        let mut sources = Vec::new();
        if let Some(oauth2) = &mut self.oauth2 {
            sources.extend(oauth2.sources());
        }
        sources.extend(self.api_key.as_mut().map(|it| &mut it.value));
        sources.extend(self.basic.as_mut().map(|it| &mut it.password));
        if let Some(aws) = &mut self.aws_sigv4 {
            sources.extend(aws.sources());
        }
        sources.extend(self.google_service_account.as_mut().map(|it| &mut it.key));
        sources.extend(self.google_federation.as_mut().map(|it| &mut it.subject_token));
        sources.extend(self.oci_signature.as_mut().map(|it| &mut it.key));
        for source in sources {
            source.resolve_against(dir);
        }
    }

    /// Returns true if an issuer is called over TLS.
    pub fn needs_tls(&self) -> bool {
        let urls: [Option<Vec<&Url>>; 4] = [
            self.oauth2.as_ref().map(|it| vec![&it.token_url]),
            self.aws_sigv4.as_ref().map(AwsSigV4Config::urls),
            self.google_service_account.as_ref().map(|it| vec![&it.token_url, &it.iam_url]),
            self.google_federation.as_ref().map(|it| vec![&it.sts_url, &it.iam_url]),
        ];
        urls.into_iter().flatten().flatten().any(|url| url.scheme() == "https")
    }
}

/// Returns the problems of the default credential of a CSP, and of the named
/// ones.
pub fn check_all(
    default: &CredentialConfig,
    named: &BTreeMap<String, CredentialConfig>,
    names: &Names<'_>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let [first, _, ..] = default.kinds()[..] {
        problems.push(Problem::new(
            first,
            "must be the only default credential: name the other one under `credentials`",
        ));
    }
    problems.extend(default.check(names));
    for (name, credential) in named {
        let max = Manifest::NAME_BYTES_MAX;
        if name.is_empty() || name.len() > max {
            let message = format!("must have names of 1 to {max} bytes");
            problems.push(Problem::new("credentials", message));
        }
        let table = format!("credentials.{name}");
        if name == DEFAULT_CREDENTIAL {
            let message = "must have another name, as that is the name of the default one";
            problems.push(Problem::new(&table, message));
        }
        if credential.kinds().len() != 1 {
            let kinds = CredentialConfig::KINDS.join("`, `");
            let message = format!("must have exactly one of `{kinds}`");
            problems.push(Problem::new(&table, message));
        }
        let found = credential.check(names).into_iter();
        problems.extend(found.map(|problem| problem.in_table(&table)));
    }
    problems.extend(aws::check_sources(default, named));
    problems
}

impl Table for CredentialConfig {
    fn check(&self, names: &Names<'_>) -> Vec<Problem> {
        fn checked<T: Table>(table: &Option<T>, kind: &str, names: &Names<'_>) -> Vec<Problem> {
            table.check(names).into_iter().map(|problem| problem.in_table(kind)).collect()
        }
        [
            checked(&self.oauth2, "oauth2", names),
            checked(&self.api_key, "api_key", names),
            checked(&self.basic, "basic", names),
            checked(&self.aws_sigv4, "aws_sigv4", names),
            checked(&self.google_service_account, "google_service_account", names),
            checked(&self.google_federation, "google_federation", names),
            checked(&self.oci_signature, "oci_signature", names),
        ]
        .concat()
    }
}

impl Table for ApiKeyConfig {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        let message = format!("must not be `{}`, which is a reserved header", self.header);
        let may = headers::may_carry_key(&self.header);
        (!may).then(|| Problem::new("header", message)).into_iter().collect()
    }
}

impl Table for BasicConfig {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        let bad = self.username.contains(':') || self.username.contains(char::is_control);
        let message = "must not contain a colon or a control character";
        bad.then(|| Problem::new("username", message)).into_iter().collect()
    }
}

fn header_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HeaderName, D::Error> {
    let text = String::deserialize(deserializer)?;
    HeaderName::try_from(&text)
        .map_err(|_| D::Error::custom(format!("`{text}` is not a header name")))
}
