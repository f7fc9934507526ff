//! Where things lie, as cargo sees it.

use std::path::Path;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::Context as _;
use serde::Deserialize;

use crate::cargo;
use crate::process;

/// The workspace that this program was built from.
#[derive(Deserialize)]
pub struct Workspace {
    #[serde(rename = "workspace_root")]
    pub root: PathBuf,
    /// `CARGO_TARGET_DIR` where it is set, else `target`.
    #[serde(rename = "target_directory")]
    pub target: PathBuf,
    #[serde(rename = "packages")]
    pub members: Vec<Member>,
}

/// One crate of the workspace.
#[derive(Deserialize)]
pub struct Member {
    pub name: String,
    #[serde(rename = "manifest_path")]
    pub manifest: PathBuf,
    pub rust_version: Option<String>,
}

impl Member {
    /// The name of the folder that it lies in.
    pub fn folder(&self) -> &str {
        let name = self.manifest.parent().and_then(Path::file_name);
        name.and_then(|name| name.to_str()).expect("cargo writes paths as UTF-8")
    }
}

impl Workspace {
    /// The crates that lie directly in `folder`, such as `plugins`.
    pub fn members_in(&self, folder: &str) -> Vec<&Member> {
        let folder = self.root.join(folder);
        let inside = |member: &&Member| member.manifest.ancestors().nth(2) == Some(&folder);
        self.members.iter().filter(inside).collect()
    }
}

/// The workspace; cargo is asked once.
pub fn workspace() -> anyhow::Result<&'static Workspace> {
    static WORKSPACE: OnceLock<Workspace> = OnceLock::new();
    if let Some(known) = WORKSPACE.get() {
        return Ok(known);
    }
    // Set by `cargo run`. What is compiled in may name another working copy,
    // where two share a target directory.
    let folder = std::env::var_os("CARGO_MANIFEST_DIR");
    let folder = folder.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let mut command = cargo::command();
    command.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(folder);
    let json = process::output(&mut command)?;
    let read = serde_json::from_str(&json).context("reading what `cargo metadata` printed")?;
    Ok(WORKSPACE.get_or_init(|| read))
}

/// The target directory.
pub fn target() -> anyhow::Result<&'static Path> {
    Ok(&workspace()?.target)
}
