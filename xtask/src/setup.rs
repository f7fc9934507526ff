//! `cargo xtask setup`: finds or fetches the WebAssembly target.

use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;

use crate::debian;
use crate::process;
use crate::toolchain::Target;
use crate::toolchain::Toolchain;

/// Longest time for `rustup`, which fetches about 20 MB. Without a network it
/// may wait instead of failing.
const RUSTUP_LIMIT: Duration = Duration::from_secs(120);

/// Find or fetch the WebAssembly target
///
/// Uses an installed target; otherwise asks rustup; otherwise, as root,
/// installs Debian's packages. The other commands do this by themselves.
///
/// Example: cargo xtask setup
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {}

/// Runs `cargo xtask setup`.
pub fn run(_: &Arguments) -> anyhow::Result<()> {
    println!("Adapters are built with {}", toolchain(Target::Bare)?);
    Ok(())
}

/// Returns the toolchain for components. Fetches it if it is missing, and
/// prints the steps.
pub fn toolchain(target: Target) -> anyhow::Result<Toolchain> {
    if let Some(toolchain) = Toolchain::find(target)? {
        return Ok(toolchain);
    }
    let mut reasons = Vec::new();
    for (name, fetch) in [("rustup", from_rustup as fn(Target) -> _), ("apt-get", from_debian)] {
        match fetch(target) {
            Ok(toolchain) => return Ok(toolchain),
            Err(reason) => {
                println!("{name}: {reason:#}");
                reasons.push(name);
            }
        }
    }
    bail!(
        "the WebAssembly target is missing, and {} could not provide it\n\
         hint: `rustup target add {}` on a machine with a network, or\n\
         hint: `apt-get install {}` as root on Debian",
        reasons.join(" and "),
        target.triple(),
        target.debian_packages().join(" ")
    )
}

fn from_rustup(target: Target) -> anyhow::Result<Toolchain> {
    let triple = target.triple();
    println!("Fetching {triple} with rustup");
    process::quietly(Command::new("rustup").args(["target", "add", triple]), RUSTUP_LIMIT)?;
    Toolchain::find(target)?
        .context("rustup installed the target for another toolchain than the one in use")
}

fn from_debian(target: Target) -> anyhow::Result<Toolchain> {
    debian::install(target.debian_packages())?;
    Toolchain::find(target)?.context("the packages of this Debian release are too old")
}
