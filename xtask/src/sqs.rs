//! A local SQS for the tests and the demo: localstack-core from PyPI, pinned.
//!
//! Its repository was archived in March 2026, so the version is frozen. It gets
//! a Python environment of its own under the target directory, and nothing of
//! it is seen outside.

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

/// Every package that it consists of, with its version.
const REQUIREMENTS: &str = include_str!("sqs-requirements.txt");

/// The Pythons that it runs on, the best first: its sources need 3.12, and its
/// packages are built up to 3.13.
const PYTHONS: [&str; 2] = ["3.13", "3.12"];

/// How long an answer of the server may take.
const ASK_LIMIT: Duration = Duration::from_secs(20);

/// How long installing may take: about 60 MB are fetched.
const INSTALL_LIMIT: Duration = Duration::from_secs(600);

/// How long the server may take to start; ten seconds on a machine that has
/// nothing else to do.
const START_LIMIT: Duration = Duration::from_secs(180);

/// How long the server may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// For how long the server knows a deduplication id. AWS: five minutes; a test
/// waits until it has forgotten one.
const DEDUP_SECONDS: u32 = 60;

/// A server that runs; ended when it is dropped.
pub struct Server {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Server {
    /// Starts it, installing it first where it is missing; says so. It is
    /// ready when [`Server::ready`] returns.
    pub fn start() -> anyhow::Result<Self> {
        let folder = workspace::target()?.join("sqs");
        let python = install(&folder)?;
        let port = free_port()?;
        let files = folder.join("files");
        std::fs::create_dir_all(&files).context("making a folder for the local SQS")?;
        let log = folder.join("server.log");
        let output = std::fs::File::create(&log).context("making the log of the local SQS")?;
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
            // It stays on this machine and in its folder.
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

    /// Returns when it can be used.
    pub fn ready(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !self.is_healthy() {
            let ended = self.child.try_wait().context("waiting for the local SQS")?;
            if let Some(status) = ended {
                bail!("the local SQS ended with {status}; its log is {}", self.log.display());
            }
            ensure!(
                begun.elapsed() < START_LIMIT,
                "the local SQS was not ready within {START_LIMIT:?}; its log is {}",
                self.log.display()
            );
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What a program needs in its environment to use it: any credentials do.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", "local".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
            ("HOTH_TEST_SQS_ENDPOINT", self.endpoint()),
            ("HOTH_TEST_SQS_DEDUP_SECONDS", DEDUP_SECONDS.to_string()),
        ]
    }

    fn is_healthy(&self) -> bool {
        let asked = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_read_timeout(Some(ASK_LIMIT))?;
            stream.write_all(b"GET /_localstack/health HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        asked().is_ok_and(|answer| answer.contains("\"sqs\""))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Asked first, so that its own children end with it.
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).stderr(Stdio::null()).status();
        let begun = Instant::now();
        while begun.elapsed() < STOP_LIMIT {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        // It may have ended just now; both ways it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The Python of an environment that holds the server, made where it is
/// missing.
fn install(folder: &Path) -> anyhow::Result<PathBuf> {
    let environment = folder.join("venv");
    let python = environment.join("bin/python");
    let mark = environment.join("installed.txt");
    if std::fs::read_to_string(&mark).is_ok_and(|text| text == REQUIREMENTS) {
        return Ok(python);
    }
    std::fs::create_dir_all(folder).context("making a folder for the local SQS")?;
    let requirements = folder.join("requirements.txt");
    std::fs::write(&requirements, REQUIREMENTS).context("writing what pip is to install")?;
    let mut reasons = Vec::new();
    for candidate in pythons() {
        println!("Installing a local SQS (localstack-core) with {}", candidate.display());
        match install_with(&candidate, &environment, &requirements) {
            Ok(()) => {
                std::fs::write(&mark, REQUIREMENTS).context("noting what is installed")?;
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
        "the tests need a local SQS, and no Python could install it ({tried})\n\
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

/// The Pythons of this machine that will do: on the path, and those of pyenv,
/// whose choice for this folder may be another one.
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

/// Its version, such as `3.12`; none where it does not run.
fn version(python: &Path) -> Option<String> {
    let print = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])";
    let arguments: [OsString; 2] = ["-c".into(), print.into()];
    let output = Command::new(python).args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn free_port() -> anyhow::Result<u16> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    Ok(listener.local_addr().context("asking for the port")?.port())
}
