//! Every metric of the host. `docs/metrics.md` shows this table.

use super::definition::Counter;
use super::definition::Definition;
use super::definition::Gauge;
use super::definition::Histogram;
use super::definition::Kind;

/// Bounds for times of jobs, from 10 ms to 10 days, after which a job that waits
/// for its CSP is given up.
const JOB_BOUNDS: &[f64] = &[
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0,
    86_400.0, 259_200.0, 864_000.0,
];

/// Bounds for times of HTTP calls, up to `csp.*.timeout_ms`.
const CALL_BOUNDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Bounds for times of queue operations: a sync of a local disk takes a
/// millisecond, a receive from SQS waits up to 20 s.
const QUEUE_BOUNDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0];

/// Defines a constant for each metric, and [`GROUPS`].
macro_rules! table {
    ($($group:literal { $(
        $kind:ident $id:ident = $name:literal
        $([$($label:literal),*])? $(in $bounds:expr)?; $help:literal
    )* })*) => {
        $($(
            #[doc = $help]
            pub const $id: $kind = $kind(Definition {
                name: $name,
                kind: table!(@kind $kind $($bounds)?),
                labels: &[$($($label),*)?],
                help: $help,
            });
        )*)*

        /// All metrics, by the parts of the host that they are about.
        pub const GROUPS: &[(&str, &[Definition])] = &[$(($group, &[$($id.0),*])),*];
    };
    (@kind Histogram $bounds:expr) => { Kind::Histogram($bounds) };
    (@kind Counter) => { Kind::Counter };
    (@kind Gauge) => { Kind::Gauge };
}

/// Returns all metrics.
pub fn all() -> impl Iterator<Item = &'static Definition> {
    GROUPS.iter().flat_map(|(_, metrics)| *metrics)
}

table! {
    "Jobs" {
        Counter JOBS_ACCEPTED = "hoth_jobs_accepted_total" ["csp", "kind"];
            "Accepted requests, without repetitions."
        Counter JOBS_FINISHED = "hoth_jobs_finished_total" ["csp", "operation", "end", "code_class"];
            "Jobs whose outcome is ready, by the end and the class of its code."
        Histogram JOB_TIME = "hoth_job_seconds" ["csp", "operation"] in JOB_BOUNDS;
            "Time from the acceptance of a job to its outcome."
        Histogram JOB_QUEUE_WAIT = "hoth_job_queue_wait_seconds" ["csp", "stage"] in JOB_BOUNDS;
            "Time from the acceptance of a job, or from the end of its wait, until a worker received it."
        Counter JOB_RUNS = "hoth_job_runs_total" ["csp", "stage"];
            "Runs of jobs that began."
        Gauge JOBS_WAITING = "hoth_jobs_waiting" ["csp"];
            "Jobs that wait for their CSP between two polls."
        Counter JOB_WAITS_NEAR_DEADLINE = "hoth_job_waits_near_deadline_total" ["csp"];
            "Waits of jobs that have used up nine tenths of polling.deadline_hours."
        Counter OUTCOMES_COLLECTED = "hoth_outcomes_collected_total" ["kind"];
            "Outcomes that clients collected."
        Histogram OUTCOME_WAIT = "hoth_outcome_wait_seconds" ["kind"] in JOB_BOUNDS;
            "Time from the outcome of a job to its delivery to a client."
        Counter LEASES_LOST = "hoth_leases_lost_total" ["csp"];
            "Messages whose lease ended while a worker had them in hand."
    }

    "CSPs" {
        Histogram CSP_CALL = "hoth_csp_call_seconds" ["csp", "method", "status_class"] in CALL_BOUNDS;
            "Time of a call to a CSP, from the request to the end of the response."
        Counter CSP_CALLS = "hoth_csp_calls_total" ["csp", "outcome"];
            "Calls to CSPs, by their outcome."
        Counter CSP_RETRIES = "hoth_csp_retries_total" ["csp", "reason"];
            "Calls that are repeated, by the reason."
        Gauge CSP_CALLS_IN_FLIGHT = "hoth_csp_calls_in_flight" ["csp"];
            "Calls to the CSP that are under way."
        Gauge CSP_CALLS_LIMIT = "hoth_csp_calls_limit" ["csp"];
            "Largest number of calls to the CSP at one time (max_concurrent)."
        Histogram TOKEN_FETCH = "hoth_token_fetch_seconds" ["csp", "outcome"] in CALL_BOUNDS;
            "Time for which a call waited for a token or another credential to be obtained."
        Counter CREDENTIAL_REFUSALS = "hoth_credential_refusals_total" ["csp"];
            "Responses with which the CSP refused the credential of this host."
        Gauge CSP_PAUSED = "hoth_csp_paused" ["csp"];
            "1 if an operator holds the jobs back."
        Gauge CSP_PAUSED_SINCE = "hoth_csp_paused_timestamp_seconds" ["csp"];
            "Time at which the CSP was paused; only while it is paused."
        Gauge CSP_SECRET_MISSING = "hoth_csp_secret_missing" ["csp"];
            "1 if jobs wait for a secret."
        Gauge BREAKER_OPEN = "hoth_breaker_open" ["csp", "origin"];
            "1 if calls wait because the origin does not respond."
        Gauge BREAKER_GIVEN_UP = "hoth_breaker_given_up" ["csp", "origin"];
            "1 if the origin has not responded for breaker.max_hold_ms, so that calls are made again."
        Gauge BREAKER_FAILURES = "hoth_breaker_failures" ["csp", "origin"];
            "Jobs with a failed call since the last response."
        Counter BREAKER_OPENINGS = "hoth_breaker_openings_total" ["csp", "origin"];
            "Times at which the breaker has opened."
    }

    "Adapters" {
        Histogram ADAPTER_CALL = "hoth_adapter_call_seconds" ["adapter", "sha256"]
            in hoth_runtime::CALL_SECONDS_BOUNDS;
            "Time of a call of an adapter version, with its wait for a processor."
        Counter ADAPTER_CALLS = "hoth_adapter_calls_total" ["adapter", "sha256"];
            "Calls of the adapter version."
        Counter ADAPTER_CALL_FAILURES = "hoth_adapter_call_failures_total" ["adapter", "sha256", "failure"];
            "Failed calls of the adapter version."
        Gauge ADAPTER_CALL_MAX = "hoth_adapter_call_max_seconds" ["adapter", "sha256"];
            "Time of the longest call."
        Gauge ADAPTER_MEMORY_MAX = "hoth_adapter_memory_max_bytes" ["adapter", "sha256"];
            "Largest memory of a call."
        Gauge ADAPTER_JOBS_IN_FLIGHT = "hoth_adapter_jobs_in_flight" ["adapter", "sha256"];
            "Jobs in progress on the adapter version."
        Gauge ADAPTER_ACTIVE = "hoth_adapter_active" ["adapter", "sha256"];
            "1 for the active version."
        Gauge ADAPTER_FAILING = "hoth_adapter_failing" ["adapter", "sha256"];
            "1 if the last five calls or more failed."
        Gauge ADAPTER_MISSING = "hoth_adapter_missing" ["adapter"];
            "1 if a CSP needs the adapter and no version is active."
        Gauge ADAPTER_REFUSED = "hoth_adapter_refused" ["adapter"];
            "1 if a component was refused since the last activation."
        Gauge ADAPTER_VERSIONS_DRAINING = "hoth_adapter_versions_draining" ["adapter"];
            "Versions that are not active and still have jobs in progress."
        Counter ADAPTER_ACTIVATIONS = "hoth_adapter_activations_total" ["adapter"];
            "Activations of a version, also of an earlier one."
        Counter ADAPTER_ROLLBACKS = "hoth_adapter_rollbacks_total" ["adapter"];
            "Returns to an earlier version."
        Counter ADAPTER_REFUSALS = "hoth_adapter_refusals_total" ["adapter", "reason"];
            "Components that were refused."
        Counter REPLAYS = "hoth_replays_total" ["adapter", "verdict"];
            "Replays of past jobs with a candidate."
        Counter JOURNALS_WRITTEN = "hoth_journals_written_total" ["adapter"];
            "Journals of finished jobs."
        Counter JOURNALS_DROPPED = "hoth_journals_dropped_total" ["adapter", "reason"];
            "Recordings that left no journal."
    }

    "Queues and storage" {
        Gauge QUEUE_DEPTH = "hoth_queue_depth" ["queue", "stage", "csp"];
            "Messages that are not leased."
        Gauge QUEUE_IN_FLIGHT = "hoth_queue_in_flight" ["queue", "stage", "csp"];
            "Leased messages."
        Gauge QUEUE_OLDEST_AGE = "hoth_queue_oldest_age_seconds" ["queue", "stage", "csp"];
            "Age of the oldest message."
        Gauge QUEUE_OLDEST_CLAIMABLE_AGE = "hoth_queue_oldest_claimable_age_seconds" ["queue", "stage", "csp"];
            "Age of the oldest message that can be received."
        Gauge QUEUE_DEAD_LETTERS = "hoth_queue_dead_letters" ["queue", "stage", "csp"];
            "Dead letters."
        Gauge QUEUE_REACHABLE = "hoth_queue_reachable" ["queue", "stage", "csp"];
            "1 if the state of the queue could be read for this scrape."
        Gauge QUEUE_READ_AGE = "hoth_queue_read_age_seconds" ["queue", "stage", "csp"];
            "Time since the state of the queue was last read; grows while the backend does not answer."
        Histogram QUEUE_OPERATION = "hoth_queue_operation_seconds" ["op"] in QUEUE_BOUNDS;
            "Time of an operation of the queue backend; receives without a wait only."
        Counter QUEUE_OPERATION_FAILURES = "hoth_queue_operation_failures_total" ["op", "reason"];
            "Operations that the queue backend could not do."
        Gauge WORKER_SLOTS = "hoth_worker_slots" ["queue"];
            "Largest number of groups of the queue that workers have in hand at one time."
        Gauge WORKER_SLOTS_USED = "hoth_worker_slots_used" ["queue"];
            "Groups of the queue that workers have in hand."
        Gauge WORKER_LAST_RECEIVE = "hoth_worker_last_receive_timestamp_seconds" ["queue"];
            "Time at which the queue last answered a receive of a worker, also without a message."
        Gauge STORAGE_FILE = "hoth_storage_file_bytes";
            "Size of the queue file."
        Gauge QUEUE_LOG = "hoth_queue_log_bytes";
            "Size of the log of the queue file."
        Gauge STORAGE_RESERVE = "hoth_storage_reserve_bytes";
            "Disk space kept for deletions; 0 after it was released on a full disk."
        Gauge STORAGE_AVAILABLE = "hoth_storage_available_bytes";
            "Free disk space where the queue file is."
    }

    "Listeners and process" {
        Histogram HTTP_REQUEST = "hoth_http_request_seconds" ["route", "method", "status_class"] in CALL_BOUNDS;
            "Time from a request to the head of its response, with the wait of a long poll."
        Counter REQUESTS_REFUSED = "hoth_requests_refused_total" ["reason"];
            "Requests that were refused before they reached a handler."
        Gauge READY = "hoth_ready";
            "1 if GET /readyz returns 200."
        Gauge DRAINED = "hoth_drained";
            "1 if an operator has drained the host, so that it takes no more jobs."
        Gauge DRAINED_SINCE = "hoth_drained_timestamp_seconds";
            "Time at which the host was drained; only while it is."
        Gauge CERTIFICATE_EXPIRY = "hoth_certificate_expiry_timestamp_seconds" ["which"];
            "Time at which a certificate of the host expires, by the table that names it."
        Gauge CONFIG_RELOAD_SUCCESS = "hoth_config_reload_success";
            "1 if the last change of the configuration or of a file that it names was applied."
        Gauge CONFIG_RELOAD_SUCCESS_AT = "hoth_config_reload_success_timestamp_seconds";
            "Time at which the configuration was last applied."
        Counter TRAIL_EVENTS_DROPPED = "hoth_trail_events_dropped_total";
            "Events of jobs that are missing in the trail."
        Gauge TRAIL_WRITABLE = "hoth_trail_writable";
            "1 if the trail could be written at the last try."
        Counter SPANS_EXPORTED = "hoth_spans_exported_total";
            "Spans that the collector of traces accepted."
        Counter SPANS_DROPPED = "hoth_spans_dropped_total" ["reason"];
            "Spans that were dropped."
        Histogram SPAN_EXPORT = "hoth_span_export_seconds" in CALL_BOUNDS;
            "Time of a try to export spans."
        Counter LOG_LINES_DROPPED = "hoth_log_lines_dropped_total" ["kind"];
            "Log lines that were dropped because the reader of the log stalled."
        Gauge BUILD_INFO = "hoth_build_info" ["version", "commit"];
            "Version and commit of the host; the value is 1."
        Counter PROCESS_CPU = "process_cpu_seconds_total";
            "Time on a processor, of the user and the system."
        Gauge PROCESS_RESIDENT_MEMORY = "process_resident_memory_bytes";
            "Resident memory."
        Gauge PROCESS_VIRTUAL_MEMORY = "process_virtual_memory_bytes";
            "Virtual memory, which includes the address space reserved for adapters."
        Gauge PROCESS_OPEN_FDS = "process_open_fds";
            "Open file descriptors."
        Gauge PROCESS_MAX_FDS = "process_max_fds";
            "Largest number of open file descriptors."
        Gauge PROCESS_THREADS = "process_threads";
            "Threads."
        Gauge PROCESS_START_TIME = "process_start_time_seconds";
            "Time at which the process started."
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_documentation_shows_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        let text = std::fs::read_to_string(path).expect("the page can be read");
        let shown: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("| `hoth_") || line.starts_with("| `process_"))
            .collect();
        let expected: Vec<String> = all().map(row).collect();
        assert!(shown == expected, "docs/metrics.md lacks these rows:\n{}", expected.join("\n"));
        for (group, metrics) in GROUPS {
            let first = row(metrics.first().expect("a group has metrics"));
            let heading = text.find(&format!("\n### {group}\n"));
            assert!(heading.is_some_and(|at| at < text.find(&first).unwrap_or(0)), "{group}");
        }
    }

    fn row(Definition { name, kind, labels, help }: &Definition) -> String {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        format!("| `{name}` | {} | {} | {help} |", kind.as_str(), labels.join(", "))
    }

    #[test]
    fn names_are_unique_and_end_in_their_units() {
        let mut names = BTreeSet::new();
        for Definition { name, kind, labels, help } in all() {
            assert!(names.insert(name), "{name} is there twice");
            let is_count = name.ends_with("_total");
            match kind {
                Kind::Counter => assert!(is_count, "{name} is a counter"),
                Kind::Gauge => assert!(!is_count, "{name} is a gauge"),
                Kind::Histogram(bounds) => {
                    assert!(name.ends_with("_seconds"), "{name} is a histogram");
                    assert!(bounds.is_sorted_by(|a, b| a < b), "{name} has its bounds in order");
                }
            }
            assert!(name.starts_with("hoth_") || name.starts_with("process_"), "{name}");
            assert!(help.ends_with('.') && !help.contains(['\n', '\\']), "{name}: {help}");
            let unique: BTreeSet<_> = labels.iter().collect();
            assert_eq!(unique.len(), labels.len(), "{name}");
        }
    }
}
