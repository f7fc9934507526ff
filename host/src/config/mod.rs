//! The configuration file, read and checked once.
//!
//! Every module owns its table: the type, the defaults and the [rules](hoth_core::config::Table).
//! This module reads the tables, applies overrides from the environment, and
//! [checks](check) the tables, each by itself and against one another.

mod changes;
mod check;
mod environment;
mod mistake;
pub mod profile;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;

pub use self::changes::KeyDigests;
pub use self::environment::resource_attributes;
use crate::admin;
use crate::api;
use crate::console;
use crate::http;
use crate::http::auth::AuthConfig;
use crate::registry::Requirements;
use crate::registry::Trust;
use crate::registry::TrustError;
use crate::replay;
use crate::traces;
use crate::worker;
use hoth_core::config::Problem;
use hoth_core::domain::CspName;
use hoth_core::domain::SupportedOperations;
use hoth_core::workflow::PollPolicy;

/// The whole configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file that it was read from.
    #[serde(skip)]
    pub file: PathBuf,
    /// The keys in that file.
    #[serde(skip)]
    pub keys: KeyDigests,
    #[serde(default)]
    pub api: api::Config,
    #[serde(default)]
    pub admin: admin::Config,
    #[serde(default)]
    pub console: console::Config,
    #[serde(default)]
    pub auth: AuthConfig,
    #[serde(default)]
    pub limits: http::Limits,
    #[serde(default)]
    pub queue: hoth_queue::Config,
    #[serde(default)]
    pub adapters: hoth_runtime::Config,
    #[serde(default)]
    pub replay: replay::Config,
    #[serde(default)]
    pub trail: hoth_trail::Config,
    #[serde(default)]
    pub retry: worker::RetryConfig,
    #[serde(default)]
    pub polling: worker::PollingConfig,
    #[serde(default)]
    pub provisioning: worker::ProvisioningConfig,
    #[serde(default)]
    pub worker: worker::Config,
    #[serde(default)]
    pub shutdown: http::Shutdown,
    #[serde(default)]
    pub telemetry: traces::Config,
    #[serde(default)]
    pub csp: BTreeMap<CspName, hoth_egress::Config>,
}

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
    Invalid { path: PathBuf, problems: Vec<Problem> },
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
        config.keys = KeyDigests::of(&text);
        config.resolve_paths(path.parent().unwrap_or(Path::new("")));
        let problems = check::problems(&config);
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
        self.trail.resolve_against(directory);
        self.console.resolve_against(directory);
        self.telemetry.resolve_against(directory);
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
            let requirements = Requirements {
                operations: csp.operations.clone(),
                credentials: csp.credential_parameters(),
                endpoints: csp.endpoint_parameters(),
                settings: csp.settings_value(),
            };
            (csp.adapter.clone(), requirements)
        };
        self.csp.iter().map(|(name, csp)| (name.clone(), require(csp))).collect()
    }

    /// Returns the policy for the polls of waiting jobs.
    pub fn poll_policy(&self) -> PollPolicy {
        self.polling.policy(&self.provisioning)
    }

    /// Returns the configured CSPs, and the operations that each offers.
    pub fn offers(&self) -> BTreeMap<CspName, SupportedOperations> {
        self.csp.iter().map(|(name, csp)| (name.clone(), csp.operations.clone())).collect()
    }
}
