//! The setup of a host.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use hoth_testkit::AwsPartition;
use hoth_testkit::HostConfig;
use hoth_testkit::MockAws;
use hoth_testkit::MockAzure;
use hoth_testkit::OauthCsp;
use mock_csp::MockCsp;
use mock_csp::Stratus;
use mock_csp::stratus::KEY_HEADER;
use serde_json::Value;

use super::Outcome;
use super::TestHost;
use super::compiled_adapters;
use super::component;
use super::job;

/// The deadline of one call into an adapter. A correct adapter must not reach
/// it on a busy machine; tests of the deadline set another one.
const DEADLINE_MS: u64 = 60_000;

/// A host to be started: its configuration, adapters and roles.
pub struct Setup {
    config: HostConfig,
    roles: String,
    /// `None` means that of the environment, or `info`.
    log_filter: Option<String>,
    /// Bundled adapters, copied when the host starts.
    adapters: BTreeSet<&'static str>,
    admin_token: Option<String>,
}

impl Setup {
    /// Returns a setup with quick retries and polls, the `atat` adapter, and no
    /// CSP yet.
    pub fn new() -> Self {
        Self {
            config: HostConfig::default()
                .quick()
                .cache(&compiled_adapters())
                .deadline_ms(DEADLINE_MS),
            roles: "api,worker,watcher".to_owned(),
            log_filter: None,
            adapters: BTreeSet::from(["atat"]),
            admin_token: None,
        }
    }

    fn map(mut self, change: impl FnOnce(HostConfig) -> HostConfig) -> Self {
        self.config = change(self.config);
        self
    }

    /// Adds `name`, served by `csp` through the `stratus` adapter.
    pub fn stratus(mut self, name: &str, csp: &Stratus) -> Self {
        self.adapters.insert("stratus");
        let (base_url, variable) = (csp.base_url(), format!("{name}_KEY"));
        let table = format!(
            r#"
[csp.{name}]
adapter = "stratus"
base_url = "{base_url}"
[csp.{name}.api_key]
header = "{KEY_HEADER}"
value = {{ env = "{variable}" }}
"#
        );
        self.map(|config| config.csp_table(&table).environment(&variable, csp.key()))
    }

    /// Adds `name`, a part of a local AWS served by the `aws` adapter, with more
    /// `settings` as the inside of an inline table.
    pub fn aws(mut self, name: &str, aws: &MockAws, part: AwsPartition, settings: &str) -> Self {
        self.adapters.insert("aws");
        self.map(|config| {
            config.aws(name, aws, part, settings).expect("the local AWS says where it is")
        })
    }

    /// Adds `name`, served by a local Azure through the `azure` adapter.
    /// `settings` are lines of its table `settings`.
    pub fn azure(mut self, name: &str, azure: &MockAzure, settings: &str) -> Self {
        self.adapters.insert("azure");
        self.map(|config| {
            let config = config.azure(name, azure, settings);
            config.expect("the local Azure says where it is")
        })
    }

    /// Adds `name`, served by `csp` through the `atat` adapter.
    pub fn csp(self, name: &str, csp: &MockCsp) -> Self {
        self.csp_with(name, csp, "")
    }

    /// Adds `name` as [`csp`](Self::csp) does, with more lines for its table,
    /// such as `timeout_ms = 300`.
    pub fn csp_with(self, name: &str, csp: &MockCsp, lines: &str) -> Self {
        self.map(|config| config.csp(name, csp, lines))
    }

    /// Adds `name` as [`csp_with`](Self::csp_with) does, at other URLs.
    pub fn csp_at(
        self,
        name: &str,
        base_url: &str,
        token_url: &str,
        csp: &MockCsp,
        lines: &str,
    ) -> Self {
        let csp = OauthCsp {
            base_url: base_url.to_owned(),
            token_url: token_url.to_owned(),
            ..OauthCsp::from(csp)
        };
        self.map(|config| config.csp(name, csp, lines))
    }

    /// Adds tables to the configuration.
    pub fn with(self, lines: &str) -> Self {
        self.map(|config| config.table(lines))
    }

    /// Replaces the lines of `[queue]`.
    pub fn queue(self, lines: &str) -> Self {
        self.map(|config| config.queue(lines))
    }

    /// Sets the roles, as `--roles` takes them.
    pub fn roles(mut self, roles: &str) -> Self {
        roles.clone_into(&mut self.roles);
        self
    }

    /// Adds a bundled adapter; a table `[csp.…]` added with [`Self::with`] names
    /// it.
    pub fn bundled(mut self, name: &'static str) -> Self {
        self.adapters.insert(name);
        self
    }

    /// Adds an adapter; a table `[csp.…]` added with [`Self::with`] names it.
    pub fn adapter(self, name: &str, wasm: Vec<u8>) -> Self {
        self.map(|config| config.adapter(name, wasm))
    }

    /// Sets an environment variable, such as `HOTH__RETRY__ATTEMPTS`, which
    /// overrides a configuration key.
    pub fn environment(self, name: &str, value: &str) -> Self {
        self.map(|config| config.environment(name, value))
    }

    /// Sets the log filter, whatever `HOTH_TEST_LOG` says.
    pub fn log_filter(mut self, filter: &str) -> Self {
        self.log_filter = Some(filter.to_owned());
        self
    }

    /// Sets the bearer token for the admin API, where it asks for one.
    pub fn admin_token(mut self, token: &str) -> Self {
        self.admin_token = Some(token.to_owned());
        self
    }

    /// Starts a host, has it provision a portfolio at `CSP_TEST`, and returns
    /// the outcome.
    pub async fn provision(self) -> Outcome {
        self.run(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await
    }

    /// Starts a host, runs a provisioning job there, and returns the outcome.
    pub async fn run(self, job: &Value) -> Outcome {
        let host = self.start().await;
        let snow = host.servicenow();
        snow.provision(job).await;
        snow.outcome().await
    }

    /// Starts the host.
    pub async fn start(self) -> TestHost {
        let directory = tempfile::tempdir().expect("a temporary folder can be made");
        let mut config = self.config;
        for name in &self.adapters {
            config = config.adapter_file(name, &component(name));
        }
        let filter = self.log_filter.or_else(log_filter_of_environment);
        let program = Path::new(env!("CARGO_BIN_EXE_hoth"));
        let command = config
            .write(program, directory.path())
            .expect("the configuration can be written")
            .roles(&self.roles)
            .log_filter(filter.as_deref().unwrap_or("info"))
            .log_to_stderr();
        TestHost::start(Arc::new(directory), command, self.admin_token).await
    }
}

/// Provisions a portfolio at `csp` through a host of its own, and returns the
/// outcome.
pub async fn provision(csp: &MockCsp) -> Outcome {
    Setup::new().csp("CSP_TEST", csp).provision().await
}

/// Returns `HOTH_TEST_LOG`, as a developer sets it for all tests.
fn log_filter_of_environment() -> Option<String> {
    std::env::vars().find_map(|(name, value)| (name == "HOTH_TEST_LOG").then_some(value))
}
