//! The configuration of one CSP.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::auth::config;
use crate::auth::config::ApiKeyConfig;
use crate::auth::config::AwsSigV4Config;
use crate::auth::config::BasicConfig;
use crate::auth::config::CredentialConfig;
use crate::auth::config::GoogleFederationConfig;
use crate::auth::config::GoogleServiceAccountConfig;
use crate::auth::config::OAuth2Config;
use crate::auth::config::OciSignatureConfig;
use crate::breaker::BreakerConfig;
use crate::endpoints::Bindings;
use crate::endpoints::EndpointConfig;
use crate::endpoints::EndpointCredential;
use crate::policy::aws_scope::AwsScope;
use crate::policy::network::Network;
use crate::policy::origin;
use crate::policy::origin::Origin;
use crate::policy::template::OriginPattern;
use crate::policy::template::UrlTemplate;
use crate::transport::client::ClientConfig;
use crate::transport::tls::TlsConfig;
use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;
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
    /// Up to one hour: a CSP should answer 202 to work that takes longer. Below
    /// these bounds no call over a network ends in time.
    const TIMEOUT_MS: RangeInclusive<u64> = 1..=3_600_000;
    /// More connections to one peer than there are ephemeral ports make no sense.
    const CONCURRENT: RangeInclusive<u64> = 1..=10_000;
    /// Below these bounds ordinary responses do not fit. The upper one is a bound
    /// on memory: each running call may hold as much.
    const RESPONSE_BYTES: RangeInclusive<u64> = 1..=8 * 1024 * 1024;

    /// Returns the problems of numbers outside of their bounds.
    fn check_numbers(&self) -> impl Iterator<Item = Problem> {
        // A missing value passes as the smallest one.
        let header_timeout_ms =
            self.header_timeout_ms.map_or(*Self::TIMEOUT_MS.start(), NonZeroU64::get);
        let bounded = [
            ("timeout_ms", self.timeout_ms.get(), Self::TIMEOUT_MS),
            ("header_timeout_ms", header_timeout_ms, Self::TIMEOUT_MS),
            ("connect_timeout_ms", self.connect_timeout_ms.get(), Self::TIMEOUT_MS),
            ("max_concurrent", self.max_concurrent.get().into(), Self::CONCURRENT),
            ("max_response_bytes", self.max_response_bytes.get().into(), Self::RESPONSE_BYTES),
        ];
        let problem = |(key, value, bounds)| Problem::out_of_range(key, value, &bounds);
        bounded.into_iter().filter_map(problem)
    }

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

    /// Returns the secrets that cannot be read or used now. Blocks on the file
    /// system.
    pub fn unusable_secrets(&self) -> Vec<Problem> {
        let default = self.default_credential();
        let named = self.credentials.iter().map(|(name, it)| (format!("credentials.{name}."), it));
        [(String::new(), &default)]
            .into_iter()
            .chain(named)
            .flat_map(|(table, it)| it.secrets().into_iter().map(move |it| (table.clone(), it)))
            .filter_map(|(table, secret)| {
                Some(Problem::new(format!("{table}{}", secret.key), secret.fault()?))
            })
            .collect()
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
        let role = |config: &CredentialConfig| config.aws_sigv4.as_ref()?.assume_role.clone();
        let parameters = |(name, config): (&String, &CredentialConfig)| {
            let parameters = role(config).map(|role| role.parameters.into_keys().collect());
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

    /// Returns the credentials whose keys ask for those of a role.
    fn credential_sources(&self) -> impl Iterator<Item = &str> {
        let kinds = self.credentials.values().filter_map(|it| it.aws_sigv4.as_ref());
        let kinds = kinds.chain(&self.aws_sigv4);
        kinds.filter_map(|aws| Some(aws.assume_role.as_ref()?.from.as_str()))
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

    /// Returns the problems of URLs that get a signature of AWS, and whose service
    /// and region are not known.
    fn unscoped(&self) -> Vec<Problem> {
        let default = self.default_credential();
        let needs_scope = |credential: &CredentialConfig| {
            credential.aws_sigv4.as_ref().is_some_and(|aws| aws.signing.is_none())
        };
        let missing = |key: String, url: &str| {
            let message = format!(
                "is missing: the host name in `{url}` does not have the service and the region"
            );
            Problem::new(key, message)
        };
        let mut problems = Vec::new();
        if needs_scope(&default) && AwsScope::of(&self.base_url).is_none() {
            problems.push(missing("aws_sigv4.signing".to_owned(), "base_url"));
        }
        for (name, endpoint) in &self.endpoints {
            let credential = match &endpoint.credential {
                EndpointCredential::Default => Some(&default),
                EndpointCredential::None => None,
                EndpointCredential::Named(name) => self.credentials.get(name),
            };
            // A URL with placeholders is known at the request only.
            let url = endpoint.url.fill(&[]).ok();
            let unknown = url.is_some_and(|url| AwsScope::of(&url).is_none());
            if endpoint.signing.is_none() && credential.is_some_and(needs_scope) && unknown {
                let table = format!("endpoints.{name}");
                problems.push(missing(format!("{table}.signing"), "url"));
            }
        }
        problems
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

impl Table for Config {
    fn check(&self, names: &Names<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.adapter.is_empty() {
            problems.push(Problem::new("adapter", "must not be empty"));
        }
        if let Err(bad) = origin::check_endpoint(&self.base_url) {
            problems.push(Problem::new("base_url", bad));
        }
        if let Some(Err(bad)) = self.proxy.as_ref().map(origin::check_proxy) {
            problems.push(Problem::new("proxy", bad));
        }
        if let Some(missing) = self.tls.as_ref().and_then(TlsConfig::missing) {
            problems.push(Problem::new(
                format!("tls.{missing}"),
                "is missing: `tls.certificate` and `tls.key` require each other",
            ));
        }
        problems.extend(self.check_numbers());
        let breaker = self.breaker.check(names).into_iter();
        problems.extend(breaker.map(|problem| problem.in_table("breaker")));
        problems.extend(config::check_all(&self.default_credential(), &self.credentials, names));
        problems.extend(self.unscoped());
        let bindings = Bindings {
            endpoints: &self.endpoints,
            credentials: self.credentials.keys().map(String::as_str).collect(),
            base: &self.named_credentials,
            sources: self.credential_sources().collect(),
        };
        problems.extend(bindings.check());
        problems
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

#[cfg(test)]
mod tests {
    use expect_test::Expect;
    use expect_test::expect;

    use super::*;

    const SMALLEST: &str = "adapter = 'atat'\nbase_url = 'https://csp-a.example.com/atat'\n";

    fn parse(toml: &str) -> Config {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn settings_have_defaults() {
        let config = parse(SMALLEST);
        assert_eq!(config.timeout(), Duration::from_secs(300));
        assert_eq!(config.connect_timeout(), Duration::from_secs(10));
        assert_eq!(config.max_concurrent.get(), 64);
        assert_eq!(config.max_response_bytes.get(), 262_144);
        assert_eq!(config.settings_json(), "{}");
        assert!(config.allowed_origins.is_empty() && config.oauth2.is_none());
        assert_eq!(config.check(&Names::default()), []);
    }

    #[test]
    fn every_setting_can_be_configured() {
        let config = parse(
            r#"
            adapter = "atat"
            operations = ["ADD_PORTFOLIO", "COST_BY_CLIN"]
            base_url = "https://csp-a.example.com/atat"
            allowed_origins = ["https://status.example.com"]
            private_networks = ["10.0.0.0/8", "fd00::/8"]
            timeout_ms = 1000
            connect_timeout_ms = 2000
            max_concurrent = 1
            max_response_bytes = 1024
            settings = { api_version = "1.3.1", when = 2026-01-02, n = [1, 2.5, true, inf] }
            [oauth2]
            token_url = "https://idp.example.com/oauth2/token"
            client_id = "hoth"
            client_secret = { file = "secret" }
            "#,
        );
        assert_eq!(config.check(&Names::default()), []);
        assert_eq!(config.connect_timeout(), Duration::from_secs(1));
        expect![[r#"{"api_version":"1.3.1","n":[1,2.5,true,"inf"],"when":"2026-01-02"}"#]]
            .assert_eq(&config.settings_json());
    }

    #[test]
    fn invalid_values_are_refused_by_the_parser() {
        for line in [
            "base_urll = 'https://h'",
            "timeout_ms = 0",
            "operations = []",
            "operations = 'ADD_PORTFOLIO'",
            "operations = ['add-portfolio']",
            "max_concurrent = 0",
            "max_response_bytes = -1",
            "allowed_origins = ['http://status.example.com']",
            "allowed_origins = ['https://status.example.com/path']",
            "private_networks = ['10.0.0.0']",
            "[oauth2]\ntoken_url = 'https://h'\nclient_id = 'x'\nclient_secret = 'hunter2'",
        ] {
            assert!(toml::from_str::<Config>(&format!("{SMALLEST}{line}")).is_err(), "{line}");
        }
        assert!(toml::from_str::<Config>("adapter = 'a'\nbase_url = '/x'").is_err());
    }

    #[test]
    fn an_unknown_operation_is_refused_with_its_line() {
        let text = format!("{SMALLEST}operations = ['ADD_PORTFOLIO', 'add-portfolio']");
        let error = toml::from_str::<Config>(&text).unwrap_err().to_string();
        assert!(error.contains("line 3"), "{error}");
        assert!(
            error.contains("`add-portfolio` is not an operation; expected one of ADD_P"),
            "{error}"
        );
    }

    #[test]
    fn validation_names_each_invalid_key() {
        let check = |toml: &str, expected: Expect| {
            let found: Vec<String> =
                parse(toml).check(&Names::default()).iter().map(ToString::to_string).collect();
            expected.assert_eq(&found.join("; "));
        };
        check(
            "adapter = ''\nbase_url = 'http://h'\ntimeout_ms = 3600001\nmax_concurrent = 10001",
            expect![
                "adapter: must not be empty; base_url: must be https, unless it points at loopback; timeout_ms: must be 1 to 3600000, not 3600001; max_concurrent: must be 1 to 10000, not 10001"
            ],
        );
        check(
            "adapter = 'a'\nbase_url = 'https://h/?q'\n[oauth2]\ntoken_url = 'http://h'\nclient_id = ''\nclient_secret.env = 'X'",
            expect![
                "base_url: must not have a query or a fragment; oauth2.token_url: must be https, unless it points at loopback; oauth2.client_id: must not be empty"
            ],
        );
    }

    #[test]
    fn the_debug_output_of_a_configuration_names_the_source_of_a_secret() {
        let toml = format!(
            "{SMALLEST}[oauth2]\ntoken_url = 'https://h'\nclient_id = 'x'\nclient_secret.env = 'PATH'"
        );
        let config = parse(&toml);
        assert!(format!("{config:?}").contains(r#"Env("PATH")"#));
    }
}
