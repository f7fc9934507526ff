//! The circuit breaker of one CSP: during an outage its jobs wait in their
//! queues and do not burn their attempts.
//!
//! It opens when many different jobs have failed in a row for some time. One
//! job that fails and fails again says little about a CSP, and neither does a
//! burst within a second. While it is open nothing is taken from the CSP's
//! queues, and what is in hand goes on. After a pause it is half open: every
//! queue lets one job at a time through, which makes all its calls and ends as
//! it ends. The first answer closes the breaker, and the next failure opens it
//! for twice as long, up to a bound.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::info;
use tracing::warn;

use crate::clock::Clock;
use crate::domain::CspName;
use crate::domain::Timestamp;

/// The table `[csp.<NAME>.breaker]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerConfig {
    pub enabled: bool,
    /// How many different jobs must fail, with no answer between them.
    pub failures: NonZeroU32,
    /// How long that must have gone on.
    pub over_ms: u64,
    /// The first pause; doubled after each failure that follows it.
    pub open_ms: NonZeroU64,
    /// The bound on that doubling.
    pub max_open_ms: NonZeroU64,
}

/// What one request says about the CSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It answered, be it to refuse.
    Answered,
    /// No connection, no answer, no token, or a 5xx, after all its tries.
    Failed,
}

/// The breaker of one CSP. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Breaker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    csp: CspName,
    machine: watch::Sender<Machine>,
    clock: Clock,
}

/// Leave to take jobs from a queue, until the breaker changes.
#[derive(Debug, Clone, Copy)]
pub struct Admission {
    /// One job, and another only when that one is over.
    pub probe: bool,
    epoch: u64,
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Closed,
    Open,
    HalfOpen,
}

/// What operators see of a breaker.
#[derive(Debug, Clone, Copy)]
pub struct BreakerStatus {
    pub phase: Phase,
    pub since: Timestamp,
    /// Different jobs that have failed since the last answer, counted up to
    /// `failures`.
    pub failures: usize,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        // More than the jobs that go wrong on an ordinary day, over longer than
        // it takes to restart a service behind a load balancer.
        Self {
            enabled: true,
            failures: const { NonZeroU32::new(20).expect("twenty is not zero") },
            over_ms: 5_000,
            open_ms: const { NonZeroU64::new(5_000).expect("five thousand is not zero") },
            max_open_ms: const { NonZeroU64::new(30_000).expect("it is not zero") },
        }
    }
}

impl BreakerConfig {
    /// The failing jobs are remembered by name.
    const FAILURES_MAX: u32 = 1_000;
    /// Jobs that wait must find out soon that the CSP is back.
    const OPEN_MS_MAX: u64 = 300_000;

    /// What cannot be meant, by key.
    pub fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let mut found = Vec::new();
        if self.failures.get() > Self::FAILURES_MAX {
            found.push(("failures", "must be at most 1000"));
        }
        if self.over_ms > Self::OPEN_MS_MAX {
            found.push(("over_ms", "must be at most 300000"));
        }
        if self.max_open_ms.get() > Self::OPEN_MS_MAX {
            found.push(("max_open_ms", "must be at most 300000"));
        }
        if self.open_ms > self.max_open_ms {
            found.push(("open_ms", "must be at most `max_open_ms`"));
        }
        found
    }
}

impl Breaker {
    pub fn new(csp: &CspName, config: &BreakerConfig, clock: Clock) -> Self {
        let machine = watch::Sender::new(Machine::new(config, Instant::now()));
        Self(Arc::new(Inner { csp: csp.clone(), machine, clock }))
    }

    /// Takes note of how a request of `job` ended. `called_at` is when its last
    /// call began: a failure that was under way when the state changed says
    /// nothing about the time since.
    pub fn report(&self, job: &str, called_at: Instant, verdict: Verdict) {
        let csp = &self.0.csp;
        let mut pause = None;
        let changed = self.0.machine.send_if_modified(|machine| {
            let changed = match verdict {
                Verdict::Answered => machine.answered(Instant::now()),
                Verdict::Failed => machine.failed(job, called_at, Instant::now()),
            };
            pause = machine.pause();
            changed
        });
        match (changed, pause) {
            (false, _) => {}
            (true, Some(pause)) => {
                counter!("hoth_breaker_openings_total", "csp" => csp.to_string()).increment(1);
                warn!(%csp, event = "breaker-open", "{csp} does not answer; its jobs wait {pause:?}");
            }
            (true, None) => {
                info!(%csp, event = "breaker-closed", "{csp} answers again; jobs go on")
            }
        }
    }

    /// Waits while the breaker is open.
    pub async fn admission(&self) -> Admission {
        let mut changes = self.0.machine.subscribe();
        loop {
            let (phase, epoch, until) = {
                let machine = changes.borrow_and_update();
                (machine.phase(Instant::now()), machine.epoch, machine.until())
            };
            match (phase, until) {
                (Phase::Closed, _) => return Admission { probe: false, epoch },
                (Phase::HalfOpen, _) => return Admission { probe: true, epoch },
                (Phase::Open, until) => {
                    let until = until.expect("an open breaker has a time to end");
                    tokio::select! {
                        () = tokio::time::sleep_until(until) => {}
                        changed = changes.changed() => {
                            changed.expect("the sender lives as long as `self`");
                        }
                    }
                }
            }
        }
    }

    /// Returns when an admission holds no longer.
    pub async fn ended(&self, admission: &Admission) {
        let mut changes = self.0.machine.subscribe();
        let ended = changes.wait_for(|machine| machine.epoch != admission.epoch).await;
        ended.expect("the sender lives as long as `self`");
    }

    pub fn status(&self) -> BreakerStatus {
        let (now, clock_now) = (Instant::now(), self.0.clock.now());
        let machine = self.0.machine.borrow();
        let phase = machine.phase(now);
        let lasted = u64::try_from(machine.lasted(now).as_millis()).unwrap_or(u64::MAX);
        let since = Timestamp::from_millis(clock_now.as_millis().saturating_sub(lasted));
        BreakerStatus { phase, since, failures: machine.failures() }
    }
}

impl BreakerStatus {
    /// Whether jobs are taken as usual.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// The rules. Pure: it is told the time.
#[derive(Debug)]
struct Machine {
    enabled: bool,
    failures_max: usize,
    over: Duration,
    pause_first: Duration,
    pause_max: Duration,
    state: State,
    /// When the state began.
    since: Instant,
    /// Counts states.
    epoch: u64,
}

#[derive(Debug)]
enum State {
    Closed {
        /// The jobs that have failed since the last answer, and when the first
        /// of them did.
        run: Option<(Instant, BTreeSet<String>)>,
    },
    /// Half open when the pause is over.
    Open { pause: Duration },
}

impl Machine {
    fn new(config: &BreakerConfig, now: Instant) -> Self {
        Self {
            enabled: config.enabled,
            failures_max: config.failures.get() as usize,
            over: Duration::from_millis(config.over_ms),
            pause_first: Duration::from_millis(config.open_ms.get()),
            pause_max: Duration::from_millis(config.max_open_ms.get()),
            state: State::Closed { run: None },
            since: now,
            epoch: 0,
        }
    }

    /// Whether the state has changed.
    fn answered(&mut self, now: Instant) -> bool {
        match &mut self.state {
            State::Closed { run } => {
                *run = None;
                false
            }
            State::Open { .. } => self.enter(State::Closed { run: None }, now),
        }
    }

    /// Whether the state has changed.
    fn failed(&mut self, job: &str, called_at: Instant, now: Instant) -> bool {
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
                enough && long_enough && self.enter(State::Open { pause }, now)
            }
            (State::Open { .. }, Phase::Open | Phase::Closed) => false,
            (State::Open { pause }, Phase::HalfOpen) => {
                let pause = (*pause * 2).min(self.pause_max);
                self.enter(State::Open { pause }, now)
            }
        }
    }

    fn enter(&mut self, state: State, now: Instant) -> bool {
        self.state = state;
        self.since = now;
        self.epoch += 1;
        true
    }

    fn phase(&self, now: Instant) -> Phase {
        match self.until() {
            None => Phase::Closed,
            Some(until) if now < until => Phase::Open,
            Some(_) => Phase::HalfOpen,
        }
    }

    fn pause(&self) -> Option<Duration> {
        match self.state {
            State::Closed { .. } => None,
            State::Open { pause } => Some(pause),
        }
    }

    /// When the pause is over.
    fn until(&self) -> Option<Instant> {
        self.pause().map(|pause| self.since + pause)
    }

    /// How long it has been in its phase.
    fn lasted(&self, now: Instant) -> Duration {
        let half_open_since = self.until().filter(|until| *until <= now);
        now.duration_since(half_open_since.unwrap_or(self.since))
    }

    fn failures(&self) -> usize {
        match &self.state {
            State::Closed { run } => run.as_ref().map_or(0, |(_, jobs)| jobs.len()),
            State::Open { .. } => self.failures_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three jobs over one second; pauses of 10, 20, 40 and then 50 seconds.
    fn machine(start: Instant) -> Machine {
        let config =
            toml::from_str("failures = 3\nover_ms = 1000\nopen_ms = 10000\nmax_open_ms = 50000");
        Machine::new(&config.unwrap(), start)
    }

    /// Plays a story of `<second> <what>`, and says after each line where the
    /// breaker stands. `what` is `ok`, the name of a failing job, perhaps with
    /// `@<second>` when its call began, or `-` for nothing.
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
    fn one_that_is_switched_off_stays_closed() {
        let config = toml::from_str("enabled = false\nfailures = 1\nover_ms = 0").unwrap();
        let now = Instant::now();
        let mut machine = Machine::new(&config, now);
        assert!(!machine.failed("a", now, now));
        assert_eq!(machine.phase(now), Phase::Closed);
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        let check = |toml: &str, expected: &[&str]| {
            let config: BreakerConfig = toml::from_str(toml).unwrap();
            let keys: Vec<_> = config.problems().into_iter().map(|(key, _)| key).collect();
            assert_eq!(keys, expected, "{toml}");
        };
        check("", &[]);
        check("open_ms = 1\nmax_open_ms = 1\nfailures = 1000\nover_ms = 300000", &[]);
        check("failures = 1001\nover_ms = 300001", &["failures", "over_ms"]);
        check("max_open_ms = 300001", &["max_open_ms"]);
        check("open_ms = 30001", &["open_ms"]);
        assert!(toml::from_str::<BreakerConfig>("failures = 0").is_err());
    }

    #[tokio::test]
    async fn admissions_wait_while_it_is_open_and_end_when_it_changes() {
        let config = toml::from_str("failures = 1\nover_ms = 0\nopen_ms = 50").unwrap();
        let breaker = Breaker::new(&"CSP_A".parse().unwrap(), &config, Clock::system());
        let first = breaker.admission().await;
        assert!(!first.probe);

        breaker.report("a", Instant::now(), Verdict::Failed);
        breaker.ended(&first).await;
        assert_eq!(breaker.status().phase, Phase::Open);
        let begun = Instant::now();
        let second = breaker.admission().await;
        assert!(second.probe && begun.elapsed() >= Duration::from_millis(40));
        assert_eq!(breaker.status().phase, Phase::HalfOpen);

        breaker.report("b", Instant::now(), Verdict::Answered);
        breaker.ended(&second).await;
        assert!(!breaker.admission().await.probe);
    }
}
