//! Why the registry cannot do as asked.

use std::io;
use std::path::PathBuf;

use super::AdapterName;
use super::BadAdapterName;
use crate::adapter::LoadError;
use crate::domain::CspName;
use crate::domain::Digest;

/// Why there is no registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error(transparent)]
    BadName(#[from] BadAdapterName),
    #[error("reading the adapters in {}", directory.display())]
    Directory { directory: PathBuf, source: io::Error },
}

/// Why a CSP's job has no adapter now. The sentences may be shown to
/// ServiceNow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotServing {
    #[error("no CSP is named `{csp}`")]
    UnknownCsp { csp: CspName },
    #[error("there is no `{adapter}.wasm` in the directory of adapters")]
    Missing { adapter: AdapterName },
    #[error("the adapter `{adapter}` is refused: {problem}")]
    Refused { adapter: AdapterName, problem: String },
    /// The job waits for a version that reads its state.
    #[error(
        "the adapter `{adapter}` cannot read the job's state (version {state_version}), and the \
         version that wrote it ({written_by}) {problem}"
    )]
    StateUnreadable {
        adapter: AdapterName,
        state_version: u32,
        written_by: Digest,
        problem: String,
    },
}

/// Why a component was not installed. The version before stays active.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error(transparent)]
    BadName(#[from] BadAdapterName),
    #[error(transparent)]
    Refused(#[from] LoadError),
    #[error("`{adapter}.wasm` cannot be written")]
    NotWritten { adapter: AdapterName, source: io::Error },
}

/// Why an earlier version was not activated again. The active one stays.
#[derive(Debug, thiserror::Error)]
pub enum RollBackError {
    #[error("no adapter has this name")]
    Unknown,
    #[error("no earlier version is kept")]
    NothingEarlier,
    #[error("no version {0} is kept; `hoth adapters list` shows those that are")]
    NotKept(Digest),
    #[error("the version {0}")]
    Unusable(String),
    #[error("the choice cannot be written")]
    NotWritten(#[from] io::Error),
}
