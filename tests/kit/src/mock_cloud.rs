//! A local cloud in a process of its own, as [`MockAws`](crate::MockAws) and
//! [`MockAzure`](crate::MockAzure) start it.

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::process::Command;
use tokio::time::timeout;

use crate::PATIENCE;

/// The environment variable with the Python that has the packages of the mocks.
const PYTHON_VARIABLE: &str = "HOTH_TEST_CLOUDS_PYTHON";

/// The longest line that a mock prints when it is ready. They need 3 kB.
const READY_BYTES_MAX: u64 = 64 << 10;

/// A local cloud with a control API; stopped when it is dropped.
#[derive(Debug)]
pub struct MockCloud {
    /// Killed when it is dropped. If this process is killed, the mock ends
    /// because its standard input does.
    _child: Child,
    /// The name for messages, such as `the local AWS`.
    name: &'static str,
    document: Value,
}

impl MockCloud {
    /// Starts the Python package `module` of a folder below `tests`, and waits
    /// until it serves.
    pub(crate) async fn start(
        name: &'static str,
        folder: &str,
        module: &str,
    ) -> anyhow::Result<Self> {
        let mut command = python_in(name, folder)?;
        command.args(["-m", module, "--port", "0"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let spawned = command.spawn();
        let mut child = spawned.with_context(|| format!("starting {name} with {command:?}"))?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout.take(READY_BYTES_MAX));
        let read = timeout(PATIENCE, stdout.read_line(&mut line)).await;
        read.with_context(|| format!("{name} was not ready in time"))?
            .with_context(|| format!("reading from {name}"))?;
        ensure!(!line.is_empty(), "{name} ended before it was ready; see its output above");
        let document = serde_json::from_str(&line).with_context(|| format!("reading {line:?}"))?;
        Ok(Self { _child: child, name, document })
    }

    /// Returns the URLs, credentials and ids that the mock printed.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Adds a fault, or a list of faults.
    ///
    /// # Errors
    ///
    /// Returns an error with the mock's sentence if it knows no such fault.
    pub async fn fault(&self, fault: &Value) -> anyhow::Result<()> {
        self.post("faults", fault).await.map(drop)
    }

    /// Returns the faults that no call has taken yet.
    pub async fn faults_left(&self) -> anyhow::Result<Vec<Value>> {
        list(self.get("faults").await?)
    }

    /// Lets held calls go on.
    pub async fn release(&self) -> anyhow::Result<()> {
        self.post("release", &json!({})).await.map(drop)
    }

    /// Changes settings. The README of the mock lists them.
    ///
    /// # Errors
    ///
    /// Returns an error with the mock's sentence if it has no such setting.
    pub async fn settings(&self, settings: &Value) -> anyhow::Result<()> {
        self.post("settings", settings).await.map(drop)
    }

    /// Returns all calls in order.
    pub async fn calls(&self) -> anyhow::Result<Vec<Value>> {
        list(self.get("calls").await?)
    }

    /// Returns all that exists.
    pub async fn state(&self) -> anyhow::Result<Value> {
        self.get("state").await
    }

    /// Ends all work that is in progress.
    pub async fn settle(&self) -> anyhow::Result<()> {
        self.post("settle", &json!({})).await.map(drop)
    }

    /// Lets all temporary keys, or tokens, expire.
    pub async fn expire(&self) -> anyhow::Result<()> {
        self.post("expire", &json!({})).await.map(drop)
    }

    /// Forgets everything that exists, all calls, faults and settings.
    pub async fn reset(&self) -> anyhow::Result<()> {
        self.post("reset", &json!({})).await.map(drop)
    }

    /// Reads from the control API.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.control("GET", path, "").await
    }

    /// Posts to the control API.
    pub(crate) async fn post(&self, path: &str, value: &Value) -> anyhow::Result<Value> {
        self.control("POST", path, &value.to_string()).await
    }

    async fn control(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Value> {
        let url = self.document["control"].as_str().context("a URL of the control API")?;
        let authority = url.strip_prefix("http://").context("the control API has no TLS")?;
        let asked = timeout(PATIENCE, ask(authority, method, path, body)).await;
        let answer = asked.with_context(|| format!("{} does not answer", self.name))?;
        let (status, body) = answer.with_context(|| format!("{method} {url}/control/{path}"))?;
        let answer: Value = serde_json::from_str(&body).with_context(|| format!("in {body:?}"))?;
        if status != 200 {
            bail!("{method} /control/{path}: {}", answer.as_str().unwrap_or(&body));
        }
        Ok(answer)
    }
}

/// Runs a program of a mock's folder, and returns its output. `name` is that of
/// the mock, for messages.
pub(crate) async fn script(
    name: &str,
    folder: &str,
    program: &str,
    arguments: &[&str],
) -> anyhow::Result<String> {
    let mut command = python_in(name, folder)?;
    command.arg(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = timeout(PATIENCE, command.output()).await;
    let output = output.with_context(|| format!("`{program}` did not end in time"))?;
    let output = output.with_context(|| format!("running `{program}`"))?;
    ensure!(output.status.success(), "`{program}` ended with {}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("reading the output of `{program}`"))
}

/// Returns a command that runs the Python of the mocks in a folder below
/// `tests`, and ends with its handle.
pub(crate) fn python_in(name: &str, folder: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(python(name, std::env::var_os(PYTHON_VARIABLE))?);
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    command.current_dir(tests.join(folder)).kill_on_drop(true);
    Ok(command)
}

/// Returns the Python of the mocks.
fn python(name: &str, set: Option<OsString>) -> anyhow::Result<PathBuf> {
    let python = set.filter(|path| !path.is_empty()).map(PathBuf::from);
    python.with_context(|| {
        format!("{name} needs Python: `cargo xtask test` installs it and sets {PYTHON_VARIABLE}")
    })
}

fn list(answer: Value) -> anyhow::Result<Vec<Value>> {
    let Value::Array(items) = answer else { bail!("expected a list, not {answer}") };
    Ok(items)
}

/// Sends a request to the control API, and returns status and body.
async fn ask(
    authority: &str,
    method: &str,
    path: &str,
    body: &str,
) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect(authority).await?;
    let head = format!(
        "{method} /control/{path} HTTP/1.1\r\nHost: {authority}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no body")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.context("the answer has no status")?, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::python;

    #[test]
    fn a_missing_python_is_reported_with_the_command_that_installs_it() {
        for missing in [None, Some("".into())] {
            let error = python("the local AWS", missing).unwrap_err().to_string();
            assert!(error.contains("`cargo xtask test`"), "{error}");
        }
    }
}
