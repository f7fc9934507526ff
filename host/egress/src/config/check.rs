//! The checks of a CSP's configuration.

use std::num::NonZeroU64;
use std::ops::RangeInclusive;

use crate::auth::config;
use crate::auth::config::CredentialConfig;
use crate::config::Config;
use crate::endpoints::Bindings;
use crate::endpoints::EndpointCredential;
use crate::policy::aws_scope::AwsScope;
use crate::policy::origin;
use crate::transport::tls::TlsConfig;
use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;

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

    /// Returns the credentials whose keys ask for those of a role.
    fn credential_sources(&self) -> impl Iterator<Item = &str> {
        let kinds = self.credentials.values().filter_map(|it| it.aws_sigv4.as_ref());
        let kinds = kinds.chain(&self.aws_sigv4);
        kinds.filter_map(|aws| Some(aws.assume_role.as_ref()?.from.as_str()))
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
