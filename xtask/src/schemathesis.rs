//! `cargo xtask schemathesis`: tests a running host against its OpenAPI
//! document.

use std::io::BufRead as _;
use std::io::BufReader;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::ChildStdin;
use std::process::Command;
use std::process::Stdio;

use anyhow::Context as _;
use anyhow::ensure;
use serde::Deserialize;

use crate::demo;
use crate::process;
use crate::workspace::target;
use crate::workspace::workspace;

/// Test a running host against its `/openapi.json`
///
/// Sends requests that the document allows and requests that it forbids. Fails
/// on a response with a 5xx status, on a status or a body that the document
/// does not describe, on an invalid request that the host accepts, and on a
/// request without a key that the host admits. Runs Schemathesis, in the
/// versions of tests/schemathesis, in a virtual environment below target. Needs
/// Python 3.
///
/// Examples:
///   cargo xtask schemathesis
///   cargo xtask schemathesis --examples 500 --seed 7
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Maximum number of generated bodies for each operation
    #[arg(long, default_value_t = 40)]
    examples: u32,
    /// Seed of the generator; the same seed generates the same requests
    #[arg(long, default_value_t = 1)]
    seed: u32,
}

/// Key of the tested host.
const TOKEN: &str = "schemathesis";
/// Configuration of the key, with its SHA-256.
const KEY: &str = r#"
[[auth.bearer]]
name = "schemathesis"
role = "admin"
sha256 = "ec66c0be6ebd917bd5221a965472ea65b2e9cf8def0c0d21a8988271e30848b4"
"#;

/// Check that every valid request is accepted. A valid request may name a CSP
/// or a batch that the tested host does not have, and is rejected for that.
const EXCLUDED: &str = "positive_data_acceptance";

/// Runs `cargo xtask schemathesis`.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let tool = install()?;
    let host = Host::start()?;
    let described = ask(arguments, &tool, &host.url, &["--phases", "examples,coverage"]);
    // No GET in the fuzzing phase, because each can wait 20 s for outcomes.
    let posts = ["--phases", "fuzzing", "--include-method", "POST"];
    let generated = ask(arguments, &tool, &host.url, &posts);
    host.stop()?;
    described.and(generated)
}

/// Running host with the mock CSPs of the demo.
pub struct Host {
    demo: Child,
    /// Standard input of the demo. The host stops when it is closed.
    stdin: ChildStdin,
    /// The API.
    pub url: String,
}

impl Host {
    /// Starts the host, and waits until it listens.
    pub fn start() -> anyhow::Result<Self> {
        /// Line that `hoth-demo serve` prints when the host listens.
        #[derive(Deserialize)]
        struct Serving {
            api: String,
        }
        let mut command = demo::build()?;
        command.args(["serve", "--tables", KEY]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut demo = command.spawn().context("starting `hoth-demo`")?;
        let stdin = demo.stdin.take().context("standard input is piped")?;
        let stdout = demo.stdout.take().context("standard output is piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).context("reading from `hoth-demo`")?;
        let Serving { api } =
            serde_json::from_str(&line).with_context(|| format!("reading {line:?}"))?;
        Ok(Self { demo, stdin, url: format!("http://{api}") })
    }

    /// Stops the host.
    pub fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stdin);
        let status = self.demo.wait().context("waiting for `hoth-demo`")?;
        ensure!(status.success(), "`hoth-demo` ended with {status}");
        Ok(())
    }
}

fn ask(arguments: &Arguments, tool: &Path, url: &str, which: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(tool);
    command.arg("run").arg(format!("{url}/openapi.json")).args(which);
    command.args(["--checks", "all", "--exclude-checks", EXCLUDED]);
    command.args(["--header", &format!("Authorization: Bearer {TOKEN}"), "--no-color"]);
    command.args(["--max-examples", &arguments.examples.to_string()]);
    command.args(["--seed", &arguments.seed.to_string()]);
    process::run(command.current_dir(target()?.join("schemathesis")))
}

/// Creates the virtual environment, once for each list of versions.
fn install() -> anyhow::Result<PathBuf> {
    let folder = target()?.join("schemathesis");
    let list = workspace()?.root.join("tests/schemathesis/requirements.txt");
    let requirements =
        std::fs::read_to_string(&list).with_context(|| format!("reading {}", list.display()))?;
    let installed = folder.join("installed.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == requirements) {
        return Ok(folder.join("bin/st"));
    }
    println!("Installing Schemathesis into {}", folder.display());
    process::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    process::run(pip.arg(&list))?;
    // Written last, so that an interrupted installation is repeated.
    std::fs::write(&installed, requirements).context("recording the installed versions")?;
    Ok(folder.join("bin/st"))
}
