//! What is taken down while a job runs: raw, in memory, and never longer than
//! the job lasts.

use std::time::Instant;

use super::StepKind;
use hoth_core::domain::CspName;
use hoth_core::domain::Event;
use hoth_core::domain::HttpResponse;
use hoth_core::domain::Timestamp;
use hoth_core::domain::TransportFailure;

/// What one recording may hold, in bytes. Jobs are a few kilobytes; those with
/// answers near the bound on answers are not worth the room of so many others.
const BYTES_MAX: usize = 1 << 20;

/// Calls on one recording. The longest known run has five, and polls that are alike
/// are left out.
const CALLS_MAX: usize = 256;

/// A call, its job and its event in a struct take about this, in bytes.
const CALL_BYTES: usize = 256;

/// What an adapter was told while one job ran, and which way it took.
#[derive(Debug)]
pub struct Recording {
    pub(super) adapter: String,
    pub(super) csp: CspName,
    pub(super) job: hoth_runtime::Facts,
    pub(super) calls: Vec<RecordedCall>,
    pub(super) begun: Instant,
    bytes: usize,
}

/// One call. It borrows nothing, and answers are shared, not copied.
#[derive(Debug, Clone)]
pub struct RecordedCall {
    pub attempt: u32,
    pub now: Timestamp,
    pub entropy: (u64, u64),
    /// None: to begin.
    pub event: Option<Event>,
    pub step: StepKind,
}

impl Recording {
    /// An empty recording for the job with these job.
    pub fn new(adapter: String, csp: CspName, job: hoth_runtime::Facts) -> Self {
        let bytes = job.id.len() + job.input.len() + job.settings.len();
        Self { adapter, csp, job, calls: Vec::new(), begun: Instant::now(), bytes }
    }

    /// Takes down a call.
    pub fn note(&mut self, call: RecordedCall) {
        self.bytes += CALL_BYTES + call.event.as_ref().map_or(0, event_bytes);
        // One that is too long is known by its size, and is not to grow.
        if !self.is_too_large() {
            self.calls.push(call);
        }
    }

    /// Whether there was more than a recording holds; then it is of no use.
    pub(super) fn is_too_large(&self) -> bool {
        self.bytes > BYTES_MAX || self.calls.len() > CALLS_MAX
    }

    /// How much it holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A job may be polled thousands of times: of polls that went like the one
    /// before and the one before that, the first and the last are kept.
    pub(super) fn drop_repeated_poll(&mut self) {
        let begins = |call: &RecordedCall| matches!(call.event, None | Some(Event::Timer));
        let starts: Vec<usize> =
            (0..self.calls.len()).filter(|at| begins(&self.calls[*at])).collect();
        let [.., first, second, third] = starts[..] else { return };
        let run = |from: usize, to: usize| &self.calls[from..to];
        let (a, b, c) = (run(first, second), run(second, third), run(third, self.calls.len()));
        if !(alike(a, b) && alike(b, c) && is_poll(c)) {
            return;
        }
        let left_out = self.calls.drain(second..third);
        let bytes: usize =
            left_out.map(|call| CALL_BYTES + call.event.as_ref().map_or(0, event_bytes)).sum();
        self.bytes -= bytes;
    }
}

fn alike(a: &[RecordedCall], b: &[RecordedCall]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.step == b.step)
}

/// A checkpoint is never the same again: the work has gone on.
fn is_poll(run: &[RecordedCall]) -> bool {
    match run.last().map(|call| &call.step) {
        Some(StepKind::Wait { checkpoint }) => !checkpoint,
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
    response.body.len() + headers.sum::<usize>()
}

#[cfg(test)]
pub(super) mod tests {
    use bytes::Bytes;

    use super::*;

    pub fn recording(input: &str) -> Recording {
        let job = hoth_runtime::Facts {
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
        RecordedCall { attempt: 1, now: Timestamp::from_millis(1), entropy: (1, 2), event, step }
    }

    pub fn answer(status: u16, body: &str) -> Event {
        let body = Bytes::copy_from_slice(body.as_bytes());
        Event::Response(HttpResponse { status, headers: Vec::new(), body })
    }

    pub fn send(method: &str, target: &str) -> StepKind {
        StepKind::Send { method: method.to_owned(), target: target.to_owned() }
    }

    fn poll(recording: &mut Recording, target: &str, body: &str, step: StepKind) {
        recording.note(recorded_call(Some(Event::Timer), send("GET", target)));
        recording.note(recorded_call(Some(answer(200, body)), step));
        recording.drop_repeated_poll();
    }

    fn accepted() -> Recording {
        let mut recording = recording("{}");
        recording.note(recorded_call(None, send("POST", "/a")));
        recording.note(recorded_call(Some(answer(202, "")), StepKind::Wait { checkpoint: false }));
        recording
    }

    #[test]
    fn of_many_polls_that_are_alike_the_first_and_the_last_are_kept() {
        let mut recording = accepted();
        let (calls, bytes) = (recording.calls.len(), recording.bytes);
        for n in 0..1_000 {
            poll(&mut recording, "/s", &format!("{n:04}"), StepKind::Wait { checkpoint: false });
        }
        let bodies = recording.calls.iter().filter_map(|call| match &call.event {
            Some(Event::Response(response)) => Some(response.body.clone()),
            Some(Event::TransportFailure(_) | Event::Timer) | None => None,
        });
        assert_eq!(bodies.collect::<Vec<_>>(), ["", "0000", "0999"]);
        assert_eq!(recording.calls.len(), calls + 4);
        assert_eq!(recording.bytes, bytes + 2 * (2 * CALL_BYTES + 4));
        assert!(!recording.is_too_large());
    }

    #[test]
    fn polls_of_another_kind_and_checkpoints_are_all_kept() {
        let mut recording = accepted();
        for n in 0..20 {
            poll(&mut recording, &format!("/s/{n}"), "", StepKind::Wait { checkpoint: false });
        }
        assert_eq!(recording.calls.len(), 42);
        let mut recording = accepted();
        for _ in 0..20 {
            poll(&mut recording, "/s", "", StepKind::Wait { checkpoint: true });
        }
        assert_eq!(recording.calls.len(), 42);
    }

    #[test]
    fn a_tape_has_a_bound_in_calls_and_in_bytes() {
        let mut recording = accepted();
        for n in 0..CALLS_MAX {
            poll(&mut recording, &format!("/{n}"), "", StepKind::Wait { checkpoint: false });
        }
        assert!(recording.is_too_large());
        let kept = recording.calls.len();
        recording.note(recorded_call(Some(Event::Timer), StepKind::Broken));
        assert_eq!(recording.calls.len(), kept, "it does not grow any more");
        let mut recording = accepted();
        recording.note(recorded_call(
            Some(answer(200, &"x".repeat(BYTES_MAX))),
            StepKind::Done { code: 200 },
        ));
        assert!(recording.is_too_large());
        assert_eq!(recording.calls.len(), 2, "what is too much is not held");
    }
}
