//! `hoth adapter`: looks at an adapter file; no host is needed.

use std::path::PathBuf;

use anyhow::Context as _;

use super::say;
use crate::adapter::Compiler;
use crate::adapter::Config;
use crate::adapter::Engine;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Checks a component as a host would, and says what it is.
    #[command(after_help = "Example:\n  hoth adapter inspect adapters/atat.wasm")]
    Inspect {
        /// The component.
        #[arg(value_name = "FILE.wasm")]
        file: PathBuf,
    },
}

/// Carries out a command.
pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Inspect { file } => inspect(&file).await,
    }
}

async fn inspect(file: &std::path::Path) -> anyhow::Result<()> {
    let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("adapter");
    let engine = Engine::with(&Config::default(), Compiler::Apart)
        .context("setting up the adapter engine")?;
    let adapter = engine
        .load(name, bytes)
        .await
        .with_context(|| format!("{} cannot serve as an adapter", file.display()))?;
    let info = adapter.info();
    say(&format!("name        {} {}", info.name, info.version));
    say(&format!("sha256      {}", adapter.digest()));
    say(&format!("size        {} bytes", adapter.size_bytes()));
    say(&format!("operations  {}", info.operations.join(", ")));
    say(&format!("states      {} to {}", info.states.0, info.states.1));
    say(&format!("imports     {}", adapter.imports().join(", ")));
    if !info.credentials.is_empty() {
        say(&format!("credentials {}", info.credentials.join(", ")));
    }
    Ok(())
}
