//! The recording of a job that runs: unredacted, in memory, and dropped when
//! the job ends.

use std::collections::BTreeSet;
use std::time::Instant;

use super::StepKind;
use hoth_core::domain::CspName;
use hoth_core::domain::Event;
use hoth_core::domain::HttpResponse;
use hoth_core::domain::Manifest;
use hoth_core::domain::TRACEPARENT;
use hoth_core::domain::TRACESTATE;
use hoth_core::domain::Timestamp;
use hoth_core::domain::TransportFailure;
use hoth_core::domain::WaitPurpose;

/// Size of one recording in bytes. Most jobs take a few kilobytes. A job whose
/// responses are near the limit on responses is not worth the memory of that
/// many others.
const BYTES_MAX: usize = 1 << 20;

/// Calls in one recording. The longest known run has five, and repeated polls
/// are dropped.
const CALLS_MAX: usize = 256;

/// The values of a job's context that no journal keeps.
const TRACE_NAMES: [&str; 2] = [TRACEPARENT, TRACESTATE];

/// Estimated size of a call without its event, in bytes.
const CALL_BYTES: usize = 256;

/// The inputs of an adapter while one job runs, and the kinds of steps that it
/// returned.
#[derive(Debug)]
pub struct Recording {
    pub(super) adapter: String,
    pub(super) csp: CspName,
    pub(super) job: hoth_runtime::JobContext,
    /// The keys of personal data and of secrets, by the manifests of the versions
    /// that ran the job.
    pub(super) keys: ManifestKeys,
    pub(super) calls: Vec<RecordedCall>,
    /// The start of the recording; old ones give way when memory is short.
    pub(super) started_at: Instant,
    /// The size of all fields above, kept up to date so that the limits can be
    /// checked at every call.
    bytes: usize,
}

/// The keys whose values a journal must not keep, besides those of the host.
#[derive(Debug, Default)]
pub(super) struct ManifestKeys {
    pub(super) personal: BTreeSet<String>,
    pub(super) secret: BTreeSet<String>,
}

/// One call. Response bodies are shared with the job, not copied.
#[derive(Debug, Clone)]
pub struct RecordedCall {
    pub attempt: u32,
    pub now: Timestamp,
    pub entropy: (u64, u64),
    pub context: Vec<(String, String)>,
    /// `None` for the call that begins the job.
    pub event: Option<Event>,
    pub step: StepKind,
}

impl Recording {
    /// Creates an empty recording for a job.
    pub fn new(adapter: String, csp: CspName, job: hoth_runtime::JobContext) -> Self {
        let bytes = job.id.len() + job.input.len() + job.settings.len();
        let (keys, calls) = (ManifestKeys::default(), Vec::new());
        Self { adapter, csp, job, keys, calls, started_at: Instant::now(), bytes }
    }

    /// Adds the keys that the manifest of a version names, before it runs the
    /// job.
    pub(super) fn add_keys(&mut self, manifest: &Manifest) {
        let ManifestKeys { personal, secret } = &mut self.keys;
        for (known, named) in [(personal, &manifest.personal_keys), (secret, &manifest.secret_keys)]
        {
            for key in named {
                if known.insert(key.clone()) {
                    self.bytes += key.len();
                }
            }
        }
    }

    /// Adds a call.
    pub fn add(&mut self, mut call: RecordedCall) {
        // A trace has no meaning for another run.
        call.context.retain(|(name, _)| !TRACE_NAMES.contains(&name.as_str()));
        self.bytes += CALL_BYTES + call.event.as_ref().map_or(0, event_bytes);
        // The size is counted in any case, so that the recording stays too
        // large; its memory does not grow any more.
        if !self.is_too_large() {
            self.calls.push(call);
        }
    }

    /// Returns `true` if the job exceeds the limits of a recording. The recording
    /// is of no use then.
    pub(super) fn is_too_large(&self) -> bool {
        self.bytes > BYTES_MAX || self.calls.len() > CALLS_MAX
    }

    /// Returns the size in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Drops the poll before the last one if it took the same steps as the polls
    /// around it. A job may be polled thousands of times; only the first and the
    /// last of equal polls are kept.
    pub(super) fn drop_repeated_poll(&mut self) {
        let starts_run = |call: &RecordedCall| matches!(call.event, None | Some(Event::Timer));
        let starts: Vec<usize> =
            (0..self.calls.len()).filter(|at| starts_run(&self.calls[*at])).collect();
        // The last three runs. The middle one is dropped if all three took the
        // same steps.
        let [.., first, second, third] = starts[..] else { return };
        let run = |from: usize, to: usize| &self.calls[from..to];
        let (a, b, c) = (run(first, second), run(second, third), run(third, self.calls.len()));
        if !(same_steps(a, b) && same_steps(b, c) && is_poll(c)) {
            return;
        }
        let dropped = self.calls.drain(second..third);
        let bytes: usize =
            dropped.map(|call| CALL_BYTES + call.event.as_ref().map_or(0, event_bytes)).sum();
        self.bytes -= bytes;
    }
}

fn same_steps(a: &[RecordedCall], b: &[RecordedCall]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.step == b.step)
}

/// Returns `true` if a run ended without progress. A checkpoint is progress,
/// and never happens a second time.
fn is_poll(run: &[RecordedCall]) -> bool {
    match run.last().map(|call| &call.step) {
        Some(StepKind::Wait { purpose }) => *purpose != WaitPurpose::Checkpoint,
        Some(StepKind::Fail { .. }) => true,
        Some(StepKind::Send { .. } | StepKind::Done { .. } | StepKind::Broken) | None => false,
    }
}

fn event_bytes(event: &Event) -> usize {
    match event {
        Event::Response(response) => response_bytes(response),
        Event::TransportFailure(TransportFailure { message, last_response, .. }) => {
            message.len() + last_response.as_ref().map_or(0, response_bytes)
        }
        Event::Timer => 0,
    }
}

fn response_bytes(response: &HttpResponse) -> usize {
    let headers = response.headers.iter().map(|(name, value)| name.len() + value.len());
    response.url.len() + response.body.len() + headers.sum::<usize>()
}

#[cfg(test)]
pub(super) mod tests {
    use bytes::Bytes;

    use super::*;

    pub fn recording(input: &str) -> Recording {
        let job = hoth_runtime::JobContext {
            id: "job-1".to_owned(),
            operation: "add-portfolio".to_owned(),
            input: input.to_owned(),
            settings: "{}".to_owned(),
            attempt: 1,
            context: Vec::new(),
        };
        Recording::new("atat".to_owned(), "CSP_A".parse().unwrap(), job)
    }

    pub fn recorded_call(event: Option<Event>, step: StepKind) -> RecordedCall {
        RecordedCall {
            attempt: 1,
            now: Timestamp::from_millis(1),
            entropy: (1, 2),
            context: Vec::new(),
            event,
            step,
        }
    }

    pub fn answer(status: u16, body: &str) -> Event {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let url = "https://csp-a.example.com/a".to_owned();
        Event::Response(HttpResponse { status, url, tries: 1, headers: Vec::new(), body })
    }

    pub fn send(method: &str, target: &str) -> StepKind {
        StepKind::Send { method: method.to_owned(), target: target.to_owned() }
    }

    fn poll(recording: &mut Recording, target: &str, body: &str, step: StepKind) {
        recording.add(recorded_call(Some(Event::Timer), send("GET", target)));
        recording.add(recorded_call(Some(answer(200, body)), step));
        recording.drop_repeated_poll();
    }

    fn accepted() -> Recording {
        let mut recording = recording("{}");
        recording.add(recorded_call(None, send("POST", "/a")));
        recording.add(recorded_call(
            Some(answer(202, "")),
            StepKind::Wait { purpose: WaitPurpose::Poll },
        ));
        recording
    }

    #[test]
    fn the_first_and_the_last_of_equal_polls_are_kept() {
        let mut recording = accepted();
        let (calls, bytes) = (recording.calls.len(), recording.bytes);
        for n in 0..1_000 {
            poll(
                &mut recording,
                "/s",
                &format!("{n:04}"),
                StepKind::Wait { purpose: WaitPurpose::Poll },
            );
        }
        let bodies = recording.calls.iter().filter_map(|call| match &call.event {
            Some(Event::Response(response)) => Some(response.body.clone()),
            Some(Event::TransportFailure(_) | Event::Timer) | None => None,
        });
        assert_eq!(bodies.collect::<Vec<_>>(), ["", "0000", "0999"]);
        assert_eq!(recording.calls.len(), calls + 4);
        assert_eq!(
            recording.bytes,
            bytes + 2 * (2 * CALL_BYTES + "https://csp-a.example.com/a".len() + 4)
        );
        assert!(!recording.is_too_large());
    }

    #[test]
    fn the_trace_of_a_job_is_not_recorded() {
        let mut recording = recording("{}");
        let pair = |name: &str| (name.to_owned(), "x".to_owned());
        let context = vec![pair("host-features"), pair(TRACEPARENT), pair(TRACESTATE)];
        recording.add(RecordedCall { context, ..recorded_call(None, send("GET", "/a")) });
        assert_eq!(recording.calls[0].context, [pair("host-features")]);
    }

    #[test]
    fn different_polls_and_checkpoints_are_all_kept() {
        let mut recording = accepted();
        for n in 0..20 {
            poll(
                &mut recording,
                &format!("/s/{n}"),
                "",
                StepKind::Wait { purpose: WaitPurpose::Poll },
            );
        }
        assert_eq!(recording.calls.len(), 42);
        let mut recording = accepted();
        for _ in 0..20 {
            poll(&mut recording, "/s", "", StepKind::Wait { purpose: WaitPurpose::Checkpoint });
        }
        assert_eq!(recording.calls.len(), 42);
    }

    #[test]
    fn a_recording_has_a_limit_of_calls_and_bytes() {
        let mut recording = accepted();
        for n in 0..CALLS_MAX {
            poll(
                &mut recording,
                &format!("/{n}"),
                "",
                StepKind::Wait { purpose: WaitPurpose::Poll },
            );
        }
        assert!(recording.is_too_large());
        let kept = recording.calls.len();
        recording.add(recorded_call(Some(Event::Timer), StepKind::Broken));
        assert_eq!(recording.calls.len(), kept, "a recording that is too large does not grow");
        let mut recording = accepted();
        recording.add(recorded_call(
            Some(answer(200, &"x".repeat(BYTES_MAX))),
            StepKind::Done { code: 200 },
        ));
        assert!(recording.is_too_large());
        assert_eq!(recording.calls.len(), 2, "the call that is too large is not held");
    }
}
