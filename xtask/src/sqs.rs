//! Local SQS for the tests and the demo: localstack-core from PyPI, pinned.
//!
//! Its repository was archived in March 2026, so the version is frozen. It is
//! installed into its own Python environment below the target directory, and
//! changes nothing outside.

use std::ffi::OsString;
use std::io::Read as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::bail;
use anyhow::ensure;

use crate::process;
use crate::workspace;

/// Packages of the server, each with its version.
const REQUIREMENTS: &str = include_str!("sqs-requirements.txt");

/// Versions of Python that can run the server, in order of preference. Its
/// sources need 3.12, and PyPI has builds of its packages up to 3.13.
const PYTHONS: [&str; 2] = ["3.13", "3.12"];

/// Longest time for a response of the server.
const RESPONSE_LIMIT: Duration = Duration::from_secs(20);

/// Longest time for the installation, which fetches about 60 MB.
const INSTALL_LIMIT: Duration = Duration::from_secs(600);

/// Longest time for the server to start. An idle machine needs ten seconds.
const START_LIMIT: Duration = Duration::from_secs(180);

/// Longest time for the server to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Seconds for which the server remembers a deduplication id. AWS remembers it
/// for five minutes, and a test waits until an id is forgotten.
const DEDUP_SECONDS: u32 = 60;

/// Running server, stopped when it is dropped.
pub struct Server {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Server {
    /// Starts the server, and installs it first if it is missing. The server
    /// can be used when [`Server::ready`] returns.
    pub fn start() -> anyhow::Result<Self> {
        let folder = workspace::target()?.join("sqs");
        let python = install(&folder)?;
        let port = free_port()?;
        let files = folder.join("files");
        std::fs::create_dir_all(&files).context("creating a folder for the local SQS")?;
        let log = folder.join("server.log");
        let output = std::fs::File::create(&log).context("creating the log of the local SQS")?;
        let program = format!(
            "import localstack.services.sqs.constants as sqs\n\
             sqs.DEDUPLICATION_INTERVAL_IN_SEC = {DEDUP_SECONDS}\n\
             from localstack.runtime.main import main\n\
             main()"
        );
        let mut command = Command::new(&python);
        command
            .args(["-c", &program])
            .current_dir(&folder)
            .env("SERVICES", "sqs")
            .env("STRICT_SERVICE_LOADING", "1")
            .env("EAGER_SERVICE_LOADING", "1")
            .env("SQS_ENABLE_MESSAGE_RETENTION_PERIOD", "1")
            .env("GATEWAY_LISTEN", format!("127.0.0.1:{port}"))
            // Keeps the server on this machine and in its folder.
            .env("DNS_ADDRESS", "0")
            .env("SKIP_SSL_CERT_DOWNLOAD", "1")
            .env("DISABLE_EVENTS", "1")
            .env("FILESYSTEM_ROOT", &files)
            .stdin(Stdio::null())
            .stderr(output.try_clone().context("sharing the log of the local SQS")?)
            .stdout(output);
        println!("Starting a local SQS");
        let child = command.spawn().context("starting the local SQS")?;
        Ok(Self { child, port, log })
    }

    /// Waits until the server can be used.
    pub fn ready(&mut self) -> anyhow::Result<()> {
        let started_at = Instant::now();
        while !self.is_healthy() {
            let ended = self.child.try_wait().context("waiting for the local SQS")?;
            if let Some(status) = ended {
                bail!("the local SQS ended with {status}; its log is {}", self.log.display());
            }
            ensure!(
                started_at.elapsed() < START_LIMIT,
                "the local SQS was not ready within {START_LIMIT:?}; its log is {}",
                self.log.display()
            );
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Returns the URL of the server.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the environment variables that tests and hosts need to use the
    /// server. It accepts any credentials.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", "local".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
            ("HOTH_TEST_SQS_ENDPOINT", self.endpoint()),
            ("HOTH_TEST_SQS_DEDUP_SECONDS", DEDUP_SECONDS.to_string()),
        ]
    }

    fn is_healthy(&self) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_read_timeout(Some(RESPONSE_LIMIT))?;
            stream.write_all(b"GET /_localstack/health HTTP/1.0\r\n\r\n")?;
            let mut response = String::new();
            stream.read_to_string(&mut response)?;
            Ok(response)
        };
        ask().is_ok_and(|response| response.contains("\"sqs\""))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM first, so that the server can end its own children.
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).stderr(Stdio::null()).status();
        let signaled_at = Instant::now();
        while signaled_at.elapsed() < STOP_LIMIT {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        // Errors are ignored: the server may have ended just now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the Python of an environment that contains the server. Creates the
/// environment if it is missing.
fn install(folder: &Path) -> anyhow::Result<PathBuf> {
    let environment = folder.join("venv");
    let python = environment.join("bin/python");
    let marker = environment.join("installed.txt");
    if std::fs::read_to_string(&marker).is_ok_and(|text| text == REQUIREMENTS) {
        return Ok(python);
    }
    std::fs::create_dir_all(folder).context("creating a folder for the local SQS")?;
    let requirements = folder.join("requirements.txt");
    std::fs::write(&requirements, REQUIREMENTS).context("writing the requirements for pip")?;
    let mut reasons = Vec::new();
    for candidate in pythons() {
        println!("Installing a local SQS (localstack-core) with {}", candidate.display());
        match install_with(&candidate, &environment, &requirements) {
            Ok(()) => {
                std::fs::write(&marker, REQUIREMENTS)
                    .context("recording the installed versions")?;
                return Ok(python);
            }
            Err(reason) => {
                println!("{}: {reason:#}", candidate.display());
                reasons.push(candidate.display().to_string());
            }
        }
    }
    let tried = if reasons.is_empty() { "none was found".to_owned() } else { reasons.join(", ") };
    bail!(
        "the local SQS could not be installed with any Python ({tried})\n\
         hint: install Python {} with its venv module, and let pip reach PyPI or a mirror, or\n\
         hint: HOTH_TEST_SQS=aws runs the tests on AWS, with the credentials of the environment",
        PYTHONS.join(" or ")
    )
}

fn install_with(python: &Path, environment: &Path, requirements: &Path) -> anyhow::Result<()> {
    let make = &mut Command::new(python);
    process::quietly(make.args(["-m", "venv", "--clear"]).arg(environment), INSTALL_LIMIT)?;
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
    process::quietly(pip.arg(requirements), INSTALL_LIMIT)
}

/// Returns the suitable Pythons of this machine: those on the path, and those
/// of pyenv, which may select another one for this folder.
fn pythons() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> =
        std::env::split_paths(&path).chain(pyenv_folders().unwrap_or_default()).collect();
    for wanted in PYTHONS {
        for folder in &folders {
            for name in [format!("python{wanted}"), "python3".to_owned()] {
                let python = folder.join(name);
                if python.is_file() && version(&python).is_some_and(|has| has == wanted) {
                    found.push(python);
                    break;
                }
            }
        }
    }
    found
}

fn pyenv_folders() -> Option<Vec<PathBuf>> {
    let own = std::env::var_os("PYENV_ROOT").filter(|root| !root.is_empty());
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv"));
    let versions = own.map(PathBuf::from).or_else(home)?.join("versions");
    let entries = std::fs::read_dir(versions).ok()?.flatten();
    Some(entries.map(|entry| entry.path().join("bin")).collect())
}

/// Returns the version of a Python, such as `3.12`. Returns `None` if it does
/// not run, or lacks the modules that the installation needs.
fn version(python: &Path) -> Option<String> {
    let print = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])";
    let arguments: [OsString; 2] = ["-c".into(), print.into()];
    let output = Command::new(python).args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a free port")?;
    Ok(listener.local_addr().context("reading the port")?.port())
}
