//! `cargo xtask schemathesis`: holds a running host to its own description.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use crate::demo::deployment::Deployment;
use crate::process;
use crate::workspace::target;
use crate::workspace::workspace;

/// Asks a running host all that its `/openapi.json` allows, and much that it
/// does not.
///
/// Fails on an answer with a 5xx, on one that the description does not have,
/// and on one that is not as described; on a request that breaks the
/// description and is taken, and on one without a key that is let in. The
/// tool is Schemathesis, of the versions in tests/schemathesis, in a virtual
/// environment below target; needs Python 3.
///
/// Examples:
///   cargo xtask schemathesis
///   cargo xtask schemathesis --examples 500 --seed 7
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Generated bodies for each operation, at most
    #[arg(long, default_value_t = 40)]
    examples: u32,
    /// The same seed makes the same requests
    #[arg(long, default_value_t = 1)]
    seed: u32,
}

/// A key of the host that is asked, and its SHA-256.
const TOKEN: &str = "schemathesis";
const KEY: &str = r#"
[[auth.bearer]]
name = "schemathesis"
role = "admin"
sha256 = "ec66c0be6ebd917bd5221a965472ea65b2e9cf8def0c0d21a8988271e30848b4"
"#;

/// A well-formed request may name a CSP or a batch that this host does not
/// know, and is then refused as it must be.
const EXCLUDED: &str = "positive_data_acceptance";

/// Runs `cargo xtask schemathesis`.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let tool = install()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("starting the async runtime")?.block_on(async {
        let deployment = Deployment::start_with(KEY).await?;
        let url = format!("http://{}", deployment.api());
        let described = ask(arguments, &tool, &url, &["--phases", "examples,coverage"]).await;
        // Each GET may wait for outcomes, twenty seconds long.
        let posts = ["--phases", "fuzzing", "--include-method", "POST"];
        let generated = ask(arguments, &tool, &url, &posts).await;
        deployment.stop().await?;
        described.and(generated)
    })
}

async fn ask(arguments: &Arguments, tool: &Path, url: &str, which: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(tool);
    command.arg("run").arg(format!("{url}/openapi.json")).args(which);
    command.args(["--checks", "all", "--exclude-checks", EXCLUDED]);
    command.args(["--header", &format!("Authorization: Bearer {TOKEN}"), "--no-color"]);
    command.args(["--max-examples", &arguments.examples.to_string()]);
    command.args(["--seed", &arguments.seed.to_string()]);
    command.current_dir(target()?.join("schemathesis"));
    // The host's output is read meanwhile, on this runtime.
    let asked = tokio::task::spawn_blocking(move || process::run(&mut command));
    asked.await.context("running Schemathesis")?
}

/// Makes the virtual environment, once for each list of versions.
fn install() -> anyhow::Result<PathBuf> {
    let folder = target()?.join("schemathesis");
    let listed = workspace()?.root.join("tests/schemathesis/requirements.txt");
    let requirements = std::fs::read_to_string(&listed)
        .with_context(|| format!("reading {}", listed.display()))?;
    let installed = folder.join("installed.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == requirements) {
        return Ok(folder.join("bin/st"));
    }
    println!("Installing Schemathesis into {}", folder.display());
    process::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    process::run(pip.arg(&listed))?;
    // Written last, so that what was interrupted is done again.
    std::fs::write(&installed, requirements).context("noting what is installed")?;
    Ok(folder.join("bin/st"))
}
