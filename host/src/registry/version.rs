//! One loaded version, and the jobs that use it.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use super::history::RetainedVersion;
use hoth_core::domain::Timestamp;
use hoth_runtime::Adapter;

/// A version of an adapter. It stays loaded as long as anyone holds it.
#[derive(Debug)]
pub struct Version {
    adapter: Adapter,
    loaded_at: Timestamp,
    /// Counted for people; what keeps the version loaded is the `Arc` in each
    /// [`JobGuard`].
    jobs: AtomicUsize,
}

/// One run of a job on a version; ends with the guard.
#[derive(Debug)]
pub struct JobGuard(Arc<Version>);

impl Version {
    pub(super) fn new(adapter: Adapter, loaded_at: Timestamp) -> Self {
        Self { adapter, loaded_at, jobs: AtomicUsize::new(0) }
    }

    /// The adapter itself.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// When it was loaded.
    pub fn loaded_at(&self) -> Timestamp {
        self.loaded_at
    }

    /// What stays of it when it is not loaded.
    pub(super) fn to_retained(&self) -> RetainedVersion {
        RetainedVersion {
            sha256: self.adapter.digest(),
            name: Some(self.adapter.info().name.clone()),
            version: self.adapter.info().version.clone(),
            size: self.adapter.size_bytes(),
            imports: self.adapter.imports().to_vec(),
            arrived_at: self.loaded_at,
        }
    }

    /// How many jobs run on it now. Waiting jobs do not.
    pub fn jobs_in_flight(&self) -> usize {
        self.jobs.load(Ordering::Relaxed)
    }

    /// Counts a job until the guard goes.
    pub fn begin_job(self: &Arc<Self>) -> JobGuard {
        self.jobs.fetch_add(1, Ordering::Relaxed);
        JobGuard(Arc::clone(self))
    }
}

impl JobGuard {
    /// The adapter that this run uses to its end.
    pub fn adapter(&self) -> &Adapter {
        self.0.adapter()
    }
}

impl Drop for JobGuard {
    fn drop(&mut self) {
        self.0.jobs.fetch_sub(1, Ordering::Relaxed);
    }
}
