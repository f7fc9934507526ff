//! What one run of an adapter may take, over all its calls and requests.

use std::time::Duration;

use super::JobError;

/// How many requests one run may make. The longest known run makes four; the
/// bound ends adapters that never come to a decision.
const SENDS_MAX: u32 = 64;

/// How many requests one job may make, over all its runs: four with each of
/// the polls of ten days, of which there is one a minute.
const REQUESTS_MAX: u32 = 65_536;

/// What the calls of one run may take together, in deadlines of one call. Each
/// keeps its own deadline; this ends adapters that make the most of every one.
const DEADLINES_MAX: u32 = 10;

/// After this time a run makes no further request. Four requests fit, each of
/// them tried three times at a CSP that is given its whole 300 s each time. What
/// takes longer is work for a `wait`, during which nothing is held.
const RUN_TIME_MAX: Duration = Duration::from_secs(2 * 3_600);

/// What is left of that. Pure: whoever asks has measured.
#[derive(Debug)]
pub struct RunBudget {
    sends: u32,
    /// The job's requests so far, earlier runs included.
    requests: u32,
    computed: Duration,
    computing_max: Duration,
}

impl RunBudget {
    /// For a run of a job that has made so many requests, by an adapter whose
    /// calls each have this deadline.
    pub fn new(requests: u32, call_deadline: Duration) -> Self {
        let computing_max = call_deadline * DEADLINES_MAX;
        Self { sends: 0, requests, computed: Duration::ZERO, computing_max }
    }

    /// The job's requests so far.
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// Takes account of a call into the adapter.
    ///
    /// # Errors
    ///
    /// The run ends with this error.
    pub fn computed(&mut self, call: Duration) -> Result<(), JobError> {
        self.computed += call;
        if self.computed > self.computing_max {
            return Err(JobError::TooMuchComputing(self.computing_max));
        }
        Ok(())
    }

    /// Takes account of a request that is about to be made; the run began
    /// `elapsed` ago.
    ///
    /// # Errors
    ///
    /// The run ends with this error, and the request is not made.
    pub fn sends(&mut self, elapsed: Duration) -> Result<(), JobError> {
        if self.sends >= SENDS_MAX {
            return Err(JobError::TooManySteps(SENDS_MAX));
        }
        if self.requests >= REQUESTS_MAX {
            return Err(JobError::TooManyRequests(REQUESTS_MAX));
        }
        if elapsed > RUN_TIME_MAX {
            return Err(JobError::RunTooLong(RUN_TIME_MAX));
        }
        self.sends += 1;
        self.requests += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_run_has_bounds_on_requests_time_and_computing() {
        let mut run = RunBudget::new(3, SECOND);
        for _ in 0..64 {
            assert_eq!(run.sends(SECOND), Ok(()));
        }
        assert_eq!(run.requests(), 67);
        assert_eq!(run.sends(SECOND), Err(JobError::TooManySteps(64)));

        let mut run = RunBudget::new(65_535, SECOND);
        assert_eq!(run.sends(SECOND), Ok(()));
        assert_eq!(run.sends(SECOND), Err(JobError::TooManyRequests(65_536)));

        let mut run = RunBudget::new(0, SECOND);
        assert_eq!(run.sends(RUN_TIME_MAX), Ok(()));
        let late = run.sends(RUN_TIME_MAX + SECOND).unwrap_err();
        assert_eq!(
            late.to_string(),
            "one run of the adapter took more than 2 hours; a wait of 0 ms makes a checkpoint to \
             go on from"
        );

        let mut run = RunBudget::new(0, SECOND);
        for _ in 0..10 {
            assert_eq!(run.computed(SECOND), Ok(()));
        }
        let much = run.computed(Duration::from_millis(1)).unwrap_err();
        assert_eq!(much.to_string(), "the adapter computed for more than 10000 ms in one run");
    }
}
