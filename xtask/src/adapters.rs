//! `cargo xtask adapters`: every adapter, as a component.

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

/// What a component's file begins with: a core module has 1 for the layer.
const COMPONENT: &[u8] = b"\0asm\x0d\x00\x01\x00";

/// The one crate in `plugins` that is no adapter.
const SDK: &str = "sdk";

/// Builds every adapter in plugins/ into target/adapters/.
///
/// A folder plugins/NAME becomes target/adapters/NAME.wasm. A file is replaced
/// only when its content changes, so a host that watches it stays quiet.
///
/// Example: cargo xtask adapters && hoth adapter inspect target/adapters/atat.wasm
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Build the misbehaving guests of the tests too, into target/guests/
    #[arg(long)]
    guests: bool,
    /// Build the samples in Rust for WASI, Python and JavaScript too, into target/samples/
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

/// Builds the adapters; fetches the target where it is missing.
pub fn build() -> anyhow::Result<()> {
    let adapters = workspace()?.members_in("plugins");
    let adapters: Vec<_> = adapters.into_iter().filter(|member| member.folder() != SDK).collect();
    build_group(&setup::toolchain(Target::Bare)?, &adapters, "adapters")
}

/// Builds the guests that misbehave, which tests run.
pub fn build_guests() -> anyhow::Result<()> {
    build_group(&setup::toolchain(Target::Bare)?, &guests()?, "guests")
}

/// The guests that misbehave. They make sense as components only.
pub fn guests() -> anyhow::Result<Vec<&'static Member>> {
    Ok(workspace()?.members_in("tests/guests"))
}

/// Builds `members` at once, and puts the components into `folder` in the
/// target directory.
pub fn build_group(toolchain: &Toolchain, members: &[&Member], folder: &str) -> anyhow::Result<()> {
    println!("Building {folder} with {toolchain}");
    let built = components(toolchain, members)?;
    for member in members {
        let component = built.get(&member.manifest).with_context(|| {
            format!(
                "{} makes no component\nhint: its Cargo.toml needs `crate-type = [\"cdylib\", \"rlib\"]` under `[lib]`",
                member.name
            )
        })?;
        put_into(folder, member.folder(), component)?;
    }
    Ok(())
}

/// Puts a component into `folder` in the target directory, and says so.
pub fn put_into(folder: &str, name: &str, component: &Path) -> anyhow::Result<()> {
    let folder = workspace()?.target.join(folder);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let (size, change) = put(component, &folder.join(name).with_extension("wasm"))?;
    println!("  {name:<12} {:>7.1} KB  {change}", size as f64 / 1000.0);
    Ok(())
}

/// One of the lines that cargo prints for programs to read.
#[derive(Deserialize)]
struct Line {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Has cargo build `members`; their components by their manifests.
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
        let line: Line = serde_json::from_slice(line).context("reading what cargo printed")?;
        if line.reason != "compiler-artifact" {
            continue;
        }
        let wasm = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "wasm");
        if let Some(file) = line.filenames.into_iter().find(wasm) {
            built.insert(line.manifest_path, file);
        }
    }
    Ok(built)
}

fn names(members: &[&Member]) -> String {
    members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Puts `component` at `place`, where another content lies there. Returns its
/// size in bytes and what that changed.
fn put(component: &Path, place: &Path) -> anyhow::Result<(usize, &'static str)> {
    let bytes = fs::read(component).with_context(|| format!("reading {}", component.display()))?;
    ensure!(
        bytes.starts_with(COMPONENT),
        "{} is a core module, not a component",
        component.display()
    );
    let change = match fs::read(place) {
        Ok(before) if before == bytes => return Ok((bytes.len(), "unchanged")),
        Ok(_) => "changed",
        Err(_) => "new",
    };
    // A host may be watching, and must see the old file or the new one.
    let aside = place.with_extension("wasm.new");
    fs::write(&aside, &bytes).with_context(|| format!("writing {}", aside.display()))?;
    fs::rename(&aside, place).with_context(|| format!("renaming to {}", place.display()))?;
    Ok((bytes.len(), change))
}
