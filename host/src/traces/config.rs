//! The `[telemetry]` table of the configuration.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use http::HeaderName;
use http::HeaderValue;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use url::Url;

use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;
use hoth_core::domain::CspName;
use hoth_egress::TlsConfig;
use hoth_platform::secret::SecretSource;

/// The bounds of the queue of spans. Below them the spans of one run do not fit;
/// above them the queue takes more memory than the jobs. A span has about a
/// kilobyte.
const QUEUED_SPANS: RangeInclusive<u64> = 256..=1_000_000;

/// The bounds of the time for one export.
const EXPORT_TIMEOUT_MS: RangeInclusive<u64> = 100..=60_000;

/// The most headers of an export. Receivers ask for one key.
const HEADERS_MAX: usize = 16;

/// Headers of an export that the host sets itself.
const RESERVED_HEADERS: [&str; 5] =
    ["content-encoding", "content-length", "content-type", "host", "transfer-encoding"];

/// The export of traces, and the contexts that CSPs get.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The base URL of an OTLP receiver, to which `/v1/traces` is appended. No
    /// spans are made without it.
    pub otlp_endpoint: Option<Url>,
    /// Further headers of each export, such as a key.
    pub otlp_headers: BTreeMap<String, SecretSource>,
    /// The share of traces that is exported, from 0 to 1, where the client makes
    /// no decision.
    pub sample_ratio: f64,
    /// `true` to export the paths of requests to CSPs.
    pub csp_paths: bool,
    /// The CSPs that get the trace context of a job.
    pub propagate_to: BTreeSet<CspName>,
    /// The spans that may wait for their export. Beyond that they are dropped.
    pub max_queued_spans: u64,
    /// The time for one export, in milliseconds.
    pub export_timeout_ms: u64,
    /// The certificates for the receiver.
    pub tls: Option<TlsConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            otlp_headers: BTreeMap::new(),
            sample_ratio: 1.0,
            csp_paths: false,
            propagate_to: BTreeSet::new(),
            max_queued_spans: 8_192,
            export_timeout_ms: 10_000,
            tls: None,
        }
    }
}

impl Config {
    /// Resolves relative paths against the directory of the configuration file.
    pub fn resolve_against(&mut self, directory: &Path) {
        for secret in self.otlp_headers.values_mut() {
            secret.resolve_against(directory);
        }
        if let Some(tls) = &mut self.tls {
            tls.resolve_against(directory);
        }
    }

    /// Returns the time for one export.
    pub(super) fn export_timeout(&self) -> Duration {
        Duration::from_millis(self.export_timeout_ms)
    }

    fn check_headers(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.otlp_headers.len() > HEADERS_MAX {
            let message = format!("has more than {HEADERS_MAX} headers");
            problems.push(Problem::new("otlp_headers", message));
        }
        for (name, secret) in &self.otlp_headers {
            let key = format!("otlp_headers.{name}");
            match HeaderName::try_from(name) {
                Err(_) => problems.push(Problem::new(key, "is not the name of a header")),
                Ok(name) if RESERVED_HEADERS.contains(&name.as_str()) => {
                    problems.push(Problem::new(key, "is set by the host"));
                }
                Ok(_) => match secret.read() {
                    Err(error) => problems.push(Problem::new(key, error)),
                    Ok(value) if HeaderValue::from_str(value.expose_secret()).is_err() => {
                        problems.push(Problem::new(key, "is not the value of a header"));
                    }
                    Ok(_) => {}
                },
            }
        }
        problems
    }
}

impl Table for Config {
    fn check(&self, names: &Names<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(Err(bad)) = self.otlp_endpoint.as_ref().map(hoth_egress::check_url) {
            problems.push(Problem::new("otlp_endpoint", bad));
        }
        problems.extend(self.check_headers());
        // Not a number fails the comparison, so it is refused too.
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            let message = format!("must be 0 to 1, not {}", self.sample_ratio);
            problems.push(Problem::new("sample_ratio", message));
        }
        for csp in self.propagate_to.iter().filter(|csp| !names.csps.contains(csp)) {
            let message = format!("names `{csp}`, which has no table `[csp.{csp}]`");
            problems.push(Problem::new("propagate_to", message));
        }
        let bounded = [
            ("max_queued_spans", self.max_queued_spans, QUEUED_SPANS),
            ("export_timeout_ms", self.export_timeout_ms, EXPORT_TIMEOUT_MS),
        ];
        let problem = |(key, value, bounds)| Problem::out_of_range(key, value, &bounds);
        problems.extend(bounded.into_iter().filter_map(problem));
        if let Some(missing) = self.tls.as_ref().and_then(TlsConfig::missing) {
            problems.push(Problem::new(format!("tls.{missing}"), "is missing"));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(toml: &str) -> Vec<String> {
        let config: Config = toml::from_str(toml).expect("it can be read");
        let csp: CspName = "CSP_A".parse().expect("a name");
        let names = Names { csps: vec![&csp], adapters: Vec::new() };
        config.check(&names).iter().map(Problem::to_string).collect()
    }

    #[test]
    fn mistakes_are_told_with_their_keys() {
        for (toml, expected) in [
            ("", None),
            ("otlp_endpoint = 'https://otel.example.com/base'", None),
            ("otlp_endpoint = 'http://127.0.0.1:4318'", None),
            ("propagate_to = ['CSP_A']\nsample_ratio = 0", None),
            (
                "otlp_endpoint = 'http://otel.example.com'",
                Some("otlp_endpoint: must be https, unless it points at loopback"),
            ),
            (
                "otlp_endpoint = 'https://u:p@otel.example.com'",
                Some("otlp_endpoint: must not contain a user name or a password"),
            ),
            ("sample_ratio = 1.5", Some("sample_ratio: must be 0 to 1, not 1.5")),
            ("sample_ratio = nan", Some("sample_ratio: must be 0 to 1, not NaN")),
            (
                "propagate_to = ['CSP_Z']",
                Some("propagate_to: names `CSP_Z`, which has no table `[csp.CSP_Z]`"),
            ),
            ("max_queued_spans = 1", Some("max_queued_spans: must be 256 to 1000000, not 1")),
            (
                "otlp_headers = { 'Content-Type' = { env = 'PATH' } }",
                Some("otlp_headers.Content-Type: is set by the host"),
            ),
            (
                "otlp_headers = { 'a b' = { env = 'PATH' } }",
                Some("otlp_headers.a b: is not the name of a header"),
            ),
            (
                "otlp_headers = { a = { env = 'HOTH_NO_SUCH_VARIABLE' } }",
                Some("otlp_headers.a: the environment variable `HOTH_NO_SUCH_VARIABLE` is not set"),
            ),
            ("[tls]\ncertificate = 'a.pem'", Some("tls.key: is missing")),
        ] {
            assert_eq!(problems(toml), expected.into_iter().collect::<Vec<_>>(), "{toml}");
        }
    }
}
