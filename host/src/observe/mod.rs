//! The observers of jobs: the one way by which trail, metrics and traces learn
//! what happened.
//!
//! The workers, the API and the admin API report
//! [records](hoth_core::domain::JobRecord); an observer derives from them what
//! it is for.

use std::fmt;
use std::sync::Arc;

use hoth_core::domain::JobRecord;
use hoth_trail::Trail;

/// A part that learns what happened to jobs.
pub trait Observer: Send + Sync {
    /// Takes a record. Called on the job's way: it must not block, and must
    /// bound what it keeps.
    fn observe(&self, record: &Arc<JobRecord>);
}

/// All observers of a host. Cheap to clone.
#[derive(Clone, Default)]
pub struct Observers(Arc<[Arc<dyn Observer>]>);

impl Observers {
    /// Makes the list of a host's observers.
    pub fn new(observers: Vec<Arc<dyn Observer>>) -> Self {
        Self(observers.into())
    }

    /// Hands a record to every observer.
    pub fn observe(&self, record: JobRecord) {
        if self.0.is_empty() {
            return;
        }
        let record = Arc::new(record);
        for observer in &*self.0 {
            observer.observe(&record);
        }
    }
}

impl Observer for Trail {
    fn observe(&self, record: &Arc<JobRecord>) {
        Trail::observe(self, record);
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observers").field("count", &self.0.len()).finish()
    }
}
