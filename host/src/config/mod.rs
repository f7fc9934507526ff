//! The configuration file, read and checked once.
//!
//! Every module owns the meaning of its table. This module reads the tables,
//! applies overrides from the environment, and checks the tables against one
//! another.

mod environment;
mod limits;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::api;
use crate::http::auth::AuthConfig;
use crate::http::listener::TlsConfig;
use crate::registry::Requirements;
use crate::registry::Trust;
use crate::registry::TrustError;
use crate::replay;
use hoth_core::domain::CspName;
use hoth_core::domain::SupportedOperations;
use hoth_core::workflow::PollPolicy;
use hoth_core::workflow::RetryPolicy;

pub use limits::Limits;
pub use queue::Backend;
pub use queue::Queue;

/// The whole configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file that it was read from.
    #[serde(skip)]
    pub file: PathBuf,
    #[serde(default)]
    pub api: api::Config,
    #[serde(default)]
    pub admin: Admin,
    #[serde(default)]
    pub auth: AuthConfig,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub queue: Queue,
    #[serde(default)]
    pub adapters: hoth_runtime::Config,
    #[serde(default)]
    pub replay: replay::Config,
    #[serde(default)]
    pub retry: Retry,
    #[serde(default)]
    pub polling: Polling,
    #[serde(default)]
    pub provisioning: Provisioning,
    #[serde(default)]
    pub worker: Worker,
    #[serde(default)]
    pub csp: BTreeMap<CspName, hoth_egress::Config>,
}

/// The table `[admin]`: the operators' listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    pub listen: SocketAddr,
    pub tls: Option<TlsConfig>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8081)), tls: None }
    }
}

/// The table `[retry]`: the tries of a call to a CSP.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// The number of calls, the first one included.
    pub attempts: NonZeroU32,
    pub initial_backoff_ms: u64,
    pub max_backoff_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        let attempts = const { NonZeroU32::new(3).expect("three is not zero") };
        Self { attempts, initial_backoff_ms: 1_000, max_backoff_ms: 30_000 }
    }
}

impl Retry {
    /// Returns the policy that these settings describe.
    pub fn policy(&self) -> RetryPolicy {
        RetryPolicy {
            attempts: self.attempts,
            initial_backoff: Duration::from_millis(self.initial_backoff_ms),
            max_backoff: Duration::from_millis(self.max_backoff_ms),
        }
    }
}

/// The table `[polling]`: the polls of jobs that a CSP is working on.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Polling {
    pub initial_ms: u64,
    pub max_ms: u64,
    /// A fraction is allowed.
    pub deadline_hours: f64,
}

impl Default for Polling {
    fn default() -> Self {
        Self { initial_ms: 5_000, max_ms: 60_000, deadline_hours: 240.0 }
    }
}

/// The table `[provisioning]`: the outcomes that ServiceNow reads.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Provisioning {
    /// The code of a job that a CSP accepted and then failed: 200, or 400 to
    /// 599.
    pub async_failure_code: u16,
}

impl Default for Provisioning {
    fn default() -> Self {
        Self { async_failure_code: 500 }
    }
}

/// The table `[worker]`: the processing of jobs.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Worker {
    /// The time for jobs in progress to end when the host is stopped.
    pub drain_ms: u64,
    /// The lease of a message, after which a worker must extend it. When a host
    /// dies that shares its queues with others, its jobs wait for this time.
    pub lease_seconds: u64,
}

impl Default for Worker {
    fn default() -> Self {
        // The lease is longer than nearly every job takes, so that few need a
        // heartbeat.
        Self { drain_ms: 25_000, lease_seconds: 120 }
    }
}

/// The bounds of a lease. Below them a slow call to the queue could lose the
/// lease; above them the jobs of a host that died would wait too long.
const LEASE_SECONDS: std::ops::RangeInclusive<u64> = 5..=3_600;

/// The reason why a configuration cannot be used, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {message}")]
    Syntax { path: PathBuf, message: String },
    #[error("`{variable}` from the environment: {message}")]
    Environment { variable: String, message: String },
    /// All problems at once, one on each line.
    #[error("{path}:\n{}", problems.iter().map(|p| format!("  {p}")).collect::<Vec<_>>().join("\n"))]
    Invalid { path: PathBuf, problems: Vec<String> },
}

impl Config {
    /// Reads, overrides, resolves and checks the file at `path`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], with the line of the file if there is one.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut config = environment::parse(path, &text, &environment::overrides())?;
        config.file = path.to_owned();
        config.resolve_paths(path.parent().unwrap_or(Path::new("")));
        let problems = config.problems();
        if problems.is_empty() {
            return Ok(config);
        }
        Err(ConfigError::Invalid { path: path.to_owned(), problems })
    }

    /// Resolves relative paths against the directory of the configuration file.
    fn resolve_paths(&mut self, directory: &Path) {
        self.queue.resolve_against(directory);
        self.adapters.resolve_against(directory);
        self.replay.resolve_against(directory);
        self.auth.resolve_against(directory);
        if let Some(secret) = &mut self.api.batch_key {
            secret.resolve_against(directory);
        }
        for tls in self.api.tls.iter_mut().chain(&mut self.admin.tls) {
            tls.resolve_against(directory);
        }
        for csp in self.csp.values_mut() {
            csp.resolve_against(directory);
        }
    }

    /// Lists the problems of the whole configuration.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.csp.is_empty() {
            problems.push("no CSP is configured: add a table `[csp.NAME]`".to_owned());
        }
        for (name, csp) in &self.csp {
            problems.extend(csp.validate().into_iter().map(|p| format!("csp.{name}: {p}")));
        }
        problems.extend(self.api.problems().into_iter().map(|p| format!("api: {p}")));
        let csps = self.csp.keys();
        problems.extend(self.queue.problems(csps).into_iter().map(|p| format!("queue.{p}")));
        problems.extend(self.auth.problems().into_iter().map(|p| format!("auth: {p}")));
        problems.extend(self.limits.problems().into_iter().map(|p| format!("limits: {p}")));
        for (table, tls) in [("api", &self.api.tls), ("admin", &self.admin.tls)] {
            if let Some(Err(error)) = tls.as_ref().map(TlsConfig::open) {
                problems.push(format!("{table}.tls: {error}"));
            }
        }
        if let Err(error) = self.adapters.check() {
            problems.push(format!("adapters: {error}"));
        }
        let adapters = self.csp.values().map(|csp| csp.adapter.as_str());
        problems.extend(self.replay.problems(adapters).into_iter().map(|p| format!("replay: {p}")));
        if let Err(error) = self.trust() {
            problems.push(format!("adapters.{error}"));
        }
        let hours = self.polling.deadline_hours;
        if !(hours > 0.0 && hours <= DEADLINE_HOURS_MAX) {
            problems.push(format!(
                "polling.deadline_hours: must be more than 0 and at most {DEADLINE_HOURS_MAX}"
            ));
        }
        if !LEASE_SECONDS.contains(&self.worker.lease_seconds) {
            problems.push("worker.lease_seconds: must be 5 to 3600".to_owned());
        }
        if !matches!(self.provisioning.async_failure_code, 200 | 400..=599) {
            problems.push("provisioning.async_failure_code: must be 200, or 400 to 599".to_owned());
        }
        let (api, admin) = (self.api.listen, self.admin.listen);
        if clash(api, admin) {
            problems.push(format!("admin.listen: {admin} is taken by `api.listen`, {api}"));
        }
        if self.auth.is_open() {
            for (table, listen) in [("api", self.api.listen), ("admin", self.admin.listen)] {
                if !listen.ip().is_loopback() {
                    problems.push(format!(
                        "{table}.listen: {listen} is not loopback, and no key is configured: add one \
                         under `[[auth.bearer]]` or `[[auth.sigv4]]`, or listen on 127.0.0.1"
                    ));
                }
            }
        }
        problems
    }

    /// Returns the keys whose signatures on adapters are accepted.
    ///
    /// # Errors
    ///
    /// [`TrustError`] if a key is invalid, or if a required key is missing.
    pub fn trust(&self) -> Result<Trust, TrustError> {
        Trust::new(&self.adapters.trusted_keys, self.adapters.require_signature)
    }

    /// Returns the adapter of each CSP, with the requirements that it must meet.
    pub fn csp_requirements(&self) -> BTreeMap<CspName, (String, Requirements)> {
        let require = |csp: &hoth_egress::Config| {
            let credentials = csp.credentials.keys().cloned().collect();
            (csp.adapter.clone(), Requirements { operations: csp.operations.clone(), credentials })
        };
        self.csp.iter().map(|(name, csp)| (name.clone(), require(csp))).collect()
    }

    /// Returns the policy for the polls of waiting jobs.
    pub fn poll_policy(&self) -> PollPolicy {
        PollPolicy {
            initial: Duration::from_millis(self.polling.initial_ms),
            max: Duration::from_millis(self.polling.max_ms),
            deadline: Duration::from_secs_f64(self.polling.deadline_hours * 3_600.0),
            async_failure_code: self.provisioning.async_failure_code,
        }
    }

    /// Returns the configured CSPs, and the operations that each offers.
    pub fn offers(&self) -> BTreeMap<CspName, SupportedOperations> {
        self.csp.iter().map(|(name, csp)| (name.clone(), csp.operations.clone())).collect()
    }
}

/// Returns true if two listeners cannot have their addresses at the same time.
/// Port 0 is a new port each time.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0
        && one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (any || one.ip() == other.ip())
}

/// The longest configurable wait, thirteen days: SQS deletes a message after
/// fourteen.
const DEADLINE_HOURS_MAX: f64 = 312.0;
