//! How a host is set up.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use mock_csp::MockCsp;
use mock_csp::Stratus;
use mock_csp::stratus::KEY_HEADER;

use super::TestHost;
use super::compiled_adapters;
use super::component;

/// The deadline of one call into an adapter. A correct adapter must not reach it
/// on a busy machine; tests of the deadline set another one.
const DEADLINE_MS: u64 = 60_000;

/// How a host is set up.
pub struct Setup {
    csps: String,
    settings: String,
    queue: String,
    roles: String,
    environment: Vec<(String, String)>,
    adapters: BTreeSet<&'static str>,
    /// Further ones, by the names of their files.
    guests: Vec<(String, Vec<u8>)>,
}

impl Setup {
    /// Quick retries and polls, the `atat` adapter, and no CSP yet.
    pub fn new() -> Self {
        Self {
            csps: String::new(),
            settings: String::new(),
            queue: "path = \"data/hoth.db\"".to_owned(),
            roles: "api,worker,watcher".to_owned(),
            environment: Vec::new(),
            adapters: BTreeSet::from(["atat"]),
            guests: Vec::new(),
        }
    }

    /// Adds `name`, served by `csp` through the `stratus` adapter.
    pub fn stratus(mut self, name: &str, csp: &Stratus) -> Self {
        let (base_url, variable) = (csp.base_url(), format!("{name}_KEY"));
        write!(
            self.csps,
            r#"
[csp.{name}]
adapter = "stratus"
base_url = "{base_url}"
[csp.{name}.api_key]
header = "{KEY_HEADER}"
value = {{ env = "{variable}" }}
"#
        )
        .expect("writing to a string succeeds");
        self.environment.push((variable, csp.key().to_owned()));
        self.adapters.insert("stratus");
        self
    }

    /// Adds `name`, served by `csp` through the `atat` adapter.
    pub fn csp(self, name: &str, csp: &MockCsp) -> Self {
        self.csp_with(name, csp, "")
    }

    /// The same, with more lines for its table, such as `timeout_ms = 300`.
    pub fn csp_with(self, name: &str, csp: &MockCsp, lines: &str) -> Self {
        self.csp_at(name, csp.base_url().as_ref(), csp.token_url().as_ref(), csp, lines)
    }

    /// The same, at URLs of its own.
    pub fn csp_at(
        mut self,
        name: &str,
        base_url: &str,
        token_url: &str,
        csp: &MockCsp,
        lines: &str,
    ) -> Self {
        let variable = format!("{name}_CLIENT_SECRET");
        let client_id = csp.client_id();
        write!(
            self.csps,
            r#"
[csp.{name}]
adapter = "atat"
base_url = "{base_url}"
{lines}
[csp.{name}.oauth2]
token_url = "{token_url}"
client_id = "{client_id}"
client_secret = {{ env = "{variable}" }}
"#
        )
        .expect("writing to a string succeeds");
        self.environment.push((variable, csp.client_secret().to_owned()));
        self
    }

    /// Adds a table, or anything else that a configuration may hold.
    pub fn with(mut self, lines: &str) -> Self {
        self.settings.push_str(lines);
        self.settings.push('\n');
        self
    }

    /// Keeps the queues elsewhere, as these lines of `[queue]` say.
    pub fn queue(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.queue);
        self
    }

    /// What the host does, as `--roles` has it.
    pub fn roles(mut self, roles: &str) -> Self {
        roles.clone_into(&mut self.roles);
        self
    }

    /// Adds any other adapter; [`Self::with`] a table `[csp.…]` names it.
    pub fn adapter(mut self, name: &str, wasm: Vec<u8>) -> Self {
        self.guests.push((name.to_owned(), wasm));
        self
    }

    /// Overrides keys from the environment, such as `HOTH__RETRY__ATTEMPTS`.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the host.
    pub async fn start(self) -> TestHost {
        let directory = tempfile::tempdir().expect("a temporary folder can be made");
        let adapters = directory.path().join("adapters");
        std::fs::create_dir(&adapters).expect("a folder can be made");
        for name in &self.adapters {
            std::fs::copy(component(name), adapters.join(name).with_extension("wasm"))
                .expect("the adapter can be copied");
        }
        for (name, wasm) in &self.guests {
            std::fs::write(adapters.join(name).with_extension("wasm"), wasm)
                .expect("an adapter can be written");
        }
        let defaults = [
            ("retry", "[retry]\ninitial_backoff_ms = 20\nmax_backoff_ms = 2000\n"),
            ("polling", "[polling]\ninitial_ms = 20\nmax_ms = 100\n"),
        ];
        let mut text = format!(
            r#"
[api]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[queue]
{}
[adapters]
directory = "adapters"
cache_directory = "{}"
deadline_ms = {DEADLINE_MS}
"#,
            self.queue,
            compiled_adapters().display()
        );
        for (table, lines) in defaults {
            if !self.settings.contains(&format!("[{table}]")) {
                text.push_str(lines);
            }
        }
        text.push_str(&self.settings);
        text.push_str(&self.csps);
        std::fs::write(directory.path().join("hoth.toml"), text).expect("a file can be written");
        let directory = Arc::new(directory);
        TestHost::start(directory, self.environment, self.roles).await
    }
}
