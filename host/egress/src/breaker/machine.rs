//! The rules of a breaker. Pure: they are told the time.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::config::BreakerConfig;

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// All jobs go on.
    Closed,
    /// None does.
    Open,
    /// One call is let through, to see.
    HalfOpen,
    /// It was open for as long as it may be. All jobs go on, and it stays like
    /// this until the CSP answers.
    GivenUp,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::GivenUp => "given-up",
        }
    }

    /// Whether jobs go on as usual.
    pub fn lets_through(self) -> bool {
        match self {
            Self::Closed | Self::GivenUp => true,
            Self::Open | Self::HalfOpen => false,
        }
    }
}

#[derive(Debug)]
pub struct Machine {
    enabled: bool,
    failures_max: usize,
    over: Duration,
    pause_first: Duration,
    pause_max: Duration,
    hold_max: Duration,
    state: State,
    /// When the state began.
    since: Instant,
    /// Counts states.
    epoch: u64,
}

#[derive(Debug)]
enum State {
    Closed {
        /// The jobs that had a failing call since the last answer, and when
        /// the first of them had it.
        run: Option<(Instant, BTreeSet<String>)>,
    },
    /// Half open when the pause is over.
    Open {
        pause: Duration,
        /// When it opened first, with no answer since.
        first: Instant,
    },
}

impl Machine {
    pub fn new(config: &BreakerConfig, now: Instant) -> Self {
        Self {
            enabled: config.enabled,
            failures_max: config.failures.get() as usize,
            over: Duration::from_millis(config.over_ms),
            pause_first: Duration::from_millis(config.open_ms.get()),
            pause_max: Duration::from_millis(config.max_open_ms.get()),
            hold_max: Duration::from_millis(config.max_hold_ms.get()),
            state: State::Closed { run: None },
            since: now,
            epoch: 0,
        }
    }

    /// Takes note of an answer, be it a refusal. Whether the state has changed.
    pub fn answered(&mut self, now: Instant) -> bool {
        match &mut self.state {
            State::Closed { run } => {
                *run = None;
                false
            }
            State::Open { .. } => self.enter(State::Closed { run: None }, now),
        }
    }

    /// Takes note of a call of `job` that began at `called_at` and has failed.
    /// One that was under way when the state changed says nothing about the
    /// time since. Whether the state has changed.
    pub fn failed(&mut self, job: &str, called_at: Instant, now: Instant) -> bool {
        if !self.enabled || called_at < self.since {
            return false;
        }
        let phase = self.phase(now);
        match (&mut self.state, phase) {
            (State::Closed { run }, _) => {
                let (first, jobs) = run.get_or_insert_with(|| (now, BTreeSet::new()));
                if jobs.len() < self.failures_max {
                    jobs.insert(job.to_owned());
                }
                let enough = jobs.len() >= self.failures_max;
                let long_enough = now.duration_since(*first) >= self.over;
                let pause = self.pause_first;
                enough && long_enough && self.enter(State::Open { pause, first: now }, now)
            }
            (State::Open { .. }, Phase::Open | Phase::Closed | Phase::GivenUp) => false,
            (State::Open { pause, first }, Phase::HalfOpen) => {
                let (pause, first) = ((*pause * 2).min(self.pause_max), *first);
                self.enter(State::Open { pause, first }, now)
            }
        }
    }

    fn enter(&mut self, state: State, now: Instant) -> bool {
        self.state = state;
        self.since = now;
        self.epoch += 1;
        true
    }

    pub fn phase(&self, now: Instant) -> Phase {
        match self.state {
            State::Closed { .. } => Phase::Closed,
            State::Open { first, .. } if now >= first + self.hold_max => Phase::GivenUp,
            State::Open { pause, .. } if now >= self.since + pause => Phase::HalfOpen,
            State::Open { .. } => Phase::Open,
        }
    }

    /// When the phase changes by itself, if nothing is reported.
    pub fn changes_at(&self, now: Instant) -> Option<Instant> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { pause, first } => {
                let (half_open, given_up) = (self.since + pause, first + self.hold_max);
                [half_open.min(given_up), given_up].into_iter().find(|at| now < *at)
            }
        }
    }

    /// How long it pauses; none: it is closed.
    pub fn pause(&self) -> Option<Duration> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { pause, .. } => Some(pause),
        }
    }

    /// How long it has been in its phase.
    pub fn lasted(&self, now: Instant) -> Duration {
        let began = match self.state {
            State::Closed { .. } => self.since,
            State::Open { pause, first } => match self.phase(now) {
                Phase::Closed | Phase::Open => self.since,
                Phase::HalfOpen => self.since + pause,
                Phase::GivenUp => first + self.hold_max,
            },
        };
        now.duration_since(began)
    }

    /// Different jobs with a failing call since the last answer, counted up to
    /// the number that opens it.
    pub fn failures(&self) -> usize {
        match &self.state {
            State::Closed { run } => run.as_ref().map_or(0, |(_, jobs)| jobs.len()),
            State::Open { .. } => self.failures_max,
        }
    }

    /// Distinguishes a state from the ones before.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three jobs over one second; pauses of 10, 20, 40 and then 50 seconds;
    /// given up after 200.
    fn machine(start: Instant) -> Machine {
        let config = toml::from_str(
            "failures = 3\nover_ms = 1000\nopen_ms = 10000\nmax_open_ms = 50000\nmax_hold_ms = 200000",
        );
        Machine::new(&config.unwrap(), start)
    }

    /// Plays a story of `<second> <what>`, and says after each line where the
    /// breaker stands. `what` is `ok`, the name of a job whose call fails,
    /// perhaps with `@<second>` when that began, or `-` for nothing.
    #[track_caller]
    fn check(story: &[(u64, &str, &str)]) {
        let start = Instant::now();
        let mut machine = machine(start);
        let at = |second: u64| start + Duration::from_secs(second);
        for (second, what, expected) in story {
            let now = at(*second);
            match what.split_once('@') {
                _ if *what == "-" => {}
                _ if *what == "ok" => drop(machine.answered(now)),
                Some((job, begun)) => drop(machine.failed(job, at(begun.parse().unwrap()), now)),
                None => drop(machine.failed(what, now, now)),
            }
            let said = match machine.phase(now) {
                Phase::Closed => format!("closed {}", machine.failures()),
                Phase::Open => format!("open {}", machine.pause().unwrap().as_secs()),
                Phase::HalfOpen => format!("half-open {}", machine.lasted(now).as_secs()),
                Phase::GivenUp => format!("given-up {}", machine.lasted(now).as_secs()),
            };
            assert_eq!(said, *expected, "{second} {what}");
        }
    }

    #[test]
    fn many_jobs_in_a_row_over_some_time_open_it() {
        check(&[(0, "a", "closed 1"), (1, "b", "closed 2"), (2, "c", "open 10")]);
    }

    #[test]
    fn one_job_that_fails_for_ever_does_not() {
        check(&[
            (0, "a", "closed 1"),
            (60, "a", "closed 1"),
            (120, "b", "closed 2"),
            (600, "a", "closed 2"),
        ]);
    }

    #[test]
    fn a_burst_does_not() {
        check(&[
            (0, "a", "closed 1"),
            (0, "b", "closed 2"),
            (0, "c", "closed 3"),
            (0, "d", "closed 3"),
            (1, "d", "open 10"),
        ]);
    }

    #[test]
    fn any_answer_between_them_begins_anew() {
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
    fn it_is_half_open_after_each_pause_and_the_pauses_grow_up_to_a_bound() {
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
    fn it_gives_up_after_a_time_and_begins_anew_with_the_first_answer() {
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
    fn what_was_in_hand_when_it_changed_is_old_news_unless_it_is_good() {
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
    fn it_says_when_it_changes_by_itself() {
        let start = Instant::now();
        let mut machine = machine(start);
        let at = |second: u64| start + Duration::from_secs(second);
        assert_eq!(machine.changes_at(start), None);
        for (job, second) in [("a", 0), ("b", 0), ("c", 2)] {
            machine.failed(job, at(second), at(second));
        }
        assert_eq!(machine.changes_at(at(2)), Some(at(12)));
        assert_eq!(machine.changes_at(at(12)), Some(at(202)));
        assert_eq!(machine.changes_at(at(202)), None);
        machine.failed("d", at(190), at(190));
        assert_eq!(machine.changes_at(at(190)), Some(at(202)), "and no pause outlasts it");
    }

    #[test]
    fn one_that_is_switched_off_stays_closed() {
        let config = toml::from_str("enabled = false\nfailures = 1\nover_ms = 0").unwrap();
        let now = Instant::now();
        let mut machine = Machine::new(&config, now);
        assert!(!machine.failed("a", now, now));
        assert_eq!(machine.phase(now), Phase::Closed);
    }
}
