//! Loads of retained versions for waiting jobs: a lock for each version, and
//! the last refusal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use super::AdapterName;
use super::ReloadError;
use hoth_core::domain::Digest;

/// Time for which the refusal of a version is remembered. Every waiting job
/// asks again every ten seconds, and each try may compile for a minute.
const REFUSAL_HOLDS: Duration = Duration::from_secs(300);

/// The same time if the cause may pass by itself.
const TRANSIENT_HOLDS: Duration = Duration::from_secs(10);

/// The most versions that are remembered: queued messages name them, and a
/// queue may hold messages of others.
const LOADS_MAX: usize = 1024;

/// The lock of one version. Held while it is loaded, so that a thousand jobs
/// that resume at once load it once.
pub(super) type ResumeLoad = Arc<tokio::sync::Mutex<LastTry>>;

/// The result of the last load of a version.
#[derive(Debug, Default)]
pub(super) struct LastTry(Option<(Instant, String)>);

impl LastTry {
    /// Returns the reason of the last refusal while it is remembered.
    pub fn refusal(&self) -> Option<&str> {
        let (until, problem) = self.0.as_ref()?;
        (Instant::now() < *until).then_some(problem)
    }

    /// Remembers a refusal, and returns its text.
    pub fn refuse(&mut self, error: &ReloadError) -> String {
        let holds = if error.is_transient() { TRANSIENT_HOLDS } else { REFUSAL_HOLDS };
        let problem = error.to_string();
        self.0 = Some((Instant::now() + holds, problem.clone()));
        problem
    }
}

/// The loads of all versions.
#[derive(Debug, Default)]
pub(super) struct ResumeLoads(Mutex<BTreeMap<(AdapterName, Digest), ResumeLoad>>);

impl ResumeLoads {
    /// Returns the lock of one version. Versions do not wait for each other.
    pub fn of(&self, name: &AdapterName, digest: &Digest) -> ResumeLoad {
        let mut loads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if loads.len() >= LOADS_MAX {
            // Those that no job holds now; a refusal among them is found again.
            loads.retain(|_, load| Arc::strong_count(load) > 1);
        }
        Arc::clone(loads.entry((name.clone(), *digest)).or_default())
    }

    /// Forgets the refusals of an adapter's versions: an activation may have
    /// stored a lost component again.
    pub fn forget(&self, name: &AdapterName) {
        let mut loads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loads.retain(|(adapter, _), _| adapter != name);
    }
}
