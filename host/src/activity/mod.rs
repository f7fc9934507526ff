//! The traffic of the last 24 hours as this host has seen it: messages into and
//! out of each queue, their waits, and calls to each CSP.
//!
//! It is counted in memory from the events of jobs, in slots of a quarter of an
//! hour, and begins anew when the host starts. Pages read these counts in place
//! of the queues, so they cost the same however many messages wait.

mod histogram;
mod series;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

pub use self::series::BAR_MINUTES;
pub use self::series::BARS;
use self::series::Series;
pub use self::series::Window;
use crate::observe::Observer;
use hoth_core::domain::CspName;
use hoth_core::domain::JobEvent;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::JobKind;
use hoth_core::domain::JobRecord;
use hoth_core::domain::RequestTried;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;
use hoth_queue::QueueName;
use hoth_queue::Stage;

/// The classes of calls: the first digit of the status, or no answer.
pub const CALL_CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "no answer"];

/// Two directions: into a queue, and out of it.
const IN: usize = 0;
const OUT: usize = 1;

/// The counts of all configured CSPs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Activity(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    since: Timestamp,
    clock: Clock,
    csps: HashMap<CspName, Mutex<CspSeries>>,
    /// By kind. A collection does not name the CSP.
    outcomes: [Mutex<Series<2>>; JobKind::ALL.len()],
}

/// The counts of one CSP.
#[derive(Debug, Default)]
struct CspSeries {
    /// By kind.
    requests: [Series<2>; JobKind::ALL.len()],
    polls: [Series<2>; JobKind::ALL.len()],
    calls: Series<{ CALL_CLASSES.len() }>,
}

/// The traffic of one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueTraffic {
    /// In and out, in each quarter of an hour, the latest last.
    pub bars: [[u64; 2]; BARS],
    pub hour: Window<2>,
    pub day: Window<2>,
}

/// The calls to one CSP, by class as in [`CALL_CLASSES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallTraffic {
    pub hour: Window<{ CALL_CLASSES.len() }>,
    pub day: Window<{ CALL_CLASSES.len() }>,
}

impl Activity {
    /// Makes the counts of a host with these CSPs.
    pub fn new<'a>(csps: impl IntoIterator<Item = &'a CspName>, clock: Clock) -> Self {
        let csps = csps.into_iter().map(|csp| (csp.clone(), Mutex::default())).collect();
        Self(Arc::new(Inner { since: clock.now(), clock, csps, outcomes: Default::default() }))
    }

    /// Returns the time from which on the counts are.
    pub fn since(&self) -> Timestamp {
        self.0.since
    }

    /// Returns the traffic of a queue. That of a CSP that is not configured is
    /// empty.
    pub fn queue(&self, name: &QueueName) -> QueueTraffic {
        let (now, since) = (self.0.clock.now(), self.0.since);
        let traffic = |series: &Series<2>| QueueTraffic {
            bars: series.bars(now),
            hour: series.window(now, since, Duration::from_hours(1)),
            day: series.window(now, since, Duration::from_hours(24)),
        };
        let kind = name.kind as usize;
        let of_csp = match &name.stage {
            Stage::Outcomes => return traffic(&lock(&self.0.outcomes[kind])),
            Stage::Requests(csp) => self.csp(csp).map(|csp| traffic(&csp.requests[kind])),
            Stage::Polls(csp) => self.csp(csp).map(|csp| traffic(&csp.polls[kind])),
        };
        of_csp.unwrap_or_else(|| traffic(&Series::default()))
    }

    /// Returns the calls to a CSP.
    pub fn calls(&self, csp: &CspName) -> CallTraffic {
        let (now, since) = (self.0.clock.now(), self.0.since);
        let traffic = |series: &Series<{ CALL_CLASSES.len() }>| CallTraffic {
            hour: series.window(now, since, Duration::from_hours(1)),
            day: series.window(now, since, Duration::from_hours(24)),
        };
        let found = self.csp(csp).map(|csp| traffic(&csp.calls));
        found.unwrap_or_else(|| traffic(&Series::default()))
    }

    fn csp(&self, csp: &CspName) -> Option<MutexGuard<'_, CspSeries>> {
        self.0.csps.get(csp).map(lock)
    }

    fn count_outcomes(&self, record: &JobRecord) {
        for event in &record.events {
            let is_collected = matches!(event.what, JobEventKind::Collected { .. });
            if !is_collected && !matches!(event.what, JobEventKind::Ended(_)) {
                continue;
            }
            let way = if is_collected { OUT } else { IN };
            let mut series = lock(&self.0.outcomes[record.job.kind as usize]);
            series.count(record.start_of(event), way, None);
        }
    }
}

impl CallTraffic {
    /// Returns the classes that occurred, with their counts.
    pub fn classes(window: &Window<{ CALL_CLASSES.len() }>) -> BTreeMap<&'static str, u64> {
        let counts = CALL_CLASSES.into_iter().zip(window.counts);
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

impl Observer for Activity {
    fn observe(&self, record: &Arc<JobRecord>) {
        self.count_outcomes(record);
        let Some(csp) = &record.job.csp else { return };
        // One lock for the record: its events are few.
        let Some(mut csp) = self.csp(csp) else { return };
        for event in &record.events {
            csp.count(record, event);
        }
    }
}

impl CspSeries {
    fn count(&mut self, record: &JobRecord, event: &JobEvent) {
        let (at, kind) = (record.start_of(event), record.job.kind as usize);
        match &event.what {
            JobEventKind::Accepted { repeated: false, .. } => {
                self.requests[kind].count(at, IN, None);
            }
            JobEventKind::Received { resumed, waited_ms, .. } => {
                let stage = if *resumed { &mut self.polls } else { &mut self.requests };
                stage[kind].count(at, OUT, Some(Duration::from_millis(*waited_ms)));
            }
            JobEventKind::Waits(_) => self.polls[kind].count(at, IN, None),
            JobEventKind::RequestTried(tried) if tried.attempt > 0 => {
                self.calls.count(at, class(tried), Some(event.took.unwrap_or_default()));
            }
            // What is given back was counted when it came.
            JobEventKind::Accepted { repeated: true, .. }
            | JobEventKind::RequestTried(_)
            | JobEventKind::AdapterCalled(_)
            | JobEventKind::Logged { .. }
            | JobEventKind::Delayed { .. }
            | JobEventKind::CallHeld { .. }
            | JobEventKind::CredentialObtained(_)
            | JobEventKind::Held { .. }
            | JobEventKind::Ended(_)
            | JobEventKind::DeadLettered { .. }
            | JobEventKind::LeaseLost
            | JobEventKind::Interrupted
            | JobEventKind::Leased { .. }
            | JobEventKind::Released { .. }
            | JobEventKind::Collected { .. }
            | JobEventKind::Redelivered { .. }
            | JobEventKind::Redriven { .. }
            | JobEventKind::Purged { .. }
            | JobEventKind::LookedNow { .. }
            | JobEventKind::Cancelled { .. }
            | JobEventKind::SettledByHand { .. }
            | JobEventKind::Unknown => {}
        }
    }
}

/// Returns the place of a call in [`CALL_CLASSES`].
fn class(tried: &RequestTried) -> usize {
    match tried.status {
        Some(status) if tried.failure.is_none() => usize::from(status / 100).clamp(1, 5) - 1,
        Some(_) | None => CALL_CLASSES.len() - 1,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoth_core::domain::Ended;
    use hoth_core::domain::JobFacts;
    use hoth_core::domain::Method;

    fn record(activity: &Activity, csp: Option<&str>, what: JobEventKind) {
        let mut facts = JobFacts::of_id(JobKind::Provisioning, "a");
        facts.csp = csp.map(|csp| csp.parse().expect("a name"));
        let now = activity.0.clock.now();
        let mut record = JobRecord::of_one(facts, now, what);
        record.events[0].took = Some(Duration::from_millis(20));
        activity.observe(&Arc::new(record));
    }

    fn tried(status: Option<u16>, attempt: u32) -> JobEventKind {
        JobEventKind::RequestTried(Box::new(RequestTried {
            request: 1,
            attempt,
            method: Method::Get,
            endpoint: None,
            origin: "".into(),
            path: "".into(),
            status,
            failure: None,
            retry_after_ms: None,
            credential_refused: false,
            next_ms: None,
        }))
    }

    #[test]
    fn a_job_is_counted_on_each_queue_that_it_passes() {
        let csp: CspName = "CSP_A".parse().expect("a name");
        let clock = Clock::manual(Timestamp::from_millis(1_000_000_000));
        let activity = Activity::new([&csp], clock);
        let received = |resumed, waited_ms| JobEventKind::Received {
            attempt: 1,
            resumed,
            waited_ms,
            trace_id: None,
        };
        record(&activity, Some("CSP_A"), JobEventKind::Accepted { by: None, repeated: false });
        record(&activity, Some("CSP_A"), JobEventKind::Accepted { by: None, repeated: true });
        record(&activity, Some("CSP_A"), received(false, 100));
        record(&activity, Some("CSP_A"), tried(Some(202), 1));
        record(&activity, Some("CSP_A"), tried(None, 0));
        record(&activity, Some("CSP_A"), received(true, 5));
        record(&activity, Some("CSP_A"), tried(None, 1));
        record(&activity, Some("CSP_A"), tried(Some(503), 1));
        let ended = Ended { code: 200, class: None, reason: None, requests: 2, took_ms: None };
        record(&activity, Some("CSP_A"), JobEventKind::Ended(Box::new(ended)));
        record(&activity, None, JobEventKind::Collected { by: None });
        record(&activity, Some("CSP_X"), received(false, 1));
        let of = |stage| {
            let queue = QueueName { stage, kind: JobKind::Provisioning };
            activity.queue(&queue)
        };
        let requests = of(Stage::Requests(csp.clone()));
        assert_eq!((requests.hour.counts, requests.bars[BARS - 1]), ([1, 1], [1, 1]));
        let p50 = requests.hour.p50.expect("one waited").as_millis();
        assert!((100..120).contains(&p50), "{p50}");
        assert_eq!(of(Stage::Polls(csp.clone())).day.counts, [0, 1]);
        assert_eq!(of(Stage::Outcomes).day.counts, [1, 1]);
        let unknown = of(Stage::Requests("CSP_X".parse().expect("a name")));
        assert_eq!(unknown.day.counts, [0, 0]);
        let calls = activity.calls(&csp);
        let classes: Vec<_> = CallTraffic::classes(&calls.hour).into_iter().collect();
        assert_eq!(classes, [("2xx", 1), ("5xx", 1), ("no answer", 1)]);
    }
}
