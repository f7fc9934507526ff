//! The budget of one run of an adapter, over all its calls and requests.

use std::time::Duration;

use super::JobError;

/// The most requests in one run. The longest known run makes four; the
/// bound ends adapters that never come to a decision.
const SENDS_MAX: u32 = 64;

/// The most requests in one job, over all its runs: four with each of the
/// polls of ten days, one poll a minute.
const REQUESTS_MAX: u32 = 65_536;

/// The time that the calls of one run may compute together, in deadlines of one
/// call. Each call has its own deadline; this bound ends adapters that use up
/// every one of them.
const DEADLINES_MAX: u32 = 10;

/// The time after which a run makes no further request. Four requests fit, each
/// tried three times at a CSP that takes its whole 300 s each time. Longer work
/// belongs in a `wait`, during which nothing is held.
const RUN_TIME_MAX: Duration = Duration::from_secs(2 * 3_600);

/// The rest of the budget. Pure: the caller measures the time.
#[derive(Debug)]
pub struct RunBudget {
    sends: u32,
    /// The job's requests so far, earlier runs included.
    requests: u32,
    computed: Duration,
    computing_max: Duration,
}

impl RunBudget {
    /// Makes the budget of a run. The job has made `requests` before it, and
    /// each call of the adapter has the deadline `call_deadline`.
    pub fn new(requests: u32, call_deadline: Duration) -> Self {
        let computing_max = call_deadline * DEADLINES_MAX;
        Self { sends: 0, requests, computed: Duration::ZERO, computing_max }
    }

    /// Returns the job's requests so far.
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// Charges a call into the adapter.
    ///
    /// # Errors
    ///
    /// The calls of the run have computed for too long: the run ends.
    pub fn computed(&mut self, call: Duration) -> Result<(), JobError> {
        // Charged after the call, whose own deadline bounds it: a run exceeds
        // its bound by one call at most.
        self.computed += call;
        if self.computed > self.computing_max {
            return Err(JobError::TooMuchComputing(self.computing_max));
        }
        Ok(())
    }

    /// Charges a request that is about to be sent; the run began `elapsed` ago.
    ///
    /// # Errors
    ///
    /// A bound is reached: the run ends, and the request is not sent.
    pub fn sends(&mut self, elapsed: Duration) -> Result<(), JobError> {
        // Every bound is checked before anything is counted: `requests` is
        // stored with the job, and must not count a request that was not sent.
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
            "one run of the adapter took more than 2 hours; a wait with the purpose \
             `checkpoint` is a point to resume from"
        );

        let mut run = RunBudget::new(0, SECOND);
        for _ in 0..10 {
            assert_eq!(run.computed(SECOND), Ok(()));
        }
        let much = run.computed(Duration::from_millis(1)).unwrap_err();
        assert_eq!(much.to_string(), "the adapter computed for more than 10000 ms in one run");
    }
}
