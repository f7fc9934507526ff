//! What is taken down while a job runs: raw, in memory, and never longer than
//! the job lasts.

use std::time::Instant;

use super::Took;
use crate::adapter;
use crate::domain::CspName;
use crate::domain::Event;
use crate::domain::HttpResponse;
use crate::domain::Timestamp;
use crate::domain::TransportFailure;

/// What one tape may hold, in bytes. Jobs are a few kilobytes; those with
/// answers near the bound on answers are not worth the room of so many others.
const BYTES_MAX: usize = 1 << 20;

/// Calls on one tape. The longest known run has five, and polls that are alike
/// are left out.
const CALLS_MAX: usize = 256;

/// A call, its facts and its event in a struct take about this, in bytes.
const CALL_BYTES: usize = 256;

/// What an adapter was told while one job ran, and which way it took.
#[derive(Debug)]
pub struct Tape {
    pub(super) adapter: String,
    pub(super) csp: CspName,
    pub(super) facts: adapter::Facts,
    pub(super) calls: Vec<Taped>,
    pub(super) begun: Instant,
    bytes: usize,
}

/// One call. It borrows nothing, and answers are shared, not copied.
#[derive(Debug, Clone)]
pub struct Taped {
    pub attempt: u32,
    pub now: Timestamp,
    pub entropy: (u64, u64),
    /// None: to begin.
    pub event: Option<Event>,
    pub took: Took,
}

impl Tape {
    /// An empty tape for the job with these facts.
    pub fn new(adapter: String, csp: CspName, facts: adapter::Facts) -> Self {
        let bytes = facts.id.len() + facts.input.len() + facts.settings.len();
        Self { adapter, csp, facts, calls: Vec::new(), begun: Instant::now(), bytes }
    }

    /// Takes down a call.
    pub fn note(&mut self, call: Taped) {
        self.bytes += CALL_BYTES + call.event.as_ref().map_or(0, event_bytes);
        // One that is too long is known by its size, and is not to grow.
        if !self.is_too_long() {
            self.calls.push(call);
        }
    }

    /// Whether there was more than a tape holds; then it is of no use.
    pub(super) fn is_too_long(&self) -> bool {
        self.bytes > BYTES_MAX || self.calls.len() > CALLS_MAX
    }

    /// How much it holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A job may be polled thousands of times: of polls that went like the one
    /// before and the one before that, the first and the last are kept.
    pub(super) fn leave_out_a_poll(&mut self) {
        let begins = |call: &Taped| matches!(call.event, None | Some(Event::Timer));
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

fn alike(a: &[Taped], b: &[Taped]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.took == b.took)
}

/// A checkpoint is never the same again: the work has gone on.
fn is_poll(run: &[Taped]) -> bool {
    match run.last().map(|call| &call.took) {
        Some(Took::Wait { checkpoint }) => !checkpoint,
        Some(Took::Fail { .. }) => true,
        Some(Took::Send { .. } | Took::Done { .. } | Took::Broke) | None => false,
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

    pub fn tape(input: &str) -> Tape {
        let facts = adapter::Facts {
            id: "job-1".to_owned(),
            operation: "add-portfolio".to_owned(),
            input: input.to_owned(),
            settings: "{}".to_owned(),
            attempt: 1,
            context: Vec::new(),
        };
        Tape::new("atat".to_owned(), "CSP_A".parse().unwrap(), facts)
    }

    pub fn taped(event: Option<Event>, took: Took) -> Taped {
        Taped { attempt: 1, now: Timestamp::from_millis(1), entropy: (1, 2), event, took }
    }

    pub fn answer(status: u16, body: &str) -> Event {
        let body = Bytes::copy_from_slice(body.as_bytes());
        Event::Response(HttpResponse { status, headers: Vec::new(), body })
    }

    pub fn send(method: &str, target: &str) -> Took {
        Took::Send { method: method.to_owned(), target: target.to_owned() }
    }

    fn poll(tape: &mut Tape, target: &str, body: &str, took: Took) {
        tape.note(taped(Some(Event::Timer), send("GET", target)));
        tape.note(taped(Some(answer(200, body)), took));
        tape.leave_out_a_poll();
    }

    fn accepted() -> Tape {
        let mut tape = tape("{}");
        tape.note(taped(None, send("POST", "/a")));
        tape.note(taped(Some(answer(202, "")), Took::Wait { checkpoint: false }));
        tape
    }

    #[test]
    fn of_many_polls_that_are_alike_the_first_and_the_last_are_kept() {
        let mut tape = accepted();
        let (calls, bytes) = (tape.calls.len(), tape.bytes);
        for n in 0..1_000 {
            poll(&mut tape, "/s", &format!("{n:04}"), Took::Wait { checkpoint: false });
        }
        let bodies = tape.calls.iter().filter_map(|call| match &call.event {
            Some(Event::Response(response)) => Some(response.body.clone()),
            Some(Event::TransportFailure(_) | Event::Timer) | None => None,
        });
        assert_eq!(bodies.collect::<Vec<_>>(), ["", "0000", "0999"]);
        assert_eq!(tape.calls.len(), calls + 4);
        assert_eq!(tape.bytes, bytes + 2 * (2 * CALL_BYTES + 4));
        assert!(!tape.is_too_long());
    }

    #[test]
    fn polls_of_another_kind_and_checkpoints_are_all_kept() {
        let mut tape = accepted();
        for n in 0..20 {
            poll(&mut tape, &format!("/s/{n}"), "", Took::Wait { checkpoint: false });
        }
        assert_eq!(tape.calls.len(), 42);
        let mut tape = accepted();
        for _ in 0..20 {
            poll(&mut tape, "/s", "", Took::Wait { checkpoint: true });
        }
        assert_eq!(tape.calls.len(), 42);
    }

    #[test]
    fn a_tape_has_a_bound_in_calls_and_in_bytes() {
        let mut tape = accepted();
        for n in 0..CALLS_MAX {
            poll(&mut tape, &format!("/{n}"), "", Took::Wait { checkpoint: false });
        }
        assert!(tape.is_too_long());
        let kept = tape.calls.len();
        tape.note(taped(Some(Event::Timer), Took::Broke));
        assert_eq!(tape.calls.len(), kept, "it does not grow any more");
        let mut tape = accepted();
        tape.note(taped(Some(answer(200, &"x".repeat(BYTES_MAX))), Took::Done { code: 200 }));
        assert!(tape.is_too_long());
        assert_eq!(tape.calls.len(), 2, "what is too much is not held");
    }
}
