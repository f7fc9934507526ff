//! `cargo xtask openapi`: lints the OpenAPI document of a running host, and
//! compiles clients that are generated from it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::process;
use crate::python::Environment;
use crate::schemathesis::Host;
use crate::workspace::workspace;

/// Longest time for npm, which fetches about 60 MB.
const NPM_LIMIT: Duration = Duration::from_secs(300);

/// Files of `tests/openapi` that npm and the compiler read in the folder of the
/// packages.
const FILES: [&str; 4] = ["package.json", "package-lock.json", "client.ts", "spectral.yaml"];

/// Options of the TypeScript compiler.
const COMPILE: [&str; 8] = [
    "--strict",
    "--noEmit",
    "--skipLibCheck",
    "--target",
    "es2022",
    "--module",
    "nodenext",
    "client.ts",
];

const ENVIRONMENT: Environment = Environment {
    name: "openapi",
    content: "openapi-python-client",
    requirements: include_str!("../../tests/openapi/requirements.txt"),
    pythons: &["3.13", "3.12", "3.11"],
    alternative: None,
};

/// Lint `/openapi.json`, and use clients generated from it
///
/// Fails on any warning of redocly (recommended rules) and of Spectral
/// (spectral:oas). Generates a client with openapi-typescript and compiles
/// tests/openapi/client.ts with it; generates a client with
/// openapi-python-client and runs tests/openapi/client.py with it. Needs
/// Node.js 20 or later with npm, and Python 3.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {}

/// Runs `cargo xtask openapi`.
pub fn run(_: &Arguments) -> anyhow::Result<()> {
    let python = ENVIRONMENT.install()?;
    let folder = ENVIRONMENT.folder()?;
    let sources = workspace()?.root.join("tests/openapi");
    install_packages(&sources, &folder)?;
    let host = Host::start()?;
    let url = format!("{}/openapi.json", host.url);
    let checked = lint(&folder, &url)
        .and_then(|()| typescript(&folder, &url))
        .and_then(|()| python_client(&python, &sources, &folder, &url));
    host.stop()?;
    checked
}

/// Installs the packages of npm, once for each list of versions.
fn install_packages(sources: &Path, folder: &Path) -> anyhow::Result<()> {
    for name in FILES {
        fs::copy(sources.join(name), folder.join(name))
            .with_context(|| format!("copying {name}"))?;
    }
    let lock = fs::read(folder.join("package-lock.json")).context("reading the versions")?;
    let installed = folder.join("installed.json");
    if fs::read(&installed).is_ok_and(|versions| versions == lock) {
        return Ok(());
    }
    println!("Installing redocly, Spectral and openapi-typescript into {}", folder.display());
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--loglevel", "error"]).current_dir(folder);
    process::quietly(&mut npm, NPM_LIMIT)
        .context("hint: Node.js 20 or later with npm is needed")?;
    // Written last, so that an interrupted installation is repeated.
    fs::write(&installed, lock).context("recording the installed versions")
}

/// Returns the command that runs a program of the installed packages.
fn tool(folder: &Path, name: &str) -> Command {
    let mut command = Command::new(folder.join("node_modules/.bin").join(name));
    command.current_dir(folder).env("REDOCLY_TELEMETRY", "off");
    command.env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true");
    command
}

fn lint(folder: &Path, url: &str) -> anyhow::Result<()> {
    // The strict set has the same rules, with errors in place of warnings.
    let redocly = ["lint", "--format=stylish", "--extends=recommended-strict", url];
    process::run(tool(folder, "redocly").args(redocly))?;
    let spectral = ["lint", "--ruleset=spectral.yaml", "--fail-severity=hint", url];
    process::run(tool(folder, "spectral").args(spectral))
}

fn typescript(folder: &Path, url: &str) -> anyhow::Result<()> {
    process::run(tool(folder, "openapi-typescript").args([url, "--output", "api.d.ts"]))?;
    process::run(tool(folder, "tsc").args(COMPILE))?;
    println!("openapi-typescript: tests/openapi/client.ts compiles");
    Ok(())
}

fn python_client(python: &Path, sources: &Path, folder: &Path, url: &str) -> anyhow::Result<()> {
    let generate = ["-m", "openapi_python_client", "generate", "--meta=none", "--overwrite"];
    let generate = [&generate[..], &["--output-path=hoth", "--url", url]].concat();
    // The generator formats its output with `ruff`, which is beside Python.
    let programs = python.parent().context("a program is in a folder")?;
    let mut generator = Command::new(python);
    generator.current_dir(folder).args(generate).env("PATH", programs);
    process::run(&mut generator)?;
    let mut client = Command::new(python);
    process::run(client.arg(sources.join("client.py")).env("PYTHONPATH", folder))
}
