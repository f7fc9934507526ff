//! `cargo xtask adapters --samples`: builds adapters in other languages, and
//! in Rust for WASI.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;

use crate::adapters;
use crate::process;
use crate::setup;
use crate::toolchain::Target;
use crate::workspace::Member;
use crate::workspace::workspace;

/// Longest time for a package manager to fetch a tool of at most 60 MB.
const FETCH_LIMIT: Duration = Duration::from_secs(600);

/// Longest time for a tool to build a component. The tool for Python reads and
/// writes all of CPython.
const BUILD_LIMIT: Duration = Duration::from_secs(600);

/// Builds every sample in tests/samples/ into target/samples/, and fetches
/// missing tools. Builds the remaining samples if one fails.
pub fn build() -> anyhow::Result<()> {
    let mut missing = Vec::new();
    for (name, build) in [
        ("Rust", rust as fn() -> anyhow::Result<()>),
        ("Python", python as fn() -> anyhow::Result<()>),
        ("JavaScript", javascript as fn() -> anyhow::Result<()>),
    ] {
        if let Err(error) = build() {
            println!("{name}: {error:#}");
            missing.push(name);
        }
    }
    if !missing.is_empty() {
        bail!("the samples in {} could not be built", missing.join(" and "));
    }
    Ok(())
}

/// Returns the samples that are crates, for `wasm32-wasip2`.
pub fn members() -> anyhow::Result<Vec<&'static Member>> {
    Ok(workspace()?.members_in("tests/samples"))
}

fn rust() -> anyhow::Result<()> {
    let toolchain = setup::toolchain(Target::Wasi)?;
    adapters::build_group(&toolchain, &members()?, "samples")
}

/// Builds with `componentize-py` from PyPI, in its own virtual environment.
fn python() -> anyhow::Result<()> {
    let (source, tools) = (source("python")?, tools("python")?);
    let (environment, requirements) = (tools.join("venv"), source.join("requirements.txt"));
    let tool = environment.join("bin/componentize-py");
    fetch_once(&tools, &requirements, || {
        println!("Fetching componentize-py from PyPI");
        process::quietly(
            Command::new("python3").args(["-m", "venv"]).arg(&environment),
            FETCH_LIMIT,
        )
        .context("hint: Python 3.10 or later is needed, on Debian with python3-venv")?;
        process::quietly(
            Command::new(environment.join("bin/pip"))
                .args(["install", "--quiet", "--disable-pip-version-check", "--requirement"])
                .arg(&requirements),
            FETCH_LIMIT,
        )
    })?;
    let component = tools.join("python.wasm");
    let mut command = Command::new(tool);
    command.arg("--wit-path").arg(wit()?).args(["--world", "csp-adapter", "componentize"]);
    command.arg("--python-path").arg(&source).args(["adapter", "--output"]).arg(&component);
    build_component(&mut command, &component, "python")
}

/// Builds with `componentize-qjs` from npm.
fn javascript() -> anyhow::Result<()> {
    let (source, tools) = (source("javascript")?, tools("javascript")?);
    let lock = source.join("package-lock.json");
    fetch_once(&tools, &lock, || {
        println!("Fetching componentize-qjs from npm");
        for file in ["package.json", "package-lock.json"] {
            fs::copy(source.join(file), tools.join(file))
                .with_context(|| format!("copying {file}"))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--loglevel", "error"]).current_dir(&tools);
        process::quietly(&mut npm, FETCH_LIMIT)
            .context("hint: Node.js 18 or later with npm is needed")
    })?;
    let component = tools.join("javascript.wasm");
    let mut command = Command::new(tools.join("node_modules/.bin/componentize-qjs"));
    command.arg("--wit").arg(wit()?).args(["--world", "csp-adapter", "--sync", "--opt-size"]);
    command.arg("--js").arg(source.join("adapter.js")).arg("--output").arg(&component);
    build_component(&mut command, &component, "javascript")
}

/// Runs `fetch` unless it succeeded before with the same content of `pins`.
fn fetch_once(
    tools: &Path,
    pins: &Path,
    fetch: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let wanted = fs::read(pins).with_context(|| format!("reading {}", pins.display()))?;
    let marker = tools.join("fetched");
    if fs::read(&marker).is_ok_and(|fetched| fetched == wanted) {
        return Ok(());
    }
    fs::create_dir_all(tools).with_context(|| format!("creating {}", tools.display()))?;
    fetch()?;
    // Written last, so that an interrupted fetch is repeated.
    fs::write(&marker, wanted).with_context(|| format!("writing {}", marker.display()))
}

fn build_component(command: &mut Command, component: &Path, name: &str) -> anyhow::Result<()> {
    println!("Building the sample in {name}");
    process::quietly(command, BUILD_LIMIT)?;
    adapters::install_into("samples", name, component)
}

fn source(language: &str) -> anyhow::Result<PathBuf> {
    Ok(workspace()?.root.join("tests/samples").join(language))
}

fn tools(language: &str) -> anyhow::Result<PathBuf> {
    Ok(workspace()?.target.join("tools").join(language))
}

fn wit() -> anyhow::Result<PathBuf> {
    Ok(workspace()?.root.join("wit/v0.2"))
}
