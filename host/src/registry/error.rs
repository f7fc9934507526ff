//! The errors of the registry.

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

/// The registry cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error(transparent)]
    BadName(#[from] BadAdapterName),
    #[error("reading the adapters in {}", directory.display())]
    Directory { directory: PathBuf, source: io::Error },
}

/// No version can serve a CSP's job now. The messages may be shown to
/// ServiceNow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotServing {
    #[error("unknown CSP `{csp}`")]
    UnknownCsp { csp: CspName },
    #[error("no `{adapter}.wasm` in the adapter directory")]
    Missing { adapter: AdapterName },
    #[error("adapter `{adapter}` has no usable version: {problem}")]
    Refused { adapter: AdapterName, problem: String },
    /// The job waits for a version that reads its state.
    #[error(
        "adapter `{adapter}` does not read the job's state (version {state_version}), and version \
         {written_by}, which wrote it, cannot be loaded: {problem}"
    )]
    StateUnreadable {
        adapter: AdapterName,
        state_version: u32,
        written_by: Digest,
        problem: String,
    },
}

/// A component is refused. The messages say what is missing.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error(transparent)]
    Component(#[from] LoadError),
    #[error(transparent)]
    Incompatible(#[from] Incompatible),
    /// Behavior on recorded jobs that differs from the active version's.
    #[error(
        "behaves differently from the active version on recorded jobs ({}); for details run \
         `hoth adapters deploy --dry-run`, to deploy it nevertheless use `--replay warn`",
        .0.summary()
    )]
    Replay(Box<ReplayReport>),
}

impl Refusal {
    /// Returns one of a closed set of names, for metrics and the API.
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

/// A component was not installed. The previous version stays active.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error(transparent)]
    BadName(#[from] BadAdapterName),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("writing `{adapter}.wasm`")]
    NotWritten { adapter: AdapterName, source: io::Error },
}

/// A retained version cannot be loaded again.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The component of the version has been deleted or damaged.
    #[error("not readable in the store: {0}")]
    Missing(io::Error),
    /// The host's rules have changed since the version was installed: trusted
    /// keys, limits, or requirements of CSPs.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Refusal {
    /// Returns `true` if the cause is the machine and not the component.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Component(error) => error.is_transient(),
            Self::Signature(_) | Self::Incompatible(_) | Self::Replay(_) => false,
        }
    }
}

impl ReloadError {
    /// Returns `true` if a later try may succeed: neither is the component lost
    /// or damaged, nor is it refused.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Missing(error) => {
                !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData)
            }
            Self::Refused(refusal) => refusal.is_transient(),
        }
    }
}

/// A retained version was not activated. The active version stays.
#[derive(Debug, thiserror::Error)]
pub enum RollBackError {
    #[error("no such adapter")]
    Unknown,
    #[error("no earlier version is retained")]
    NothingEarlier,
    #[error("version {0} is not retained; run `hoth adapters list` to see the retained versions")]
    NotRetained(Digest),
    #[error("versions were activated meanwhile; list them and try again")]
    Changed,
    #[error("version {digest} cannot be activated: {error}")]
    Unusable { digest: Digest, error: ReloadError },
    #[error("writing the ledger")]
    NotWritten(#[from] io::Error),
}

/// A retained version was not replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("no such adapter, or no version of it is active")]
    Unknown,
    #[error("version {0} is not retained; run `hoth adapters list` to see the retained versions")]
    NotRetained(Digest),
    #[error("no other version is retained, so there is nothing to compare with")]
    NothingToCompare,
    #[error("a replay is running; try again when it has ended")]
    Running,
    #[error("version {digest} cannot be loaded: {error}")]
    Unusable { digest: Digest, error: ReloadError },
}
