//! Local SQS for the tests and the demo: localstack-core from PyPI, pinned.
//!
//! Its repository was archived in March 2026, so the version is frozen. It is
//! installed into its own Python environment below the target directory, and
//! changes nothing outside.

use std::io::Read as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::net::TcpStream;
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

use crate::python::Environment;

/// Packages of the server. Its sources need Python 3.12, and PyPI has builds of
/// its packages up to 3.13.
const ENVIRONMENT: Environment = Environment {
    name: "sqs",
    content: "a local SQS (localstack-core)",
    requirements: include_str!("sqs-requirements.txt"),
    pythons: &["3.13", "3.12"],
    alternative: Some(
        "HOTH_TEST_SQS=aws runs the tests on AWS, with the credentials of the environment",
    ),
};

/// Longest time for a response of the server.
const RESPONSE_LIMIT: Duration = Duration::from_secs(20);

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
        let folder = ENVIRONMENT.folder()?;
        let python = ENVIRONMENT.install()?;
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

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a free port")?;
    Ok(listener.local_addr().context("reading the port")?.port())
}
