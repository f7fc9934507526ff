//! The configuration of one CSP.

mod check;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::num::NonZeroU64;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::auth::config::ApiKeyConfig;
use crate::auth::config::AwsSigV4Config;
use crate::auth::config::BasicConfig;
use crate::auth::config::CredentialConfig;
use crate::auth::config::GoogleFederationConfig;
use crate::auth::config::GoogleServiceAccountConfig;
use crate::auth::config::OAuth2Config;
use crate::auth::config::OciSignatureConfig;
use crate::breaker::BreakerConfig;
use crate::endpoints::EndpointConfig;
use crate::policy::network::Network;
use crate::policy::origin::Origin;
use crate::policy::template::OriginPattern;
use crate::policy::template::UrlTemplate;
use crate::transport::client::ClientConfig;
use crate::transport::tls::TlsConfig;
use hoth_core::config::Problem;
use hoth_core::domain::SupportedOperations;

/// The table `[csp.<NAME>]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of the adapter that speaks to this CSP.
    pub adapter: String,
    /// The operations that the CSP supports. Its adapter must support all of
    /// them. By default these are the adapter's operations.
    #[serde(default)]
    pub operations: SupportedOperations,
    /// The URL that every path is appended to, with or without a slash at its
    /// end.
    pub base_url: Url,
    /// Further origins that a `Location` of the CSP may name. They get no
    /// credential.
    #[serde(default)]
    pub allowed_origins: Vec<Origin>,
    /// Further endpoints, by the names that adapters ask for.
    #[serde(default)]
    pub endpoints: BTreeMap<String, EndpointConfig>,
    /// Those of `credentials` that requests to `base_url` may name.
    #[serde(default)]
    pub named_credentials: BTreeSet<String>,
    /// Networks with private or link-local addresses that the names in
    /// `base_url`, `endpoints`, `token_url` and `allowed_origins` may resolve
    /// to.
    #[serde(default)]
    pub private_networks: Vec<Network>,
    /// The limit of one call, from connecting to the last byte of the response.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: NonZeroU64,
    /// The limit of one call up to the end of the response's header. By default
    /// the limit of the whole call.
    pub header_timeout_ms: Option<NonZeroU64>,
    /// The limit for resolving the name, connecting, and the TLS handshake.
    #[serde(default = "default_connect_timeout_ms")]
    pub connect_timeout_ms: NonZeroU64,
    /// The bound on concurrent calls, of all kinds of work together.
    #[serde(default = "default_max_concurrent")]
    pub max_concurrent: NonZeroU32,
    /// True if the CSP starts paused: its jobs wait until an operator resumes it.
    #[serde(default)]
    pub paused: bool,
    /// The largest body of a response that is read, in bytes.
    #[serde(default = "default_max_response_bytes")]
    pub max_response_bytes: NonZeroU32,
    /// Handed to the adapter as JSON. Not secret.
    #[serde(default)]
    pub settings: toml::Table,
    /// The proxy for calls that leave this machine. They use CONNECT, so the
    /// proxy sees names and ports only. The proxy then resolves the CSP's name,
    /// and `private_networks` applies to the proxy's own name only.
    pub proxy: Option<Url>,
    pub tls: Option<TlsConfig>,
    /// The default credential is one of these; without any, requests carry none.
    pub oauth2: Option<OAuth2Config>,
    pub api_key: Option<ApiKeyConfig>,
    pub basic: Option<BasicConfig>,
    pub aws_sigv4: Option<AwsSigV4Config>,
    pub google_service_account: Option<GoogleServiceAccountConfig>,
    pub google_federation: Option<GoogleFederationConfig>,
    pub oci_signature: Option<OciSignatureConfig>,
    /// Further credentials, by the names that adapters ask for.
    #[serde(default)]
    pub credentials: BTreeMap<String, CredentialConfig>,
    #[serde(default)]
    pub headers: HeadersConfig,
    #[serde(default)]
    pub breaker: BreakerConfig,
}

/// The table `[csp.<NAME>.headers]`: the headers that the host adds.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeadersConfig {
    /// False for a CSP that gives `Idempotency-Key` no meaning.
    pub idempotency_key: bool,
}

impl Default for HeadersConfig {
    fn default() -> Self {
        Self { idempotency_key: true }
    }
}

/// Returns the limit that the predecessor of HOTH had.
fn default_timeout_ms() -> NonZeroU64 {
    const { NonZeroU64::new(300_000).unwrap() }
}

/// Returns a limit that allows for three lost SYN packets (1 s + 2 s + 4 s).
fn default_connect_timeout_ms() -> NonZeroU64 {
    const { NonZeroU64::new(10_000).unwrap() }
}

fn default_max_concurrent() -> NonZeroU32 {
    const { NonZeroU32::new(64).unwrap() }
}

/// Returns a bound at which four responses, as JSON within JSON, fit one message.
fn default_max_response_bytes() -> NonZeroU32 {
    const { NonZeroU32::new(262_144).unwrap() }
}

impl Config {
    /// Returns the credential of requests that name none.
    pub fn default_credential(&self) -> CredentialConfig {
        CredentialConfig {
            oauth2: self.oauth2.clone(),
            api_key: self.api_key.clone(),
            basic: self.basic.clone(),
            aws_sigv4: self.aws_sigv4.clone(),
            google_service_account: self.google_service_account.clone(),
            google_federation: self.google_federation.clone(),
            oci_signature: self.oci_signature.clone(),
        }
    }

    /// Returns the files with certificates of this host, each with the key that
    /// names it.
    pub fn certificates(&self) -> Vec<(String, PathBuf)> {
        let of_tls = self.tls.as_ref().and_then(|tls| tls.certificate.clone());
        let mut files: Vec<_> =
            of_tls.into_iter().map(|file| ("tls.certificate".to_owned(), file)).collect();
        let named = self.credentials.iter().map(|(name, credential)| {
            (format!("credentials.{name}.oauth2"), credential.oauth2.as_ref())
        });
        let default = ("oauth2".to_owned(), self.oauth2.as_ref());
        for (table, oauth2) in std::iter::once(default).chain(named) {
            let certificate = oauth2.and_then(|oauth2| oauth2.client_certificate.as_ref());
            let file = certificate.and_then(|certificate| certificate.certificate.file());
            files.extend(
                file.map(|file| {
                    (format!("{table}.client_certificate.certificate"), file.to_owned())
                }),
            );
        }
        files
    }

    /// Returns the secrets that cannot be read or used now. Blocks on the file
    /// system.
    pub fn unusable_secrets(&self) -> Vec<Problem> {
        let mut problems = self.default_credential().unusable_secrets();
        for (name, credential) in &self.credentials {
            let found = credential.clone().unusable_secrets().into_iter();
            problems.extend(found.map(|it| it.in_table(&format!("credentials.{name}"))));
        }
        problems
    }

    /// Returns the files that hold secrets, each with its key.
    pub fn secret_files(&self) -> Vec<(String, PathBuf)> {
        let mut files = self.default_credential().secret_files();
        for (name, credential) in &self.credentials {
            let found = credential.clone().secret_files().into_iter();
            files.extend(found.map(|(key, path)| (format!("credentials.{name}.{key}"), path)));
        }
        files
    }

    /// Resolves relative file paths against `dir`, the folder of the
    /// configuration file.
    pub fn resolve_against(&mut self, dir: &Path) {
        let mut default = self.default_credential();
        default.resolve_against(dir);
        // Without `..`, so that the compiler asks for each new kind.
        CredentialConfig {
            oauth2: self.oauth2,
            api_key: self.api_key,
            basic: self.basic,
            aws_sigv4: self.aws_sigv4,
            google_service_account: self.google_service_account,
            google_federation: self.google_federation,
            oci_signature: self.oci_signature,
        } = default;
        for credential in self.credentials.values_mut() {
            credential.resolve_against(dir);
        }
        if let Some(tls) = &mut self.tls {
            tls.resolve_against(dir);
        }
    }

    /// Returns `settings` as one JSON object.
    pub fn settings_json(&self) -> String {
        self.settings_value().to_string()
    }

    /// Returns `settings` as a JSON value.
    pub fn settings_value(&self) -> serde_json::Value {
        to_json(toml::Value::Table(self.settings.clone()))
    }

    /// Returns the names of the parameters of each named credential.
    pub fn credential_parameters(&self) -> BTreeMap<String, BTreeSet<String>> {
        let parameters = |(name, config): (&String, &CredentialConfig)| {
            let role = config.assume_role();
            let parameters = role.map(|role| role.parameters.keys().cloned().collect());
            (name.clone(), parameters.unwrap_or_default())
        };
        self.credentials.iter().map(parameters).collect()
    }

    /// Returns the names of the placeholders of each endpoint.
    pub fn endpoint_parameters(&self) -> BTreeMap<String, BTreeSet<String>> {
        let parameters = |(name, config): (&String, &EndpointConfig)| {
            (name.clone(), config.url.parameters().map(str::to_owned).collect())
        };
        self.endpoints.iter().map(parameters).collect()
    }

    /// Returns the limit of one call.
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.get())
    }

    /// Returns the limit of the header, or `None` if the limit of the whole call
    /// is not longer.
    pub(super) fn header_timeout(&self) -> Option<Duration> {
        let limit = Duration::from_millis(self.header_timeout_ms?.get());
        (limit < self.timeout()).then_some(limit)
    }

    /// Returns the limit of connecting. It never exceeds the limits around it, so
    /// that a timeout while connecting is known to be one: such a request was
    /// not sent and may be repeated.
    fn connect_timeout(&self) -> Duration {
        let within = self.header_timeout().unwrap_or(self.timeout());
        Duration::from_millis(self.connect_timeout_ms.get()).min(within)
    }

    /// Returns the settings of the connections.
    pub(super) fn client_config(&self) -> ClientConfig {
        ClientConfig {
            connect_timeout: self.connect_timeout(),
            idle_connections_max: self.max_concurrent.get() as usize,
            proxy: self.proxy.clone(),
            tls: self.tls.clone(),
            needs_tls: self.needs_tls(),
        }
    }

    /// Returns the URLs of the endpoints, by name.
    pub(super) fn endpoint_urls(&self) -> BTreeMap<String, UrlTemplate> {
        self.endpoints.iter().map(|(name, it)| (name.clone(), it.url.clone())).collect()
    }

    /// Returns the origins besides that of `base_url` that requests may go to,
    /// each once.
    pub(super) fn other_origins(&self) -> Vec<OriginPattern> {
        let base = OriginPattern::of(&self.base_url);
        let endpoints = self.endpoints.values().map(|endpoint| endpoint.url.origins());
        let allowed = self.allowed_origins.iter().filter_map(OriginPattern::of_origin);
        let mut others: Vec<OriginPattern> = Vec::new();
        for origin in endpoints.chain(allowed) {
            if !origin.is_same(&base) && !others.iter().any(|other| other.is_same(&origin)) {
                others.push(origin);
            }
        }
        others.sort_by_key(|origin| !origin.is_exact());
        others
    }

    /// Returns true if any configured URL is https.
    fn needs_tls(&self) -> bool {
        self.base_url.scheme() == "https"
            || self.allowed_origins.iter().any(Origin::is_https)
            || self.endpoints.values().any(|endpoint| endpoint.url.is_https())
            || self.proxy.as_ref().is_some_and(|proxy| proxy.scheme() == "https")
            || self.default_credential().needs_tls()
            || self.credentials.values().any(CredentialConfig::needs_tls)
    }
}

/// Converts TOML to JSON. Dates and numbers that are not finite become text,
/// because JSON has neither.
fn to_json(value: toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) if number.is_finite() => number.into(),
        toml::Value::Float(number) => number.to_string().into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(when) => when.to_string().into(),
        toml::Value::Array(values) => values.into_iter().map(to_json).collect(),
        toml::Value::Table(table) => {
            table.into_iter().map(|(key, value)| (key, to_json(value))).collect()
        }
    }
}
