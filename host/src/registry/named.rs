//! The versions that waiting jobs name: those that wrote their states.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use super::AdapterName;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;

/// The last time at which a waiting job named a version, for each version. It
/// is bounded by the versions that ledgers name, as only these are recorded.
#[derive(Debug, Default)]
pub(super) struct NamedVersions(Mutex<BTreeMap<AdapterName, BTreeMap<Digest, Timestamp>>>);

impl NamedVersions {
    /// Records that a job waits with a state of this version.
    pub fn record(&self, name: &AdapterName, digest: &Digest, now: Timestamp) {
        let mut adapters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        adapters.entry(name.clone()).or_default().insert(*digest, now);
    }

    /// Returns the versions of an adapter that were named within `period`, and
    /// forgets the others.
    pub fn within(&self, name: &AdapterName, now: Timestamp, period: Duration) -> BTreeSet<Digest> {
        let mut adapters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(versions) = adapters.get_mut(name) else { return BTreeSet::new() };
        versions.retain(|_, named_at| now.since(*named_at) <= period);
        versions.keys().copied().collect()
    }
}
