//! Python environments below the target directory, with pinned packages.
//!
//! Each has its own packages, and changes nothing outside its folder.

use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;

use crate::process;
use crate::workspace;

/// Longest time for the installation of an environment, which fetches up to
/// 60 MB.
const INSTALL_LIMIT: Duration = Duration::from_secs(600);

/// Python environment with pinned packages.
pub struct Environment {
    /// Folder of the environment below the target directory.
    pub name: &'static str,
    /// Content of the environment for messages, such as `a local SQS`.
    pub content: &'static str,
    /// All packages, each with its version, as pip reads them.
    pub requirements: &'static str,
    /// Versions of Python that can run these packages, the preferred one first.
    pub pythons: &'static [&'static str],
    /// Advice for a machine that cannot install the environment, beside that
    /// to install Python.
    pub alternative: Option<&'static str>,
}

impl Environment {
    /// Returns the folder of the environment. It may not exist.
    pub fn folder(&self) -> anyhow::Result<PathBuf> {
        Ok(workspace::target()?.join(self.name))
    }

    /// Returns the Python of the environment. Creates the environment if it is
    /// missing or has other packages.
    pub fn install(&self) -> anyhow::Result<PathBuf> {
        let folder = self.folder()?;
        let environment = folder.join("venv");
        let python = environment.join("bin/python");
        let marker = environment.join("installed.txt");
        if std::fs::read_to_string(&marker).is_ok_and(|text| text == self.requirements) {
            return Ok(python);
        }
        let content = self.content;
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("creating a folder for {content}"))?;
        let requirements = folder.join("requirements.txt");
        std::fs::write(&requirements, self.requirements)
            .context("writing the requirements for pip")?;
        let mut reasons = Vec::new();
        for candidate in installed(self.pythons) {
            println!("Installing {content} with {}", candidate.display());
            match install_with(&candidate, &environment, &requirements) {
                Ok(()) => {
                    // Written last, so that an interrupted installation is
                    // repeated.
                    std::fs::write(&marker, self.requirements)
                        .context("recording the installed versions")?;
                    return Ok(python);
                }
                Err(reason) => {
                    println!("{}: {reason:#}", candidate.display());
                    reasons.push(candidate.display().to_string());
                }
            }
        }
        let tried =
            if reasons.is_empty() { "none was found".to_owned() } else { reasons.join(", ") };
        let alternative = self.alternative.map(|advice| format!(", or\nhint: {advice}"));
        bail!(
            "{content} could not be installed with any Python ({tried})\n\
             hint: install Python {} with its venv module, and let pip reach PyPI or a mirror{}",
            self.pythons.join(" or "),
            alternative.unwrap_or_default()
        )
    }
}

fn install_with(python: &Path, environment: &Path, requirements: &Path) -> anyhow::Result<()> {
    let make = &mut Command::new(python);
    process::quietly(make.args(["-m", "venv", "--clear"]).arg(environment), INSTALL_LIMIT)?;
    let mut pip = Command::new(environment.join("bin/python"));
    // The requirements are complete, so nothing else is fetched.
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"]);
    process::quietly(pip.arg(requirements), INSTALL_LIMIT)
}

/// Returns the Pythons of this machine with these versions: those on the path,
/// and those of pyenv, which may select another one for this folder.
fn installed(wanted: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> =
        std::env::split_paths(&path).chain(pyenv_folders().unwrap_or_default()).collect();
    for wanted in wanted {
        for folder in &folders {
            for name in [format!("python{wanted}"), "python3".to_owned()] {
                let python = folder.join(name);
                if python.is_file() && version(&python).is_some_and(|has| has == *wanted) {
                    found.push(python);
                    break;
                }
            }
        }
    }
    found
}

fn pyenv_folders() -> Option<Vec<PathBuf>> {
    let own = std::env::var_os("PYENV_ROOT").filter(|root| !root.is_empty());
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv"));
    let versions = own.map(PathBuf::from).or_else(home)?.join("versions");
    let entries = std::fs::read_dir(versions).ok()?.flatten();
    Some(entries.map(|entry| entry.path().join("bin")).collect())
}

/// Returns the version of a Python, such as `3.12`. Returns `None` if it does
/// not run, or lacks the modules that the installation needs.
fn version(python: &Path) -> Option<String> {
    let print = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])";
    let arguments: [OsString; 2] = ["-c".into(), print.into()];
    let output = Command::new(python).args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
