//! The configuration file: what operators write, checked once.
//!
//! Every module owns the meaning of its table; here they are put together,
//! overridden from the environment, and checked against one another.

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

/// A whole configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where it was read.
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

/// `[admin]`: the operators' listener.
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

/// `[retry]`: how often a call to a CSP is made.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Calls in all.
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
    /// The policy that these settings stand for.
    pub fn policy(&self) -> RetryPolicy {
        RetryPolicy {
            attempts: self.attempts,
            initial_backoff: Duration::from_millis(self.initial_backoff_ms),
            max_backoff: Duration::from_millis(self.max_backoff_ms),
        }
    }
}

/// `[polling]`: how a job that a CSP works on is asked after.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Polling {
    pub initial_ms: u64,
    pub max_ms: u64,
    /// May have a fraction.
    pub deadline_hours: f64,
}

impl Default for Polling {
    fn default() -> Self {
        Self { initial_ms: 5_000, max_ms: 60_000, deadline_hours: 240.0 }
    }
}

/// `[provisioning]`: what ServiceNow reads.
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

/// `[worker]`: how jobs are worked off.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Worker {
    /// How long jobs in hand may take to end when the host is told to stop.
    pub drain_ms: u64,
    /// For how long a worker holds a message before it must say that it still
    /// works: so long a job waits when its host dies, where hosts share queues.
    pub lease_seconds: u64,
}

impl Default for Worker {
    /// A lease is longer than nearly every job takes, so that few need a
    /// heartbeat.
    fn default() -> Self {
        Self { drain_ms: 25_000, lease_seconds: 120 }
    }
}

/// Below that, a slow call to the queue could cost a lease; above, nobody would
/// wait for a host that has died.
const LEASE_SECONDS: std::ops::RangeInclusive<u64> = 5..=3_600;

/// Why a configuration cannot be used. The text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}: {message}")]
    Syntax { path: PathBuf, message: String },
    #[error("`{variable}` from the environment: {message}")]
    Environment { variable: String, message: String },
    /// Every contradiction at once, a line each.
    #[error("{path}:\n{}", problems.iter().map(|p| format!("  {p}")).collect::<Vec<_>>().join("\n"))]
    Invalid { path: PathBuf, problems: Vec<String> },
}

impl Config {
    /// Reads, overrides, resolves and checks the file at `path`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], with the line where there is one.
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

    /// Paths are relative to the configuration file.
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

    /// Everything that is wrong with it.
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

    /// Whose signatures on adapters count.
    ///
    /// # Errors
    ///
    /// [`TrustError`]: a key that is none, or none where one is needed.
    pub fn trust(&self) -> Result<Trust, TrustError> {
        Trust::new(&self.adapters.trusted_keys, self.adapters.require_signature)
    }

    /// The adapter of each CSP, and what it has to find there.
    pub fn csp_requirements(&self) -> BTreeMap<CspName, (String, Requirements)> {
        let require = |csp: &hoth_egress::Config| {
            let credentials = csp.credentials.keys().cloned().collect();
            (csp.adapter.clone(), Requirements { operations: csp.operations.clone(), credentials })
        };
        self.csp.iter().map(|(name, csp)| (name.clone(), require(csp))).collect()
    }

    /// How waiting jobs are asked after.
    pub fn poll_policy(&self) -> PollPolicy {
        PollPolicy {
            initial: Duration::from_millis(self.polling.initial_ms),
            max: Duration::from_millis(self.polling.max_ms),
            deadline: Duration::from_secs_f64(self.polling.deadline_hours * 3_600.0),
            async_failure_code: self.provisioning.async_failure_code,
        }
    }

    /// The configured CSPs, and what each offers.
    pub fn offers(&self) -> BTreeMap<CspName, SupportedOperations> {
        self.csp.iter().map(|(name, csp)| (name.clone(), csp.operations.clone())).collect()
    }
}

/// Whether only one of two listeners could have its address. Port 0 is a new
/// port each time.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0
        && one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (any || one.ip() == other.ip())
}

/// Thirteen days: SQS forgets a message after fourteen.
const DEADLINE_HOURS_MAX: f64 = 312.0;
