//! The states of a breaker and the transitions between them. Pure: the caller
//! passes the time.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::config::BreakerConfig;

/// The phase of a breaker, as operators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerPhase {
    /// All jobs run.
    Closed,
    /// No job runs.
    Open,
    /// One call at a time probes the CSP.
    HalfOpen,
    /// The breaker was open for the longest allowed time. All jobs run, and the
    /// phase lasts until the CSP responds.
    GivenUp,
}

impl BreakerPhase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::GivenUp => "given-up",
        }
    }

    /// Returns true if jobs run as usual.
    pub fn allows_jobs(self) -> bool {
        match self {
            Self::Closed | Self::GivenUp => true,
            Self::Open | Self::HalfOpen => false,
        }
    }
}

/// The effect of a call on the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    Unchanged,
    /// The breaker opened.
    Opened {
        pause: Duration,
    },
    /// The breaker opened again after a failed probe.
    OpenedAgain {
        pause: Duration,
    },
    /// The breaker closed, this long after it first opened.
    Closed {
        after: Duration,
    },
}

/// The state of a breaker.
#[derive(Debug)]
pub struct BreakerState {
    enabled: bool,
    failures_max: usize,
    over: Duration,
    pause_first: Duration,
    pause_max: Duration,
    hold_max: Duration,
    circuit: Circuit,
    /// The start of the current circuit state.
    since: Instant,
    /// The number of changes so far. It tells a permit that was given before a
    /// change from one that was given after it.
    epoch: u64,
}

/// The stored part of the phase. Half-open and given-up follow from `Open` by
/// time alone, so no timer has to store them.
#[derive(Debug)]
enum Circuit {
    Closed {
        /// The jobs with a failed call since the last response, and the time of
        /// the first such failure.
        run: Option<(Instant, BTreeSet<String>)>,
    },
    Open {
        pause: Duration,
        /// The time of the first opening since the last response.
        first: Instant,
    },
}

impl BreakerState {
    pub fn new(config: &BreakerConfig, now: Instant) -> Self {
        Self {
            enabled: config.enabled,
            failures_max: config.failures.get() as usize,
            over: Duration::from_millis(config.over_ms),
            pause_first: Duration::from_millis(config.open_ms.get()),
            pause_max: Duration::from_millis(config.max_open_ms.get()),
            hold_max: Duration::from_millis(config.max_hold_ms.get()),
            circuit: Circuit::Closed { run: None },
            since: now,
            epoch: 0,
        }
    }

    /// Records a response, including a refusal. Closes an open breaker, even if
    /// the call began before it opened: any response shows that the CSP is up.
    pub fn record_response(&mut self, now: Instant) -> Transition {
        match &mut self.circuit {
            Circuit::Closed { run } => {
                *run = None;
                Transition::Unchanged
            }
            Circuit::Open { first, .. } => {
                let after = now.duration_since(*first);
                self.enter(Circuit::Closed { run: None }, now);
                Transition::Closed { after }
            }
        }
    }

    /// Records the failure of a call of `job` that began at `called_at`.
    pub fn record_failure(&mut self, job: &str, called_at: Instant, now: Instant) -> Transition {
        // A call that was under way at the last change says nothing about the
        // time since. Without this check the calls that were running when the
        // breaker opened would each double its pause.
        if !self.enabled || called_at < self.since {
            return Transition::Unchanged;
        }
        let phase = self.phase(now);
        match (&mut self.circuit, phase) {
            (Circuit::Closed { run }, _) => {
                let (first, jobs) = run.get_or_insert_with(|| (now, BTreeSet::new()));
                // Bounds the set during a long run of failures within `over`.
                if jobs.len() < self.failures_max {
                    jobs.insert(job.to_owned());
                }
                let enough = jobs.len() >= self.failures_max;
                let long_enough = now.duration_since(*first) >= self.over;
                if enough && long_enough {
                    let pause = self.pause_first;
                    self.enter(Circuit::Open { pause, first: now }, now);
                    Transition::Opened { pause }
                } else {
                    Transition::Unchanged
                }
            }
            // While the breaker is open no call begins. After giving
            // up, failures change nothing until the first response.
            (
                Circuit::Open { .. },
                BreakerPhase::Open | BreakerPhase::Closed | BreakerPhase::GivenUp,
            ) => Transition::Unchanged,
            (Circuit::Open { pause, first }, BreakerPhase::HalfOpen) => {
                let (pause, first) = ((*pause * 2).min(self.pause_max), *first);
                self.enter(Circuit::Open { pause, first }, now);
                Transition::OpenedAgain { pause }
            }
        }
    }

    fn enter(&mut self, circuit: Circuit, now: Instant) {
        self.circuit = circuit;
        self.since = now;
        self.epoch += 1;
    }

    /// Returns the phase at a time.
    pub fn phase(&self, now: Instant) -> BreakerPhase {
        match self.circuit {
            Circuit::Closed { .. } => BreakerPhase::Closed,
            // Checked first: the bound on holding jobs cuts the last pause off.
            Circuit::Open { first, .. } if now >= first + self.hold_max => BreakerPhase::GivenUp,
            Circuit::Open { pause, .. } if now >= self.since + pause => BreakerPhase::HalfOpen,
            Circuit::Open { .. } => BreakerPhase::Open,
        }
    }

    /// Returns the time at which the phase changes without a call, or `None` if
    /// only a call can change it.
    pub fn changes_at(&self, now: Instant) -> Option<Instant> {
        match self.circuit {
            Circuit::Closed { .. } => None,
            Circuit::Open { pause, first } => {
                let (half_open, given_up) = (self.since + pause, first + self.hold_max);
                [half_open.min(given_up), given_up].into_iter().find(|at| now < *at)
            }
        }
    }

    /// Returns the length of the current pause, or `None` if the breaker is
    /// closed.
    pub fn pause(&self) -> Option<Duration> {
        match self.circuit {
            Circuit::Closed { .. } => None,
            Circuit::Open { pause, .. } => Some(pause),
        }
    }

    /// Returns the time for which the current phase has lasted.
    pub fn lasted(&self, now: Instant) -> Duration {
        let began = match self.circuit {
            Circuit::Closed { .. } => self.since,
            Circuit::Open { pause, first } => match self.phase(now) {
                BreakerPhase::Closed | BreakerPhase::Open => self.since,
                BreakerPhase::HalfOpen => self.since + pause,
                BreakerPhase::GivenUp => first + self.hold_max,
            },
        };
        now.duration_since(began)
    }

    /// Returns the number of different jobs with a failed call since the last
    /// response, counted up to the number that opens the breaker.
    pub fn failures(&self) -> usize {
        match &self.circuit {
            Circuit::Closed { run } => run.as_ref().map_or(0, |(_, jobs)| jobs.len()),
            Circuit::Open { .. } => self.failures_max,
        }
    }

    /// Returns a number that changes with each change of the breaker.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a breaker that opens after three jobs over one second, pauses for
    /// 10, 20, 40 and then 50 seconds, and gives up after 200.
    fn breaker(start: Instant) -> BreakerState {
        let config = toml::from_str(
            "failures = 3\nover_ms = 1000\nopen_ms = 10000\nmax_open_ms = 50000\nmax_hold_ms = 200000",
        );
        BreakerState::new(&config.unwrap(), start)
    }

    /// Plays a list of `(second, event, expected phase)`. The event is `ok` for
    /// a response, the id of a job whose call fails, or `-` for nothing. An
    /// `@<second>` after the job is the start of its call.
    #[track_caller]
    fn check(events: &[(u64, &str, &str)]) {
        let start = Instant::now();
        let mut state = breaker(start);
        let at = |second: u64| start + Duration::from_secs(second);
        for (second, event, expected) in events {
            let now = at(*second);
            match event.split_once('@') {
                _ if *event == "-" => {}
                _ if *event == "ok" => {
                    state.record_response(now);
                }
                Some((job, called_at)) => {
                    state.record_failure(job, at(called_at.parse().unwrap()), now);
                }
                None => {
                    state.record_failure(event, now, now);
                }
            }
            let phase = match state.phase(now) {
                BreakerPhase::Closed => format!("closed {}", state.failures()),
                BreakerPhase::Open => format!("open {}", state.pause().unwrap().as_secs()),
                BreakerPhase::HalfOpen => format!("half-open {}", state.lasted(now).as_secs()),
                BreakerPhase::GivenUp => format!("given-up {}", state.lasted(now).as_secs()),
            };
            assert_eq!(phase, *expected, "{second} {event}");
        }
    }

    #[test]
    fn failures_of_several_jobs_over_time_open_the_breaker() {
        check(&[(0, "a", "closed 1"), (1, "b", "closed 2"), (2, "c", "open 10")]);
    }

    #[test]
    fn one_failing_job_does_not_open_the_breaker() {
        check(&[
            (0, "a", "closed 1"),
            (60, "a", "closed 1"),
            (120, "b", "closed 2"),
            (600, "a", "closed 2"),
        ]);
    }

    #[test]
    fn a_burst_of_failures_does_not_open_the_breaker() {
        check(&[
            (0, "a", "closed 1"),
            (0, "b", "closed 2"),
            (0, "c", "closed 3"),
            (0, "d", "closed 3"),
            (1, "d", "open 10"),
        ]);
    }

    #[test]
    fn a_response_resets_the_count_of_failures() {
        check(&[
            (0, "a", "closed 1"),
            (1, "b", "closed 2"),
            (2, "ok", "closed 0"),
            (3, "c", "closed 1"),
            (4, "d", "closed 2"),
            (5, "e", "open 10"),
        ]);
    }

    #[test]
    fn the_breaker_is_half_open_after_each_pause_and_pauses_double_up_to_a_bound() {
        check(&[
            (0, "a", "closed 1"),
            (0, "b", "closed 2"),
            (2, "c", "open 10"),
            (11, "-", "open 10"),
            (12, "-", "half-open 0"),
            (15, "-", "half-open 3"),
            (15, "d", "open 20"),
            (35, "e", "open 40"),
            (75, "f", "open 50"),
            (125, "g", "open 50"),
            (175, "ok", "closed 0"),
            (176, "a", "closed 1"),
            (177, "b", "closed 2"),
            (178, "c", "open 10"),
        ]);
    }

    #[test]
    fn the_breaker_gives_up_after_the_longest_hold_until_the_next_response() {
        check(&[
            (0, "a", "closed 1"),
            (0, "b", "closed 2"),
            (2, "c", "open 10"),
            (15, "d", "open 20"),
            (201, "-", "half-open 166"),
            (202, "-", "given-up 0"),
            (205, "e", "given-up 3"),
            (900, "f", "given-up 698"),
            (901, "ok", "closed 0"),
            (902, "a", "closed 1"),
            (903, "b", "closed 2"),
            (904, "c", "open 10"),
            (1_103, "-", "half-open 189"),
            (1_104, "-", "given-up 0"),
        ]);
    }

    #[test]
    fn failures_of_calls_from_before_a_change_are_ignored_and_responses_are_not() {
        check(&[
            (0, "a", "closed 1"),
            (0, "b", "closed 2"),
            (2, "c", "open 10"),
            (3, "d@1", "open 10"),
            (13, "e@1", "half-open 1"),
            (14, "ok", "closed 0"),
            (15, "f@13", "closed 0"),
            (16, "f@14", "closed 1"),
        ]);
        check(&[
            (0, "a", "closed 1"),
            (0, "b", "closed 2"),
            (2, "c", "open 10"),
            (3, "ok", "closed 0"),
        ]);
    }

    #[test]
    fn the_time_of_the_next_change_is_known() {
        let start = Instant::now();
        let mut state = breaker(start);
        let at = |second: u64| start + Duration::from_secs(second);
        assert_eq!(state.changes_at(start), None);
        for (job, second) in [("a", 0), ("b", 0), ("c", 2)] {
            state.record_failure(job, at(second), at(second));
        }
        assert_eq!(state.changes_at(at(2)), Some(at(12)));
        assert_eq!(state.changes_at(at(12)), Some(at(202)));
        assert_eq!(state.changes_at(at(202)), None);
        state.record_failure("d", at(190), at(190));
        assert_eq!(state.changes_at(at(190)), Some(at(202)), "no pause outlasts the longest hold");
    }

    #[test]
    fn a_disabled_breaker_stays_closed() {
        let config = toml::from_str("enabled = false\nfailures = 1\nover_ms = 0").unwrap();
        let now = Instant::now();
        let mut state = BreakerState::new(&config, now);
        assert_eq!(state.record_failure("a", now, now), Transition::Unchanged);
        assert_eq!(state.phase(now), BreakerPhase::Closed);
    }
}
