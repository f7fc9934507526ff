//! A loaded version, and the jobs that run on it.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use super::Signer;
use super::history::RetainedVersion;
use hoth_core::domain::Timestamp;
use hoth_core::domain::event_id;
use hoth_runtime::Adapter;

/// A loaded version of an adapter. It is unloaded when the last reference to it
/// is dropped.
#[derive(Debug)]
pub struct Version {
    adapter: Adapter,
    /// The label that the version gives itself, as events have it.
    label: Arc<str>,
    /// The first digits of the digest.
    digest_prefix: Arc<str>,
    loaded_at: Timestamp,
    signer: Option<Signer>,
    /// For display only; the `Arc` in each [`JobGuard`] keeps the version
    /// loaded.
    jobs: AtomicUsize,
}

/// One run of a job on a version. The run ends when the guard is dropped.
#[derive(Debug)]
pub struct JobGuard(Arc<Version>);

impl Version {
    pub(super) fn new(adapter: Adapter, loaded_at: Timestamp, signer: Option<Signer>) -> Self {
        let label = event_id(&adapter.info().version).into();
        let digest_prefix = adapter.digest().prefix().into();
        let jobs = AtomicUsize::new(0);
        Self { adapter, label, digest_prefix, loaded_at, signer, jobs }
    }

    /// Returns the adapter.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Returns the label that the version gives itself, as events have it. Every
    /// event of a call shares it.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Returns the first digits of the digest, as [`Version::label`].
    pub fn digest_prefix(&self) -> &Arc<str> {
        &self.digest_prefix
    }

    /// Returns the time at which the version was loaded.
    pub fn loaded_at(&self) -> Timestamp {
        self.loaded_at
    }

    /// Describes the version for the history.
    pub(super) fn to_retained(&self) -> RetainedVersion {
        RetainedVersion {
            sha256: self.adapter.digest(),
            name: Some(self.adapter.info().name.clone()),
            version: self.adapter.info().version.clone(),
            size: self.adapter.size_bytes(),
            imports: self.adapter.imports().to_vec(),
            arrived_at: self.loaded_at,
            signer: self.signer.clone(),
            inactive_since: None,
        }
    }

    /// Returns the number of jobs that run on the version now; waiting jobs do
    /// not count.
    pub fn jobs_in_flight(&self) -> usize {
        self.jobs.load(Ordering::Relaxed)
    }

    /// Counts a job until the guard is dropped.
    pub fn begin_job(self: &Arc<Self>) -> JobGuard {
        self.jobs.fetch_add(1, Ordering::Relaxed);
        JobGuard(Arc::clone(self))
    }
}

impl Drop for JobGuard {
    fn drop(&mut self) {
        self.0.jobs.fetch_sub(1, Ordering::Relaxed);
    }
}
