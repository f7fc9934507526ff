//! `cargo xtask screenshots`: pictures of the console for the documentation.

use anyhow::Context as _;

use crate::adapters;
use crate::axe;
use crate::cargo;
use crate::debian;
use crate::process;
use crate::workspace::workspace;

/// Environment variable with the folder, for the tests of the pages.
const FOLDER_VARIABLE: &str = "HOTH_SCREENSHOTS";

/// Take a picture of every page of the console
///
/// A host does some work, and Chromium opens each page. The pictures replace
/// those in docs/images/console.
///
/// Example:
///   cargo xtask screenshots
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {}

/// Runs `cargo xtask screenshots`.
pub fn run(_: &Arguments) -> anyhow::Result<()> {
    debian::ensure(&debian::TEST_PROGRAMS)?;
    adapters::build()?;
    adapters::build_guests()?;
    let folder = workspace()?.root.join("docs/images/console");
    std::fs::create_dir_all(&folder).context("making the folder of the pictures")?;
    let mut tests = cargo::native("test")?;
    tests.args(["--package", "hoth", "--test", "e2e", "console::pages::every_page"]);
    tests.env(FOLDER_VARIABLE, &folder).env(axe::VARIABLE, axe::install()?);
    process::run(&mut tests)?;
    println!("The pictures are in {}", folder.display());
    Ok(())
}
