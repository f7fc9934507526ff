//! Installs the systems that `cargo xtask bench --peers` compares HOTH with.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::debian;
use crate::debian::Program;
use crate::process;
use crate::workspace::target;
use crate::workspace::workspace;

/// Longest time for npm, which fetches about 100 MB.
const NPM_LIMIT: Duration = Duration::from_secs(300);

/// Server of BullMQ's queues.
const REDIS: Program<'static> = Program { name: "redis-server", package: "redis-server" };

/// Installs the peers below the target directory, and returns their folder. A
/// peer that cannot be installed is reported here, and left out by the
/// benchmark.
pub fn install() -> anyhow::Result<PathBuf> {
    let folder = target()?.join("bench-peers");
    copy_scripts(&folder)?;
    if let Err(reason) = install_packages(&folder) {
        println!("BullMQ and Restate are not installed: {reason:#}");
    }
    if let Err(reason) = debian::ensure(&[REDIS]) {
        println!("Redis is not installed: {reason:#}");
    }
    Ok(folder)
}

/// Copies the scripts and the list of packages, beside which npm installs.
fn copy_scripts(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let scripts = workspace()?.root.join("tests/bench/peers");
    let entries = fs::read_dir(&scripts);
    for entry in entries.with_context(|| format!("reading {}", scripts.display()))? {
        let entry = entry.context("reading the scripts of the peers")?;
        let copied = fs::copy(entry.path(), folder.join(entry.file_name()));
        copied.with_context(|| format!("copying {}", entry.path().display()))?;
    }
    Ok(())
}

/// Installs the packages, once for each list of versions.
fn install_packages(folder: &Path) -> anyhow::Result<()> {
    process::output(Command::new("npm").arg("--version")).context("npm is missing")?;
    let lock = fs::read(folder.join("package-lock.json")).context("reading the versions")?;
    let installed = folder.join("installed.json");
    if fs::read(&installed).is_ok_and(|versions| versions == lock) {
        return Ok(());
    }
    println!("Installing BullMQ and Restate into {}", folder.display());
    process::quietly(Command::new("npm").arg("ci").current_dir(folder), NPM_LIMIT)?;
    // Written last, so that an interrupted installation is repeated.
    fs::write(&installed, lock).context("recording the installed versions")
}
