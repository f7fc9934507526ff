//! A local AWS in a process of its own: `tests/mock-aws`.

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

/// The environment variable with the Python that has the packages of the mock.
const PYTHON_VARIABLE: &str = "HOTH_TEST_CLOUDS_PYTHON";

/// The longest line that the mock prints when it is ready. It needs 3 kB.
const READY_BYTES_MAX: u64 = 64 << 10;

/// A local AWS; stopped when it is dropped.
///
/// `tests/mock-aws/README.md` describes its endpoints, keys, faults and
/// settings.
#[derive(Debug)]
pub struct MockAws {
    /// Killed when it is dropped. If this process is killed, the mock ends
    /// because its standard input does.
    _child: Child,
    document: Value,
}

/// An access key.
#[derive(Debug, Clone)]
pub struct AccessKey {
    pub id: String,
    pub secret: String,
    pub account: String,
}

impl MockAws {
    /// Starts a local AWS and waits until it serves.
    ///
    /// # Errors
    ///
    /// Returns an error if its Python is not installed, or if it ends or takes
    /// more than [`PATIENCE`] before it serves.
    pub async fn start() -> anyhow::Result<Self> {
        let python = python(std::env::var_os(PYTHON_VARIABLE))?;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mock-aws");
        let mut command = Command::new(&python);
        command.args(["-m", "mock_aws", "--port", "0"]).current_dir(folder).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let starting = || format!("starting a local AWS with {}", python.display());
        let mut child = command.spawn().with_context(starting)?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout.take(READY_BYTES_MAX));
        let read = timeout(PATIENCE, stdout.read_line(&mut line)).await;
        read.context("the local AWS was not ready in time")?.with_context(starting)?;
        ensure!(!line.is_empty(), "the local AWS ended before it was ready; see its output above");
        let document = serde_json::from_str(&line).with_context(|| format!("reading {line:?}"))?;
        Ok(Self { _child: child, document })
    }

    /// Returns endpoints, keys and ids, as the mock printed them.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Returns the URL of an endpoint, such as `organizations-gov`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such endpoint.
    pub fn url(&self, endpoint: &str) -> anyhow::Result<&str> {
        let url = self.document["endpoints"][endpoint]["url"].as_str();
        url.with_context(|| format!("the local AWS has no endpoint `{endpoint}`"))
    }

    /// Returns a fixed key, such as `management-gov`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such key.
    pub fn key(&self, name: &str) -> anyhow::Result<AccessKey> {
        let key = &self.document["credentials"][name];
        let text = |field: &str| {
            let value = key[field].as_str().map(str::to_owned);
            value.with_context(|| format!("the local AWS has no key `{name}`"))
        };
        let (id, secret) = (text("access_key_id")?, text("secret_access_key")?);
        Ok(AccessKey { id, secret, account: text("account")? })
    }

    /// Returns an id of a partition (`aws` or `aws-us-gov`), such as `root`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such id.
    pub fn id(&self, partition: &str, name: &str) -> anyhow::Result<&str> {
        let id = self.document["partitions"][partition][name].as_str();
        id.with_context(|| format!("the local AWS has no `{name}` in `{partition}`"))
    }

    /// Adds a fault, or a list of faults.
    ///
    /// # Errors
    ///
    /// Returns an error with the mock's sentence if it knows no such fault.
    pub async fn fault(&self, fault: &Value) -> anyhow::Result<()> {
        self.control("POST", "faults", fault).await.map(drop)
    }

    /// Returns the faults that no call has taken yet.
    pub async fn faults_left(&self) -> anyhow::Result<Vec<Value>> {
        list(self.control("GET", "faults", &Value::Null).await?)
    }

    /// Changes settings, such as `creation_polls`.
    ///
    /// # Errors
    ///
    /// Returns an error with the mock's sentence if it has no such setting.
    pub async fn settings(&self, settings: &Value) -> anyhow::Result<()> {
        self.control("POST", "settings", settings).await.map(drop)
    }

    /// Replaces the tables `costs` and `forecasts`, or one of them: amounts by
    /// account and day or month.
    ///
    /// # Errors
    ///
    /// Returns an error with the mock's sentence if these are no such tables.
    pub async fn costs(&self, tables: &Value) -> anyhow::Result<()> {
        self.control("POST", "costs", tables).await.map(drop)
    }

    /// Returns all calls in order.
    pub async fn calls(&self) -> anyhow::Result<Vec<Value>> {
        list(self.control("GET", "calls", &Value::Null).await?)
    }

    /// Returns all that exists.
    pub async fn state(&self) -> anyhow::Result<Value> {
        self.control("GET", "state", &Value::Null).await
    }

    /// Lets all temporary keys expire.
    pub async fn expire(&self) -> anyhow::Result<()> {
        self.control("POST", "expire", &json!({})).await.map(drop)
    }

    /// Ends all creations, assignments and activations that are in progress.
    pub async fn settle(&self) -> anyhow::Result<()> {
        self.control("POST", "settle", &json!({})).await.map(drop)
    }

    async fn control(&self, method: &str, path: &str, value: &Value) -> anyhow::Result<Value> {
        let url = self.document["control"].as_str().context("a URL of the control API")?;
        let authority = url.strip_prefix("http://").context("the control API has no TLS")?;
        let body = if value.is_null() { String::new() } else { value.to_string() };
        let asked = timeout(PATIENCE, ask(authority, method, path, &body)).await;
        let answer = asked.context("the local AWS does not answer")?;
        let (status, body) = answer.with_context(|| format!("{method} {url}/control/{path}"))?;
        let answer: Value = serde_json::from_str(&body).with_context(|| format!("in {body:?}"))?;
        if status != 200 {
            bail!("{method} /control/{path}: {}", answer.as_str().unwrap_or(&body));
        }
        Ok(answer)
    }
}

/// Returns the Python of the mock.
fn python(set: Option<OsString>) -> anyhow::Result<PathBuf> {
    let python = set.filter(|path| !path.is_empty()).map(PathBuf::from);
    python.with_context(|| {
        format!(
            "a local AWS is needed: `cargo xtask test` installs its Python and sets \
             {PYTHON_VARIABLE}"
        )
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
            let error = python(missing).unwrap_err().to_string();
            assert!(error.contains("`cargo xtask test`"), "{error}");
        }
    }
}
