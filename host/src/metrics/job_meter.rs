//! The metrics of jobs and of their calls, derived from the records of jobs.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::Counter;
use metrics::Histogram;

use super::table;
use crate::observe::Observer;
use hoth_core::domain::CspName;
use hoth_core::domain::Ended;
use hoth_core::domain::JobEvent;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::JobKind;
use hoth_core::domain::JobRecord;
use hoth_core::domain::Method;
use hoth_core::domain::Operation;
use hoth_core::domain::RequestTried;
use hoth_core::domain::TransportCode;
use hoth_core::domain::Waiting;

/// The CSP of jobs whose CSP is not configured any more, and the operation of
/// jobs that cannot be read.
const UNKNOWN: &str = "(unknown)";

/// A job counts as near its deadline when this part of the time is left.
const NEAR_DEADLINE: u32 = 10;

/// The stages of a run.
const STAGES: [&str; 2] = ["requests", "polls"];

/// The classes of statuses and codes, by their first digit.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The class of a call without a status.
const NO_STATUS: &str = "none";

/// The ends of jobs.
const ENDS: [&str; 3] = [DONE, FAILED, DEAD_LETTER];
const DONE: &str = "done";
const FAILED: &str = "failed";
const DEAD_LETTER: &str = "dead-letter";

/// The usual ends and their classes, which have series from the start of the
/// host on: without an earlier value, Prometheus sees no increase.
const USUAL_ENDS: [(&str, &str); 4] =
    [(DONE, "2xx"), (FAILED, "4xx"), (FAILED, "5xx"), (DEAD_LETTER, "5xx")];

/// Derives the metrics of jobs from their records.
pub struct JobMeter {
    csps: HashMap<CspName, CspMeter>,
    /// Made when it is needed.
    unknown: OnceLock<Box<CspMeter>>,
    /// The time after which a job that waits is given up.
    polling_deadline: Duration,
}

/// The handles of one CSP. Those of a histogram are found when they are first
/// needed, because each histogram has many lines.
struct CspMeter {
    csp: String,
    accepted: [Counter; JobKind::ALL.len()],
    runs: [Counter; STAGES.len()],
    queue_waits: [Histogram; STAGES.len()],
    /// By operation, with one place more for jobs that cannot be read.
    operations: [OperationMeter; Operation::ALL.len() + 1],
    near_deadline: Counter,
    leases_lost: Counter,
    credential_refusals: Counter,
    /// By method and class, with one place more for calls without a status.
    calls: [[OnceLock<Histogram>; CLASSES.len() + 1]; METHODS.len()],
    /// By class, and then by failure of the transport.
    call_outcomes: [Counter; CLASSES.len() + TransportCode::ALL.len()],
    /// By failure of the transport, with one place more for success.
    tokens: [OnceLock<Histogram>; TransportCode::ALL.len() + 1],
}

/// The handles of one operation of one CSP.
#[derive(Default)]
struct OperationMeter {
    seconds: OnceLock<Histogram>,
    finished: [[OnceLock<Counter>; CLASSES.len()]; ENDS.len()],
}

/// Every method, in the order of declaration.
const METHODS: [Method; 6] =
    [Method::Get, Method::Head, Method::Post, Method::Put, Method::Patch, Method::Delete];

impl JobMeter {
    /// Makes the meter of a host with these CSPs. A job that waits is given up
    /// after `polling_deadline`.
    pub fn new<'a>(
        csps: impl IntoIterator<Item = &'a CspName>,
        polling_deadline: Duration,
    ) -> Self {
        for kind in JobKind::ALL {
            table::OUTCOMES_COLLECTED.with(&[kind.as_str()]).increment(0);
        }
        Self {
            csps: csps.into_iter().map(|csp| (csp.clone(), CspMeter::new(csp.as_str()))).collect(),
            unknown: OnceLock::new(),
            polling_deadline,
        }
    }

    fn count(&self, record: &JobRecord, event: &JobEvent) {
        let csp = || self.csp(record.job.csp.as_ref());
        match &event.what {
            JobEventKind::Accepted { repeated: false, .. } => {
                csp().accepted[record.job.kind as usize].increment(1);
            }
            JobEventKind::Received { resumed, waited_ms, .. } => {
                let stage = usize::from(*resumed);
                csp().runs[stage].increment(1);
                csp().queue_waits[stage].record(Duration::from_millis(*waited_ms));
            }
            JobEventKind::RequestTried(tried) => csp().count_try(tried, event.took),
            JobEventKind::CredentialObtained(obtained) => {
                csp().token(obtained.failure).record(event.took.unwrap_or_default());
                if let Some(failure) = obtained.failure {
                    // The call that needed it is not made.
                    csp().call_outcomes[CLASSES.len() + failure as usize].increment(1);
                }
            }
            JobEventKind::Waits(waiting) => {
                if self.is_near_deadline(record, event, waiting) {
                    csp().near_deadline.increment(1);
                }
            }
            JobEventKind::Ended(ended) => csp().count_end(record, ended),
            JobEventKind::LeaseLost => csp().leases_lost.increment(1),
            // The versions of adapters count their calls themselves, and the API
            // what it delivers.
            JobEventKind::AdapterCalled(_)
            | JobEventKind::Accepted { repeated: true, .. }
            | JobEventKind::Collected { .. }
            | JobEventKind::Logged { .. }
            | JobEventKind::Delayed { .. }
            | JobEventKind::CallHeld { .. }
            | JobEventKind::Held { .. }
            | JobEventKind::DeadLettered { .. }
            | JobEventKind::Interrupted
            | JobEventKind::Leased { .. }
            | JobEventKind::Released { .. }
            | JobEventKind::Redelivered { .. }
            | JobEventKind::Redriven { .. }
            | JobEventKind::Purged { .. }
            | JobEventKind::LookedNow { .. }
            | JobEventKind::Cancelled { .. }
            | JobEventKind::SettledByHand { .. }
            | JobEventKind::Unknown => {}
        }
    }

    fn csp(&self, name: Option<&CspName>) -> &CspMeter {
        let known = name.and_then(|name| self.csps.get(name));
        known.unwrap_or_else(|| self.unknown.get_or_init(|| Box::new(CspMeter::new(UNKNOWN))))
    }

    fn is_near_deadline(&self, record: &JobRecord, event: &JobEvent, waiting: &Waiting) -> bool {
        let left = waiting.deadline_at.since(record.start_of(event));
        left <= self.polling_deadline / NEAR_DEADLINE
    }
}

impl Observer for JobMeter {
    fn observe(&self, record: &Arc<JobRecord>) {
        for event in &record.events {
            self.count(record, event);
        }
    }
}

impl CspMeter {
    fn new(csp: &str) -> Self {
        let outcome = |at: usize| match CLASSES.get(at) {
            Some(class) => *class,
            None => TransportCode::ALL[at - CLASSES.len()].as_str(),
        };
        let meter = Self {
            csp: csp.to_owned(),
            accepted: JobKind::ALL.map(|kind| table::JOBS_ACCEPTED.with(&[csp, kind.as_str()])),
            runs: STAGES.map(|stage| table::JOB_RUNS.with(&[csp, stage])),
            queue_waits: STAGES.map(|stage| table::JOB_QUEUE_WAIT.with(&[csp, stage])),
            operations: Default::default(),
            near_deadline: table::JOB_WAITS_NEAR_DEADLINE.with(&[csp]),
            leases_lost: table::LEASES_LOST.with(&[csp]),
            credential_refusals: table::CREDENTIAL_REFUSALS.with(&[csp]),
            calls: Default::default(),
            call_outcomes: std::array::from_fn(|at| table::CSP_CALLS.with(&[csp, outcome(at)])),
            tokens: Default::default(),
        };
        for operation in Operation::ALL {
            for (end, class) in USUAL_ENDS {
                meter.finished(Some(operation), end, class).increment(0);
            }
        }
        for failure in [None, Some(TransportCode::TokenRefused)] {
            meter.token(failure);
        }
        meter
    }

    fn count_try(&self, tried: &RequestTried, took: Option<Duration>) {
        let class = tried.status.map(class_of);
        let outcome = match tried.failure {
            Some(failure) => CLASSES.len() + failure as usize,
            None => class.unwrap_or(0),
        };
        self.call_outcomes[outcome].increment(1);
        if tried.credential_refused {
            self.credential_refusals.increment(1);
        }
        // The host refused the request, so there was no call.
        if tried.attempt == 0 {
            return;
        }
        let calls = &self.calls[tried.method as usize][class.unwrap_or(CLASSES.len())];
        let series = calls.get_or_init(|| {
            let class = class.map_or(NO_STATUS, |class| CLASSES[class]);
            table::CSP_CALL.with(&[&self.csp, METHODS[tried.method as usize].as_str(), class])
        });
        series.record(took.unwrap_or_default());
        if tried.next_ms.is_some() {
            // Rare, so that the lookup costs nothing that counts.
            let reason = tried
                .failure
                .map_or_else(|| retry_reason(tried.status), |failure| failure.as_str());
            table::CSP_RETRIES.with(&[&self.csp, reason]).increment(1);
        }
    }

    fn token(&self, failure: Option<TransportCode>) -> &Histogram {
        let at = failure.map_or(TransportCode::ALL.len(), |failure| failure as usize);
        self.tokens[at].get_or_init(|| {
            let outcome = failure.map_or("obtained", TransportCode::as_str);
            table::TOKEN_FETCH.with(&[&self.csp, outcome])
        })
    }

    fn count_end(&self, record: &JobRecord, ended: &Ended) {
        let is_dead = record
            .events
            .iter()
            .any(|event| matches!(event.what, JobEventKind::DeadLettered { .. }));
        let end = match (is_dead, ended.code, &ended.class) {
            (true, ..) => DEAD_LETTER,
            (false, ..400, None) => DONE,
            (false, ..) => FAILED,
        };
        let operation = record.job.operation;
        self.finished(operation, end, CLASSES[class_of(ended.code)]).increment(1);
        let Some(took_ms) = ended.took_ms else { return };
        let series = self.operations[place_of(operation)].seconds.get_or_init(|| {
            table::JOB_TIME.with(&[&self.csp, operation.map_or(UNKNOWN, Operation::api_name)])
        });
        series.record(Duration::from_millis(took_ms));
    }

    fn finished(&self, operation: Option<Operation>, end: &str, class: &str) -> &Counter {
        let place = |list: &[&str], text| list.iter().position(|known| *known == text);
        let (at_end, at_class) = (place(&ENDS, end), place(&CLASSES, class));
        let meter = &self.operations[place_of(operation)];
        meter.finished[at_end.unwrap_or(0)][at_class.unwrap_or(0)].get_or_init(|| {
            let operation = operation.map_or(UNKNOWN, Operation::api_name);
            table::JOBS_FINISHED.with(&[&self.csp, operation, end, class])
        })
    }
}

/// Returns the place of an operation among those of a CSP.
fn place_of(operation: Option<Operation>) -> usize {
    operation.map_or(Operation::ALL.len(), |operation| operation as usize)
}

/// Returns the place of a status or code in [`CLASSES`].
fn class_of(status: u16) -> usize {
    usize::from(status / 100).clamp(1, CLASSES.len()) - 1
}

/// Returns the reason for which a call with this status is repeated.
fn retry_reason(status: Option<u16>) -> &'static str {
    match status {
        Some(408) => "408",
        Some(425) => "425",
        Some(429) => "429",
        Some(status) => CLASSES[class_of(status)],
        None => NO_STATUS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_in_the_order_of_declaration() {
        for (at, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, at);
        }
        for (at, code) in TransportCode::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, at);
        }
        for (at, kind) in JobKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
        }
        for (at, method) in METHODS.into_iter().enumerate() {
            assert_eq!(method as usize, at);
        }
    }

    #[test]
    fn a_repeated_call_counts_under_its_status_if_that_asks_for_a_pause() {
        for (status, expected) in [
            (Some(429), "429"),
            (Some(408), "408"),
            (Some(503), "5xx"),
            (Some(99), "1xx"),
            (None, "none"),
        ] {
            assert_eq!(retry_reason(status), expected, "{status:?}");
        }
    }
}
