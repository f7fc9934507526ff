//! The circuit breaker of one CSP: during an outage its jobs wait and do not
//! burn their attempts.
//!
//! It opens when calls of many different jobs have failed in a row for some
//! time. One job that fails and fails again says little about a CSP, and
//! neither does a burst within a second. While it is open nothing is taken from
//! the CSP's queues, and who has a call to make waits with it. After a pause it
//! is half open: one call is made, then, if that hangs, another after each
//! further pause, in the order in which they wait. The first answer closes the
//! breaker, and the next failure opens it for twice as long, up to a bound. A
//! call that fails while the breaker holds others back does not count as one of
//! its request's tries.
//!
//! It cannot hold jobs for ever: after a time it gives up, and stays out of the
//! way until the CSP has answered. So a job is delayed by no more than that, and
//! ends as it would without a breaker.

mod config;
mod machine;

use std::sync::Arc;
use std::time::Duration;

use metrics::counter;
use tokio::sync::Semaphore;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::info;
use tracing::warn;

pub use config::BreakerConfig;
pub use machine::Phase;

use hoth_core::domain::CspName;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;
use machine::Machine;

/// What one call says about the CSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It answered, be it to refuse.
    Answered,
    /// No connection, no answer, no token, or a gateway without it.
    Failed,
}

/// The breaker of one CSP. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Breaker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    csp: CspName,
    machine: watch::Sender<Machine>,
    /// One for who makes the call that shows whether the CSP is back. Those
    /// who wait get it in the order in which they came.
    probe: Arc<Semaphore>,
    clock: Clock,
}

/// Leave to take jobs from a queue, until the breaker changes.
#[derive(Debug, Clone, Copy)]
pub struct Admission {
    /// Take one job, and another when that one is over or this has passed.
    pub probe: Option<Duration>,
    epoch: u64,
}

/// Leave to make one call; given back when it is dropped.
#[derive(Debug)]
pub struct Pass {
    _probe: Option<oneshot::Sender<()>>,
}

/// What operators see of a breaker.
#[derive(Debug, Clone, Copy)]
pub struct BreakerStatus {
    pub phase: Phase,
    pub since: Timestamp,
    /// Different jobs with a failing call since the last answer, counted up to
    /// `failures`.
    pub failures: usize,
}

impl Breaker {
    pub fn new(csp: &CspName, config: &BreakerConfig, clock: Clock) -> Self {
        let machine = watch::Sender::new(Machine::new(config, Instant::now()));
        let probe = Arc::new(Semaphore::new(1));
        Self(Arc::new(Inner { csp: csp.clone(), machine, probe, clock }))
    }

    /// Takes note of how a call of `job`, begun at `called_at`, has ended.
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

    /// Whether jobs are held back now.
    pub fn holds(&self) -> bool {
        !self.0.machine.borrow().phase(Instant::now()).lets_through()
    }

    /// Waits until a call may be made.
    pub async fn pass(&self) -> Pass {
        let lets_through = self.until(Phase::lets_through);
        tokio::pin!(lets_through);
        // First come, first served, also over several pauses: so each gets its
        // turn, whoever else fails.
        let permit = tokio::select! {
            biased;
            _ = &mut lets_through => return Pass { _probe: None },
            permit = Arc::clone(&self.0.probe).acquire_owned() => {
                permit.expect("the semaphore is never closed")
            }
        };
        let pause = tokio::select! {
            biased;
            _ = &mut lets_through => return Pass { _probe: None },
            pause = self.until(|phase| phase == Phase::HalfOpen) => pause,
        };
        // A call that hangs must not keep the next one from finding out.
        let (probe, over) = oneshot::channel();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(pause, over).await;
            drop(permit);
        });
        Pass { _probe: Some(probe) }
    }

    /// Waits while the breaker is open.
    pub async fn admission(&self) -> Admission {
        self.until(|phase| phase != Phase::Open).await;
        let machine = self.0.machine.borrow();
        let lets_through = machine.phase(Instant::now()).lets_through();
        Admission { probe: machine.pause().filter(|_| !lets_through), epoch: machine.epoch() }
    }

    /// Returns when an admission holds no longer.
    pub async fn ended(&self, admission: &Admission) {
        let mut changes = self.0.machine.subscribe();
        let ended = changes.wait_for(|machine| machine.epoch() != admission.epoch).await;
        ended.expect("the sender lives as long as `self`");
    }

    /// Waits for a phase, and returns the length of its state's pause; zero
    /// where it has none.
    async fn until(&self, is_it: impl Fn(Phase) -> bool) -> Duration {
        let mut changes = self.0.machine.subscribe();
        loop {
            let now = Instant::now();
            let (phase, pause, changes_at) = {
                let machine = changes.borrow_and_update();
                (machine.phase(now), machine.pause(), machine.changes_at(now))
            };
            if is_it(phase) {
                return pause.unwrap_or_default();
            }
            let by_itself = async {
                match changes_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = by_itself => {}
                changed = changes.changed() => changed.expect("the sender lives as long as `self`"),
            }
        }
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
    pub fn lets_through(&self) -> bool {
        self.phase.lets_through()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(config: &str) -> Breaker {
        let config = toml::from_str(config).unwrap();
        Breaker::new(&"CSP_A".parse().unwrap(), &config, Clock::system())
    }

    const PAUSE: Duration = Duration::from_millis(100);
    const QUICK: &str = "failures = 1\nover_ms = 0\nopen_ms = 100\nmax_open_ms = 100";

    /// With a pause that no test sees the end of.
    const SLOW: &str = "failures = 1\nover_ms = 0\nopen_ms = 30000\nmax_open_ms = 30000";

    #[tokio::test]
    async fn nothing_is_admitted_while_it_is_open() {
        let breaker = breaker(SLOW);
        let first = breaker.admission().await;
        breaker.report("a", Instant::now(), Verdict::Failed);
        breaker.ended(&first).await;
        assert_eq!(breaker.status().phase, Phase::Open);
        let mut next = std::pin::pin!(breaker.admission());
        assert!(futures_util::poll!(next.as_mut()).is_pending());
    }

    #[tokio::test]
    async fn admissions_wait_while_it_is_open_and_end_when_it_changes() {
        let breaker = breaker(QUICK);
        let first = breaker.admission().await;
        assert!(first.probe.is_none());

        let begun = Instant::now();
        breaker.report("a", begun, Verdict::Failed);
        breaker.ended(&first).await;
        let second = breaker.admission().await;
        assert!(second.probe == Some(PAUSE) && begun.elapsed() >= PAUSE);
        assert_eq!(breaker.status().phase, Phase::HalfOpen);

        breaker.report("b", Instant::now(), Verdict::Answered);
        breaker.ended(&second).await;
        assert!(breaker.admission().await.probe.is_none());
    }

    /// Makes calls through `breaker` of which so many fail. Every job ends with
    /// a call that is answered, or fails when nobody is held. Returns the jobs
    /// in the order of their calls.
    async fn calls(breaker: &Breaker, jobs: &[&str], failing: usize) -> String {
        let made = std::sync::Mutex::new(String::new());
        let tasks = jobs.iter().map(|job| async {
            loop {
                let pass = breaker.pass().await;
                let called_at = Instant::now();
                let fails = {
                    let mut made = made.lock().unwrap();
                    made.push_str(job);
                    made.len() <= failing
                };
                let verdict = if fails { Verdict::Failed } else { Verdict::Answered };
                breaker.report(job, called_at, verdict);
                drop(pass);
                if !fails || !breaker.holds() {
                    return;
                }
            }
        });
        futures_util::future::join_all(tasks).await;
        std::mem::take(&mut *made.lock().unwrap())
    }

    #[tokio::test]
    async fn who_waits_gets_a_call_each_in_turn_until_one_is_answered() {
        let breaker = breaker(QUICK);
        let begun = Instant::now();
        breaker.report("x", begun, Verdict::Failed);
        let made = calls(&breaker, &["a", "b", "c"], 4).await;
        assert_eq!(made[..5], *"abcab", "{made}");
        assert_eq!(made.len(), 7, "the others go on at once: {made}");
        assert!(begun.elapsed() >= PAUSE * 5, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn nobody_is_held_longer_than_it_may_hold() {
        let breaker = breaker(&format!("{QUICK}\nmax_hold_ms = 350"));
        let begun = Instant::now();
        breaker.report("x", begun, Verdict::Failed);
        let made = calls(&breaker, &["a", "b", "c", "d", "e"], usize::MAX).await;
        assert!(begun.elapsed() >= Duration::from_millis(350), "{:?}", begun.elapsed());
        // Three pauses fit, and then each has one more.
        assert!((5..=8).contains(&made.len()), "{made}");
        assert_eq!(breaker.status().phase, Phase::GivenUp);
        assert!(breaker.admission().await.probe.is_none());
        breaker.report("c", Instant::now(), Verdict::Answered);
        assert_eq!(breaker.status().phase, Phase::Closed);
    }

    #[tokio::test]
    async fn a_call_that_hangs_keeps_the_next_one_waiting_for_one_pause_only() {
        let breaker = breaker(QUICK);
        let begun = Instant::now();
        breaker.report("x", begun, Verdict::Failed);
        let hanging = breaker.pass().await;
        assert!(begun.elapsed() >= PAUSE);
        let next = breaker.pass().await;
        assert!(begun.elapsed() >= PAUSE * 2);
        drop((hanging, next));
    }

    #[tokio::test]
    async fn a_call_that_is_given_up_makes_room_for_the_next_one_at_once() {
        let slow = breaker("failures = 1\nover_ms = 0\nopen_ms = 2000\nmax_open_ms = 2000");
        slow.report("x", Instant::now(), Verdict::Failed);
        let given_up = slow.pass().await;
        let mut next = std::pin::pin!(slow.pass());
        assert!(futures_util::poll!(next.as_mut()).is_pending(), "two calls at once");
        drop(given_up);
        // The task that keeps the place sees it at its next poll.
        let mut turns = 0;
        while futures_util::poll!(next.as_mut()).is_pending() {
            assert!(turns < 10, "it waits for a timer");
            turns += 1;
            tokio::task::yield_now().await;
        }
    }
}
