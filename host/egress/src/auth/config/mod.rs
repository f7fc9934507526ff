//! The configuration of credentials.

mod aws;
mod google;
mod kind;
mod oauth2;
mod oci;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use http::HeaderName;
use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error as _;

pub use aws::AssumeRoleConfig;
pub use aws::AwsSigV4Config;
pub use aws::StsConfig;
pub use aws::WebIdentityConfig;
pub use google::CLOUD_PLATFORM;
pub use google::GoogleFederationConfig;
pub use google::GoogleServiceAccountConfig;
use kind::Kind;
use kind::Secret;
use kind::SecretForm;
pub use oauth2::ClientAuthentication;
pub use oauth2::ClientCertificateConfig;
pub use oauth2::OAuth2Config;
pub use oci::OciSignatureConfig;

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
        self.tables().map(|(kind, _)| kind).collect()
    }

    /// Returns the secrets that cannot be read or used now. Blocks on the file
    /// system.
    pub fn unusable_secrets(mut self) -> Vec<Problem> {
        let faults = |(kind, table): (&str, &mut dyn Kind)| -> Vec<Problem> {
            let secrets = table.secrets().into_iter();
            let faults = secrets.filter_map(|it| Some(Problem::new(it.key, it.fault()?)));
            faults.map(|problem| problem.in_table(kind)).collect()
        };
        self.tables_mut().flat_map(faults).collect()
    }

    /// Returns the files that hold secrets, each with its key.
    pub fn secret_files(mut self) -> Vec<(String, PathBuf)> {
        let files = |(kind, table): (&str, &mut dyn Kind)| -> Vec<(String, PathBuf)> {
            let file = |secret: Secret<'_>| match secret.source {
                SecretSource::File(path) => Some((format!("{kind}.{}", secret.key), path.clone())),
                SecretSource::Env(_) => None,
            };
            table.secrets().into_iter().filter_map(file).collect()
        };
        self.tables_mut().flat_map(files).collect()
    }

    /// Resolves relative file paths against `dir`.
    pub fn resolve_against(&mut self, dir: &Path) {
        for (_, table) in self.tables_mut() {
            for secret in table.secrets() {
                secret.source.resolve_against(dir);
            }
        }
    }

    /// Returns true if an issuer is called over TLS.
    pub fn needs_tls(&self) -> bool {
        self.tables().flat_map(|(_, table)| table.urls()).any(|url| url.scheme() == "https")
    }

    /// Returns the role that is assumed with the keys of another credential.
    pub fn assume_role(&self) -> Option<&AssumeRoleConfig> {
        self.aws_sigv4.as_ref()?.assume_role.as_ref()
    }

    /// Returns the tables that are given, with their names, in the order of
    /// [`Self::KINDS`].
    fn tables(&self) -> impl Iterator<Item = (&'static str, &dyn Kind)> {
        fn table<T: Kind>(table: &Option<T>) -> Option<&dyn Kind> {
            table.as_ref().map(|table| table as &dyn Kind)
        }
        let tables = [
            table(&self.oauth2),
            table(&self.api_key),
            table(&self.basic),
            table(&self.aws_sigv4),
            table(&self.google_service_account),
            table(&self.google_federation),
            table(&self.oci_signature),
        ];
        Self::KINDS.into_iter().zip(tables).filter_map(|(kind, table)| Some((kind, table?)))
    }

    fn tables_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut dyn Kind)> {
        fn table<T: Kind>(table: &mut Option<T>) -> Option<&mut dyn Kind> {
            table.as_mut().map(|table| table as &mut dyn Kind)
        }
        let tables = [
            table(&mut self.oauth2),
            table(&mut self.api_key),
            table(&mut self.basic),
            table(&mut self.aws_sigv4),
            table(&mut self.google_service_account),
            table(&mut self.google_federation),
            table(&mut self.oci_signature),
        ];
        Self::KINDS.into_iter().zip(tables).filter_map(|(kind, table)| Some((kind, table?)))
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
        let problems = |(kind, table): (&str, &dyn Kind)| -> Vec<Problem> {
            let problems = table.check(names).into_iter();
            problems.map(|problem| problem.in_table(kind)).collect()
        };
        self.tables().flat_map(problems).collect()
    }
}

impl Kind for ApiKeyConfig {
    fn secrets(&mut self) -> Vec<Secret<'_>> {
        vec![Secret::new("value", &mut self.value, SecretForm::Text)]
    }
}

impl Kind for BasicConfig {
    fn secrets(&mut self) -> Vec<Secret<'_>> {
        vec![Secret::new("password", &mut self.password, SecretForm::Text)]
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
