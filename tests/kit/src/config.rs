//! The configuration and the adapters of a host.

use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use mock_csp::MockCsp;

use crate::process::HostCommand;

/// Short intervals of retries and polls, so that a test need not wait.
const QUICK: [(&str, &str); 3] = [
    ("retry", "[retry]\ninitial_backoff_ms = 20\nmax_backoff_ms = 2000\n"),
    ("polling", "[polling]\ninitial_ms = 20\nmax_ms = 100\n"),
    ("shutdown", "[shutdown]\ndelay_ms = 0\n"),
];

/// A host's configuration: loopback listeners on free ports, the embedded
/// queue, and no CSP yet.
#[derive(Debug, Clone)]
pub struct HostConfig {
    queue: String,
    cache: Option<PathBuf>,
    /// `None` means the host's default.
    deadline_ms: Option<u64>,
    is_quick: bool,
    /// Tables in front of those of the CSPs.
    tables: String,
    csps: String,
    environment: Vec<(String, String)>,
    adapters: Vec<(String, Adapter)>,
}

#[derive(Debug, Clone)]
enum Adapter {
    File(PathBuf),
    Wasm(Vec<u8>),
}

/// A CSP that grants tokens by OAuth 2.0 and is served by the `atat` adapter.
#[derive(Debug, Clone)]
pub struct OauthCsp {
    pub base_url: String,
    pub token_url: String,
    pub client_id: String,
    pub client_secret: String,
}

impl From<&MockCsp> for OauthCsp {
    fn from(csp: &MockCsp) -> Self {
        Self {
            base_url: csp.base_url().to_string(),
            token_url: csp.token_url().to_string(),
            client_id: csp.client_id().to_owned(),
            client_secret: csp.client_secret().to_owned(),
        }
    }
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            queue: "path = \"data/hoth.db\"".to_owned(),
            cache: None,
            deadline_ms: None,
            is_quick: false,
            tables: String::new(),
            csps: String::new(),
            environment: Vec::new(),
            adapters: Vec::new(),
        }
    }
}

impl HostConfig {
    /// Shortens the intervals of retries and polls, unless a table sets them.
    pub fn quick(mut self) -> Self {
        self.is_quick = true;
        self
    }

    /// Replaces the lines of `[queue]`.
    pub fn queue(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.queue);
        self
    }

    /// Keeps the embedded queue in `file`.
    pub fn queue_file(self, file: &Path) -> Self {
        self.queue(&format!("path = \"{}\"", file.display()))
    }

    /// Keeps compiled adapters in `folder`, which hosts may share.
    pub fn cache(mut self, folder: &Path) -> Self {
        self.cache = Some(folder.to_owned());
        self
    }

    /// Sets the time limit of one call into an adapter, in milliseconds.
    pub fn deadline_ms(mut self, deadline: u64) -> Self {
        self.deadline_ms = Some(deadline);
        self
    }

    /// Adds one or more tables.
    pub fn table(mut self, lines: &str) -> Self {
        self.tables.push_str(lines);
        self.tables.push('\n');
        self
    }

    /// Adds the table of a CSP, with all its lines.
    pub fn csp_table(mut self, lines: &str) -> Self {
        self.csps.push_str(lines);
        self
    }

    /// Adds `csp` under `name`, with more `lines` for its table, such as
    /// `timeout_ms = 300`. Its client secret comes from the environment.
    pub fn csp(self, name: &str, csp: impl Into<OauthCsp>, lines: &str) -> Self {
        let OauthCsp { base_url, token_url, client_id, client_secret } = csp.into();
        let variable = format!("{name}_CLIENT_SECRET");
        let table = format!(
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
        );
        self.csp_table(&table).environment(&variable, &client_secret)
    }

    /// Sets an environment variable of the hosts.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Copies `file` to the adapter directory as `<name>.wasm`.
    pub fn adapter_file(mut self, name: &str, file: &Path) -> Self {
        self.adapters.push((name.to_owned(), Adapter::File(file.to_owned())));
        self
    }

    /// Writes `wasm` to the adapter directory as `<name>.wasm`.
    pub fn adapter(mut self, name: &str, wasm: Vec<u8>) -> Self {
        self.adapters.push((name.to_owned(), Adapter::Wasm(wasm)));
        self
    }

    /// Returns the text of `hoth.toml`.
    fn text(&self) -> String {
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
"#,
            self.queue
        );
        if let Some(cache) = &self.cache {
            writeln!(text, "cache_directory = \"{}\"", cache.display())
                .expect("writing to a string succeeds");
        }
        if let Some(deadline) = self.deadline_ms {
            writeln!(text, "deadline_ms = {deadline}").expect("writing to a string succeeds");
        }
        for (table, lines) in QUICK.into_iter().filter(|_| self.is_quick) {
            if !self.tables.contains(&format!("[{table}]")) {
                text.push_str(lines);
            }
        }
        text.push_str(&self.tables);
        text.push_str(&self.csps);
        text
    }

    /// Writes `hoth.toml` and the adapters to `directory`, and returns the
    /// command that starts `program` there.
    ///
    /// # Errors
    ///
    /// Returns an error if a file cannot be read or written.
    pub fn write(self, program: &Path, directory: &Path) -> anyhow::Result<HostCommand> {
        let adapters = directory.join("adapters");
        std::fs::create_dir_all(&adapters).context("making the adapter directory")?;
        for (name, adapter) in &self.adapters {
            let target = adapters.join(name).with_extension("wasm");
            match adapter {
                Adapter::File(file) => std::fs::copy(file, target).map(drop),
                Adapter::Wasm(wasm) => std::fs::write(target, wasm),
            }
            .with_context(|| format!("installing the adapter `{name}`"))?;
        }
        std::fs::write(directory.join("hoth.toml"), self.text()).context("writing hoth.toml")?;
        HostCommand::new(program, directory, self.environment)
    }
}
