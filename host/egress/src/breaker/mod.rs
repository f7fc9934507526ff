//! The circuit breaker of one origin of a CSP: during an outage jobs wait and
//! keep their tries.
//!
//! The breaker opens when calls of many different jobs have failed in a row for
//! some time. One job that fails repeatedly says little about a CSP, and neither
//! does a burst within a second. While the breaker is open, no job is received
//! from the CSP's queues, and calls of running jobs wait. After a pause the
//! breaker is half open: one call probes the CSP. If that call hangs, another
//! one follows after each further pause, in the order of their arrival. The
//! first response closes the breaker. A failed probe opens it for twice as long,
//! up to a bound. A failed probe does not count as one of its request's tries.
//!
//! The time for which jobs are held is bounded: then the breaker gives up and
//! lets all jobs run until the CSP responds. So a job is delayed by no more than
//! that bound, and ends as it would without a breaker.

mod config;
mod history;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::info;
use tracing::warn;

pub use config::BreakerConfig;
pub use history::BreakerChange;
pub use history::BreakerChangeKind;
pub use history::FailureCause;
pub use state::BreakerPhase;

use history::History;
use hoth_core::domain::CspName;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;
use state::BreakerState;
use state::Transition;

/// The evidence of one call about the health of the CSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallHealth {
    /// The CSP responded, perhaps with a refusal.
    Responded,
    /// No connection, no response, no token, or a gateway without its service.
    Failed(FailureCause),
}

/// The breaker of one origin of a CSP. Cheap to clone; clones share their state.
#[derive(Debug, Clone)]
pub struct Breaker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    csp: CspName,
    /// The origin in log lines: the name of the CSP for that of its base URL.
    peer: String,
    /// Watched, so that waiting calls and permits notice each change.
    state: watch::Sender<BreakerState>,
    /// The slot of the probing call. The semaphore is fair, so that waiting
    /// calls get the slot in the order of their arrival.
    probe: Arc<Semaphore>,
    openings: AtomicU64,
    history: Mutex<History>,
    clock: Clock,
}

/// The permission to receive jobs from a queue, until the breaker changes.
#[derive(Debug, Clone, Copy)]
pub struct ReceivePermit {
    /// If set, one job may be received, and another when that job has ended or
    /// this time has passed.
    pub probe: Option<Duration>,
    /// The epoch of the breaker for which the permit holds.
    epoch: u64,
}

/// The permission to make one call, returned when it is dropped.
#[derive(Debug)]
pub struct CallPermit {
    /// Dropping the sender ends the task that keeps the probe slot.
    _probe: Option<oneshot::Sender<()>>,
}

/// The status of a breaker for operators.
#[derive(Debug, Clone, Copy)]
pub struct BreakerStatus {
    pub phase: BreakerPhase,
    pub since: Timestamp,
    /// The number of different jobs with a failed call since the last response,
    /// counted up to the setting `failures`.
    pub failures: usize,
    /// The time of the next call that is let through, while the breaker is open.
    pub next_probe_at: Option<Timestamp>,
    /// The times at which the breaker has opened since the host started.
    pub openings: u64,
}

impl Breaker {
    /// Makes a closed breaker. `peer` is the origin in log lines.
    pub fn new(csp: &CspName, peer: String, config: &BreakerConfig, clock: Clock) -> Self {
        let state = watch::Sender::new(BreakerState::new(config, Instant::now()));
        let probe = Arc::new(Semaphore::new(1));
        Self(Arc::new(Inner {
            csp: csp.clone(),
            peer,
            state,
            probe,
            openings: AtomicU64::new(0),
            history: Mutex::default(),
            clock,
        }))
    }

    /// Records the end of a call of `job` that began at `called_at`.
    pub fn report(&self, job: &str, called_at: Instant, health: CallHealth) {
        let (csp, peer) = (&self.0.csp, &self.0.peer);
        let (mut transition, mut jobs) = (Transition::Unchanged, 0);
        self.0.state.send_if_modified(|state| {
            transition = match health {
                CallHealth::Responded => state.record_response(Instant::now()),
                CallHealth::Failed(_) => state.record_failure(job, called_at, Instant::now()),
            };
            jobs = state.failures();
            transition != Transition::Unchanged
        });
        match (transition, health) {
            (Transition::Opened { pause }, CallHealth::Failed(cause)) => {
                self.0.openings.fetch_add(1, Ordering::Relaxed);
                self.remember(|_| BreakerChangeKind::Opened { jobs, cause });
                warn!(%csp, event = "breaker-open", %cause, "{peer} does not respond; its jobs wait {pause:?}");
            }
            (Transition::OpenedAgain { pause }, CallHealth::Failed(cause)) => {
                self.0.openings.fetch_add(1, Ordering::Relaxed);
                self.remember(|until| BreakerChangeKind::ProbesFailed { probes: 1, until, cause });
                warn!(%csp, event = "breaker-open", %cause, "{peer} does not respond; its jobs wait {pause:?}");
            }
            (Transition::Closed { after }, CallHealth::Responded) => {
                self.remember(|_| BreakerChangeKind::Closed { after });
                info!(%csp, event = "breaker-closed", "{peer} responds again; its jobs resume");
            }
            // A response opens nothing, and a failure closes nothing.
            (
                Transition::Unchanged
                | Transition::Opened { .. }
                | Transition::OpenedAgain { .. }
                | Transition::Closed { .. },
                CallHealth::Responded | CallHealth::Failed(_),
            ) => {}
        }
    }

    /// Closes the breaker, so that its jobs run, and forgets the failures so
    /// far. Returns false if it was closed. If the CSP is still down, it opens
    /// again after as many failures as the first time.
    pub fn reset(&self) -> bool {
        let mut transition = Transition::Unchanged;
        self.0.state.send_if_modified(|state| {
            transition = state.record_response(Instant::now());
            transition != Transition::Unchanged
        });
        let Transition::Closed { after } = transition else { return false };
        self.remember(|_| BreakerChangeKind::Reset { after });
        let (csp, peer) = (&self.0.csp, &self.0.peer);
        info!(%csp, event = "breaker-reset", "The breaker of {peer} was reset; its jobs resume");
        true
    }

    /// Returns the last changes since the host started, the newest first.
    pub fn history(&self) -> Vec<BreakerChange> {
        self.0.history.lock().unwrap_or_else(PoisonError::into_inner).newest_first()
    }

    fn remember(&self, change: impl FnOnce(Timestamp) -> BreakerChangeKind) {
        let now = self.0.clock.now();
        let mut history = self.0.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.add(now, change(now));
    }

    /// Returns true if calls are held back now.
    pub fn holds_calls(&self) -> bool {
        !self.0.state.borrow().phase(Instant::now()).allows_jobs()
    }

    /// Waits until a call may be made.
    pub async fn call_permit(&self) -> CallPermit {
        if !self.holds_calls() {
            return CallPermit { _probe: None };
        }
        // Boxed, so that the thousands of calls that do not wait here keep no
        // room for it.
        Box::pin(self.wait_for_call_permit()).await
    }

    async fn wait_for_call_permit(&self) -> CallPermit {
        let allows_jobs = self.until(BreakerPhase::allows_jobs);
        tokio::pin!(allows_jobs);
        // The slot is awaited before the half-open phase: a call keeps its place
        // in line over several pauses, and each call gets its turn.
        let permit = tokio::select! {
            biased;
            _ = &mut allows_jobs => return CallPermit { _probe: None },
            permit = Arc::clone(&self.0.probe).acquire_owned() => {
                permit.expect("the semaphore is never closed")
            }
        };
        let pause = tokio::select! {
            biased;
            _ = &mut allows_jobs => return CallPermit { _probe: None },
            pause = self.until(|phase| phase == BreakerPhase::HalfOpen) => pause,
        };
        CallPermit::probing(permit, pause)
    }

    /// Returns a permit if a call may be made now.
    pub fn try_call_permit(&self) -> Option<CallPermit> {
        let (phase, pause) = {
            let state = self.0.state.borrow();
            (state.phase(Instant::now()), state.pause().unwrap_or_default())
        };
        match phase {
            BreakerPhase::Closed | BreakerPhase::GivenUp => Some(CallPermit { _probe: None }),
            BreakerPhase::Open => None,
            BreakerPhase::HalfOpen => {
                let slot = Arc::clone(&self.0.probe).try_acquire_owned().ok()?;
                Some(CallPermit::probing(slot, pause))
            }
        }
    }

    /// Waits until a job that is received could make its call, then returns a
    /// permit to receive jobs. While the breaker is half open, this is so if no
    /// running job waits for the probe slot: a job that has to wait is better
    /// off on its queue.
    pub async fn receive_permit(&self) -> ReceivePermit {
        loop {
            self.until(|phase| phase != BreakerPhase::Open).await;
            let slot = tokio::select! {
                biased;
                _ = self.until(BreakerPhase::allows_jobs) => None,
                slot = self.0.probe.acquire() => Some(slot),
            };
            let state = self.0.state.borrow();
            let phase = state.phase(Instant::now());
            // Open again while this waited in line: the probe of another job
            // failed.
            if phase == BreakerPhase::Open {
                continue;
            }
            drop(slot);
            let probe = state.pause().filter(|_| !phase.allows_jobs());
            return ReceivePermit { probe, epoch: state.epoch() };
        }
    }

    /// Waits until the breaker changes and `permit` is no longer valid.
    pub async fn revoked(&self, permit: &ReceivePermit) {
        let mut changes = self.0.state.subscribe();
        let revoked = changes.wait_for(|state| state.epoch() != permit.epoch).await;
        revoked.expect("the sender lives as long as `self`");
    }

    /// Waits for a phase. Returns the length of its pause, or zero if it has none.
    async fn until(&self, matches: impl Fn(BreakerPhase) -> bool) -> Duration {
        let mut changes = self.0.state.subscribe();
        loop {
            let now = Instant::now();
            let (phase, pause, changes_at) = {
                let state = changes.borrow_and_update();
                (state.phase(now), state.pause(), state.changes_at(now))
            };
            if matches(phase) {
                return pause.unwrap_or_default();
            }
            // Half-open and given-up begin by time alone, without a change of
            // the watched state.
            let timer = async {
                match changes_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = timer => {}
                changed = changes.changed() => changed.expect("the sender lives as long as `self`"),
            }
        }
    }

    /// Returns the status for operators.
    pub fn status(&self) -> BreakerStatus {
        let (now, clock_now) = (Instant::now(), self.0.clock.now());
        let state = self.0.state.borrow();
        let phase = state.phase(now);
        let lasted = u64::try_from(state.lasted(now).as_millis()).unwrap_or(u64::MAX);
        let since = Timestamp::from_millis(clock_now.as_millis().saturating_sub(lasted));
        let next_probe = state.changes_at(now).filter(|_| phase == BreakerPhase::Open);
        BreakerStatus {
            phase,
            since,
            next_probe_at: next_probe.map(|at| clock_now + at.saturating_duration_since(now)),
            failures: state.failures(),
            openings: self.0.openings.load(Ordering::Relaxed),
        }
    }
}

impl CallPermit {
    /// Makes the permit of a call that probes. A probe that hangs keeps the slot
    /// for one pause at most: the next call must be able to probe. The task
    /// holds the slot because the permit of the hanging call stays alive.
    fn probing(slot: OwnedSemaphorePermit, pause: Duration) -> Self {
        let (probe, ended) = oneshot::channel();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(pause, ended).await;
            drop(slot);
        });
        Self { _probe: Some(probe) }
    }
}

impl BreakerStatus {
    /// Returns true if jobs run as usual.
    pub fn allows_jobs(&self) -> bool {
        self.phase.allows_jobs()
    }
}
