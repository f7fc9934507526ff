//! Why the registry cannot do as asked.

use std::io;
use std::path::PathBuf;

use super::AdapterName;
use super::BadAdapterName;
use super::Incompatible;
use super::SignatureError;
use crate::replay::ReplayReport;
use hoth_core::domain::CspName;
use hoth_core::domain::Digest;
use hoth_runtime::LoadError;

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
    #[error("the adapter `{adapter}` has no version that can run: {problem}")]
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

/// Why a component is not taken. The sentences say what is missing.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error(transparent)]
    Component(#[from] LoadError),
    #[error(transparent)]
    Incompatible(#[from] Incompatible),
    /// It does on jobs of the past what the active version did not.
    #[error(
        "on jobs that this host has seen it does not do as the active version does ({}); `hoth \
         adapters deploy --dry-run` shows what, and `--replay warn` deploys it all the same",
        .0.summary()
    )]
    Replay(Box<ReplayReport>),
}

impl Refusal {
    /// One word of a closed set, for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Signature(SignatureError::Missing) => "unsigned",
            Self::Signature(
                SignatureError::Unreadable
                | SignatureError::UnknownKey
                | SignatureError::Invalid
                | SignatureError::Legacy,
            ) => "bad-signature",
            Self::Component(error) => error.reason(),
            Self::Incompatible(_) => "coverage",
            Self::Replay(_) => "replay",
        }
    }
}

/// Why a component was not installed. The version before stays active.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error(transparent)]
    BadName(#[from] BadAdapterName),
    #[error(transparent)]
    Refused(#[from] Refusal),
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
