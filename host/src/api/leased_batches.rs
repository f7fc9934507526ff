//! The jobs of leased batches, for the trail.
//!
//! The name of a batch holds receipts, which name no jobs. What is forgotten
//! here, at a restart or beyond the bound, is missing in the trail only.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::PoisonError;

use hoth_core::domain::Digest;

/// Leased batches that are remembered. Beyond it the oldest is forgotten.
const BATCHES_MAX: usize = 1_024;

/// The job ids of leased batches, by a digest of the batch's name.
#[derive(Debug, Default)]
pub struct LeasedBatches(Mutex<VecDeque<(Digest, Vec<String>)>>);

impl LeasedBatches {
    /// Remembers the jobs of a batch.
    pub fn keep(&self, batch: &str, ids: Vec<String>) {
        let mut batches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if batches.len() == BATCHES_MAX {
            batches.pop_front();
        }
        batches.push_back((Digest::of(batch.as_bytes()), ids));
    }

    /// Forgets a batch, and returns its jobs; none for a batch that was
    /// forgotten before.
    pub fn take(&self, batch: &str) -> Vec<String> {
        let digest = Digest::of(batch.as_bytes());
        let mut batches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = batches.iter().position(|(name, _)| *name == digest);
        place.and_then(|place| batches.remove(place)).map(|(_, ids)| ids).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_taken_once_and_the_oldest_is_forgotten() {
        let leased = LeasedBatches::default();
        for n in 0..=BATCHES_MAX {
            leased.keep(&n.to_string(), vec![format!("job-{n}")]);
        }
        assert_eq!(leased.take("0"), Vec::<String>::new());
        assert_eq!(leased.take("1"), ["job-1"]);
        assert_eq!(leased.take("1"), Vec::<String>::new());
    }
}
