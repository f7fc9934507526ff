//! Counts of the calls of one version: their costs and their ends.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use super::CallError;

/// The failures in a row at which a version counts as failing. One or two may
/// be the fault of a job; five are the fault of the version.
pub const FAILURES_IN_A_ROW: u64 = 5;

/// The upper bounds of the buckets in which [`Counted::buckets`] counts calls, in
/// seconds. A compiled call takes a fraction of a millisecond, and the default
/// deadline is a second.
pub const CALL_SECONDS_BOUNDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0, 60.0,
];

/// The counters of one version, shared by everything that loads it.
#[derive(Debug, Default)]
pub struct Usage(Mutex<Counted>);

/// The counts since the host started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    pub calls: u64,
    /// Calls in which the guest trapped.
    pub traps: u64,
    /// Calls that passed their deadline.
    pub timeouts: u64,
    /// Calls that exceeded their memory.
    pub out_of_memory: u64,
    /// Calls with a result against the contract, or without an instance.
    pub invalid: u64,
    /// The time of all calls together.
    pub time: Duration,
    /// The number of calls for each of [`CALL_SECONDS_BOUNDS`] that took no
    /// longer than it and longer than the one before. Longer calls are in none.
    pub buckets: [u64; CALL_SECONDS_BOUNDS.len()],
    /// The time of the longest call.
    pub time_max: Duration,
    /// The most memory that one call held, over all memories and tables.
    pub memory_max_bytes: u64,
    /// Failed calls since the last successful one.
    pub failures_in_a_row: u64,
    /// The message of the last failed call.
    pub last_failure: Option<String>,
}

impl Usage {
    /// Returns the counts so far.
    pub fn counted(&self) -> Counted {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a call. Returns true if the version counts as failing from this
    /// call on.
    pub(super) fn count(
        &self,
        took: Duration,
        memory_bytes: usize,
        failed: Option<&CallError>,
    ) -> bool {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.calls += 1;
        counted.time += took;
        let bucket = CALL_SECONDS_BOUNDS.partition_point(|bound| *bound < took.as_secs_f64());
        if let Some(calls) = counted.buckets.get_mut(bucket) {
            *calls += 1;
        }
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
        // Equal, not greater: a row of failures is reported once.
        counted.failures_in_a_row == FAILURES_IN_A_ROW
    }
}

impl Counted {
    /// Returns a sentence for operators, or `None` if the version does not
    /// count as failing.
    pub fn problem(&self) -> Option<String> {
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
        assert_eq!((fail(4), usage.counted().problem()), (0, None));
        assert_eq!(fail(2), 1, "it is reported once");
        let problem = "the last 6 calls failed; the last one: the adapter trapped: unreachable";
        assert_eq!(usage.counted().problem().as_deref(), Some(problem));
        usage.count(Duration::from_millis(2), 20, None);
        let counted = usage.counted();
        assert_eq!(counted.problem(), None);
        assert_eq!((counted.calls, counted.traps, counted.memory_max_bytes), (12, 10, 90));
        assert_eq!(
            (counted.time, counted.time_max),
            (Duration::from_millis(5), Duration::from_millis(3))
        );
        assert_eq!((counted.buckets[0], counted.buckets[4], counted.buckets[5]), (10, 1, 1));
    }
}
