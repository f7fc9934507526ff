//! Paths and packages of the workspace, from `cargo metadata`.

use std::path::Path;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::Context as _;
use serde::Deserialize;

use crate::cargo;
use crate::process;

/// Workspace that this program was built from.
#[derive(Deserialize)]
pub struct Workspace {
    #[serde(rename = "workspace_root")]
    pub root: PathBuf,
    /// Value of `CARGO_TARGET_DIR` if it is set, otherwise `target`.
    #[serde(rename = "target_directory")]
    pub target: PathBuf,
    #[serde(rename = "packages")]
    pub members: Vec<Member>,
}

/// Package of the workspace.
#[derive(Deserialize)]
pub struct Member {
    pub name: String,
    #[serde(rename = "manifest_path")]
    pub manifest: PathBuf,
    pub rust_version: Option<String>,
    targets: Vec<BuildTarget>,
}

/// Library, program or test program of a package.
#[derive(Deserialize)]
struct BuildTarget {
    name: String,
    kind: Vec<String>,
}

impl Member {
    /// Returns the name of the folder that contains the package.
    pub fn folder(&self) -> &str {
        let name = self.manifest.parent().and_then(Path::file_name);
        name.and_then(|name| name.to_str()).expect("cargo writes paths as UTF-8")
    }

    /// Returns `true` if the package has a target of this kind, such as `lib`.
    pub fn has(&self, kind: &str) -> bool {
        self.targets.iter().any(|target| target.is(kind))
    }

    /// Returns the names of the package's test programs.
    pub fn test_programs(&self) -> impl Iterator<Item = &str> {
        let programs = self.targets.iter().filter(|target| target.is("test"));
        programs.map(|target| target.name.as_str())
    }
}

impl BuildTarget {
    fn is(&self, kind: &str) -> bool {
        self.kind.iter().any(|has| has == kind)
    }
}

impl Workspace {
    /// Returns the packages that lie directly in `folder`, such as `plugins`.
    pub fn members_in(&self, folder: &str) -> Vec<&Member> {
        let folder = self.root.join(folder);
        let inside = |member: &&Member| member.manifest.ancestors().nth(2) == Some(&folder);
        self.members.iter().filter(inside).collect()
    }
}

/// Returns the workspace. Calls cargo once.
pub fn workspace() -> anyhow::Result<&'static Workspace> {
    static WORKSPACE: OnceLock<Workspace> = OnceLock::new();
    if let Some(known) = WORKSPACE.get() {
        return Ok(known);
    }
    // Set by `cargo run`. The compiled-in path may belong to another working
    // copy, because two can share a target directory.
    let folder = std::env::var_os("CARGO_MANIFEST_DIR");
    let folder = folder.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let mut command = cargo::command();
    command.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(folder);
    let json = process::output(&mut command)?;
    let read = serde_json::from_str(&json).context("reading the output of `cargo metadata`")?;
    Ok(WORKSPACE.get_or_init(|| read))
}

/// Returns the target directory.
pub fn target() -> anyhow::Result<&'static Path> {
    Ok(&workspace()?.target)
}
