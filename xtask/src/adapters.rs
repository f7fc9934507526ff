//! `cargo xtask adapters`: builds every adapter as a component.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context as _;
use anyhow::ensure;
use serde::Deserialize;

use crate::samples;
use crate::setup;
use crate::toolchain::Target;
use crate::toolchain::Toolchain;
use crate::workspace::Member;
use crate::workspace::workspace;

/// First bytes of a component: magic, version and layer. A core module has
/// another version, and 0 for the layer.
const COMPONENT_HEADER: &[u8] = b"\0asm\x0d\x00\x01\x00";

/// Folder of the one crate in `plugins` that is not an adapter.
const SDK: &str = "sdk";

/// Build every adapter in plugins/ into target/adapters/
///
/// A folder plugins/NAME becomes target/adapters/NAME.wasm. A file is replaced
/// only when its content changes, so a host that watches the folder does not
/// reload an adapter that is the same.
///
/// Example: cargo xtask adapters && hoth adapter inspect target/adapters/atat.wasm
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Also build the misbehaving guests of the tests, into target/guests/
    #[arg(long)]
    guests: bool,
    /// Also build the samples in Rust for WASI, Python and JavaScript, into
    /// target/samples/
    #[arg(long)]
    samples: bool,
}

/// Runs `cargo xtask adapters`.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    build()?;
    if arguments.guests {
        build_guests()?;
    }
    if arguments.samples {
        samples::build()?;
    }
    Ok(())
}

/// Builds the adapters. Fetches the WebAssembly target if it is missing.
pub fn build() -> anyhow::Result<()> {
    let adapters = workspace()?.members_in("plugins");
    let adapters: Vec<_> = adapters.into_iter().filter(|member| member.folder() != SDK).collect();
    build_group(&setup::toolchain(Target::Bare)?, &adapters, "adapters")
}

/// Builds the misbehaving guests that tests run.
pub fn build_guests() -> anyhow::Result<()> {
    build_group(&setup::toolchain(Target::Bare)?, &guests()?, "guests")
}

/// Returns the packages of the misbehaving guests, which are built as
/// components only.
pub fn guests() -> anyhow::Result<Vec<&'static Member>> {
    Ok(workspace()?.members_in("tests/guests"))
}

/// Builds `members` in one call of cargo, and installs the components into
/// `folder` in the target directory.
pub fn build_group(toolchain: &Toolchain, members: &[&Member], folder: &str) -> anyhow::Result<()> {
    println!("Building {folder} with {toolchain}");
    let built = components(toolchain, members)?;
    for member in members {
        let component = built.get(&member.manifest).with_context(|| {
            format!(
                "{} produces no component\nhint: its Cargo.toml needs `crate-type = [\"cdylib\", \"rlib\"]` under `[lib]`",
                member.name
            )
        })?;
        install_into(folder, member.folder(), component)?;
    }
    Ok(())
}

/// Installs a component into `folder` in the target directory, and prints its
/// size.
pub fn install_into(folder: &str, name: &str, component: &Path) -> anyhow::Result<()> {
    let folder = workspace()?.target.join(folder);
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let (size, change) = install(component, &folder.join(name).with_extension("wasm"))?;
    println!("  {name:<12} {:>7.1} KB  {change}", size as f64 / 1000.0);
    Ok(())
}

/// Message of cargo, one JSON object per line.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Builds `members` with cargo. Returns their components by manifest path.
fn components(
    toolchain: &Toolchain,
    members: &[&Member],
) -> anyhow::Result<HashMap<PathBuf, PathBuf>> {
    let mut command = toolchain.cargo_build(&workspace()?.target.join("wasm"))?;
    command.args(["--profile", "adapter"]);
    command.args(["--message-format", "json-render-diagnostics"]);
    command.args(members.iter().flat_map(|member| ["--package", &member.name]));
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.context("running cargo")?;
    ensure!(output.status.success(), "cargo could not build {}", names(members));
    let mut built = HashMap::new();
    for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let message: Message =
            serde_json::from_slice(line).context("reading the output of cargo")?;
        if message.reason != "compiler-artifact" {
            continue;
        }
        let is_wasm =
            |file: &PathBuf| file.extension().is_some_and(|extension| extension == "wasm");
        if let Some(file) = message.filenames.into_iter().find(is_wasm) {
            built.insert(message.manifest_path, file);
        }
    }
    Ok(built)
}

fn names(members: &[&Member]) -> String {
    members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Copies `component` to `destination` unless the content is there already.
/// Returns the size in bytes and a word for the change.
fn install(component: &Path, destination: &Path) -> anyhow::Result<(usize, &'static str)> {
    let bytes = fs::read(component).with_context(|| format!("reading {}", component.display()))?;
    ensure!(
        bytes.starts_with(COMPONENT_HEADER),
        "{} is a core module, not a component",
        component.display()
    );
    let change = match fs::read(destination) {
        Ok(before) if before == bytes => return Ok((bytes.len(), "unchanged")),
        Ok(_) => "changed",
        Err(_) => "new",
    };
    // Renamed into place, because a host that watches the folder must see the
    // old file or the new one, never a part of it.
    let temporary = destination.with_extension("wasm.new");
    fs::write(&temporary, &bytes).with_context(|| format!("writing {}", temporary.display()))?;
    fs::rename(&temporary, destination)
        .with_context(|| format!("renaming to {}", destination.display()))?;
    Ok((bytes.len(), change))
}
