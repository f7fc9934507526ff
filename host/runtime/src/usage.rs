//! What the calls of one version have cost, and how they ended.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use super::CallError;

/// Failures in a row from which on a version counts as failing: one or two may
/// be the job's fault, so many are the version's.
pub const FAILURES_IN_A_ROW: u64 = 5;

/// What has been counted; shared by everything that loads the same version.
#[derive(Debug, Default)]
pub struct Usage(Mutex<Counted>);

/// Counts since the host started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    pub calls: u64,
    /// The guest broke.
    pub traps: u64,
    /// It did not answer in time.
    pub timeouts: u64,
    /// It asked for too much memory.
    pub out_of_memory: u64,
    /// It answered against the contract, or could not be started.
    pub invalid: u64,
    /// Of all calls together, on the wall's clock.
    pub time: Duration,
    /// The longest call.
    pub time_max: Duration,
    /// The most memory that one call held, over all memories and tables.
    pub memory_max_bytes: u64,
    /// Calls that failed since the last one that gave a step.
    pub failures_in_a_row: u64,
    /// What the last one that failed has failed of.
    pub last_failure: Option<String>,
}

impl Usage {
    /// What has been counted so far.
    pub fn counted(&self) -> Counted {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a call; true when with it the version has begun to count as
    /// failing.
    pub(super) fn count(
        &self,
        took: Duration,
        memory_bytes: usize,
        failed: Option<&CallError>,
    ) -> bool {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.calls += 1;
        counted.time += took;
        counted.time_max = counted.time_max.max(took);
        counted.memory_max_bytes = counted.memory_max_bytes.max(memory_bytes as u64);
        let Some(failed) = failed else {
            counted.failures_in_a_row = 0;
            return false;
        };
        match failed {
            CallError::Trapped { .. } => counted.traps += 1,
            CallError::DeadlineExceeded { .. } => counted.timeouts += 1,
            CallError::MemoryExceeded { .. } => counted.out_of_memory += 1,
            CallError::InvalidStep { .. } | CallError::NotStarted { .. } => counted.invalid += 1,
        }
        counted.failures_in_a_row += 1;
        counted.last_failure = Some(failed.to_string());
        counted.failures_in_a_row == FAILURES_IN_A_ROW
    }
}

impl Counted {
    /// What an operator is told of a version that keeps failing.
    pub fn trouble(&self) -> Option<String> {
        let last = self.last_failure.as_ref()?;
        (self.failures_in_a_row >= FAILURES_IN_A_ROW).then(|| {
            format!("the last {} calls failed; the last one: {last}", self.failures_in_a_row)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_counts_as_failing_from_the_fifth_failure_in_a_row_to_the_next_good_call() {
        let usage = Usage::default();
        let trap = CallError::Trapped { message: "unreachable".to_owned() };
        let fail =
            |times| (0..times).filter(|_| usage.count(Duration::ZERO, 10, Some(&trap))).count();
        assert_eq!(fail(4), 0);
        usage.count(Duration::from_millis(3), 90, None);
        assert_eq!((fail(4), usage.counted().trouble()), (0, None));
        assert_eq!(fail(2), 1, "it is said once");
        let trouble = "the last 6 calls failed; the last one: the adapter trapped: unreachable";
        assert_eq!(usage.counted().trouble().as_deref(), Some(trouble));
        usage.count(Duration::from_millis(2), 20, None);
        let counted = usage.counted();
        assert_eq!(counted.trouble(), None);
        assert_eq!((counted.calls, counted.traps, counted.memory_max_bytes), (12, 10, 90));
        assert_eq!(
            (counted.time, counted.time_max),
            (Duration::from_millis(5), Duration::from_millis(3))
        );
    }
}
