//! Tapes of jobs under way: where they begin, wait and end.
//!
//! Recording never delays a job: a tape begins only when there is time and
//! room for it, and one that cannot be handed on is dropped and counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::mpsc;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::TrySendError;
use std::time::Duration;
use std::time::Instant;

use metrics::counter;

use super::Config;
use super::Rules;
use super::Store;
use super::Tape;
use super::writer;
use super::writer::Finished;
use crate::adapter::Facts;
use crate::clock::Clock;
use crate::domain::CspName;
use crate::domain::Digest;

/// Tapes that begin in one second, for each adapter. More would cost the jobs
/// of a busy host time, and the bound on journals would let go of them at
/// once.
const BEGINNINGS_PER_SECOND: u32 = 20;

/// Tapes of jobs that wait.
const WAITING_MAX: usize = 1_024;

/// What they may hold together, in bytes.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// A tape that has waited longer gives way to a new one when there is no more
/// room: jobs that take days shall not keep all others from being recorded.
const WAITING_AGE_MAX: Duration = Duration::from_secs(60 * 60);

/// Tapes on their way to the writer.
const FINISHED_MAX: usize = 64;

/// Takes tapes in. Shared by all workers; while it is off it does nothing.
#[derive(Debug)]
pub struct Recorder(Option<Recording>);

#[derive(Debug)]
struct Recording {
    finished: SyncSender<Finished>,
    clock: Clock,
    /// How many tapes of each adapter have begun in its present second.
    paces: Mutex<HashMap<String, (Instant, u32)>>,
    waiting: Mutex<Waiting>,
}

/// Tapes of jobs that wait, by CSP and job.
#[derive(Debug, Default)]
struct Waiting {
    tapes: HashMap<(CspName, String), Tape>,
    bytes: usize,
}

impl Recorder {
    /// A recorder that writes to `store`, on a thread of its own that ends
    /// with it; or one that is off, when `config` says so.
    ///
    /// # Errors
    ///
    /// When there can be no such thread.
    pub fn start(config: &Config, store: Arc<Store>, clock: Clock) -> std::io::Result<Self> {
        if !config.record {
            return Ok(Self::off());
        }
        let (finished, arrivals) = mpsc::sync_channel(FINISHED_MAX);
        let rules = Rules::new(&config.redact);
        writer::start(arrivals, rules, store, clock.clone())?;
        let (paces, waiting) = (Mutex::default(), Mutex::default());
        Ok(Self(Some(Recording { finished, clock, paces, waiting })))
    }

    /// A recorder that does nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// A tape for a job that begins; none when it is not to be recorded. The
    /// adapter's name is one that can be a file's.
    pub fn begin(&self, adapter: &str, csp: &CspName, facts: &Facts) -> Option<Tape> {
        let recording = self.0.as_ref()?;
        if !recording.has_time_for(adapter) {
            return None;
        }
        // Repeated after a crash: what it did before never came to an end.
        recording.waiting().take(csp, &facts.id);
        Some(Tape::new(adapter.to_owned(), csp.clone(), facts.clone()))
    }

    /// The tape of a job that goes on; none when it is not recorded.
    pub fn resume(&self, csp: &CspName, job: &str) -> Option<Tape> {
        self.0.as_ref()?.waiting().take(csp, job)
    }

    /// The job of this tape waits.
    pub fn wait(&self, tape: Option<Tape>) {
        let (Some(recording), Some(mut tape)) = (&self.0, tape) else { return };
        tape.leave_out_a_poll();
        let adapter = tape.adapter.clone();
        if tape.is_too_long() {
            drop_one(&adapter, "too-long");
        } else if !recording.waiting().put(tape) {
            drop_one(&adapter, "no-room");
        }
    }

    /// The job of this tape is over; `version` has ended it.
    pub fn finish(&self, tape: Option<Tape>, version: Digest) {
        let (Some(recording), Some(tape)) = (&self.0, tape) else { return };
        if tape.is_too_long() {
            return drop_one(&tape.adapter, "too-long");
        }
        let finished = Finished { tape, version, at: recording.clock.now() };
        match recording.finished.try_send(finished) {
            Ok(()) => {}
            Err(TrySendError::Full(finished) | TrySendError::Disconnected(finished)) => {
                drop_one(&finished.tape.adapter, "busy");
            }
        }
    }
}

impl Recording {
    fn has_time_for(&self, adapter: &str) -> bool {
        let now = Instant::now();
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        match paces.get_mut(adapter) {
            Some((second, begun)) if now.duration_since(*second) < Duration::from_secs(1) => {
                *begun += 1;
                *begun <= BEGINNINGS_PER_SECOND
            }
            Some(pace) => {
                *pace = (now, 1);
                true
            }
            // There are as many as the configuration names adapters.
            None => {
                paces.insert(adapter.to_owned(), (now, 1));
                true
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn take(&mut self, csp: &CspName, job: &str) -> Option<Tape> {
        let tape = self.tapes.remove(&(csp.clone(), job.to_owned()))?;
        self.bytes -= tape.bytes();
        Some(tape)
    }

    /// False: there is no room.
    fn put(&mut self, tape: Tape) -> bool {
        if !self.has_room_for(&tape) {
            self.tapes.retain(|_, tape| tape.begun.elapsed() < WAITING_AGE_MAX);
            self.bytes = self.tapes.values().map(Tape::bytes).sum();
            if !self.has_room_for(&tape) {
                return false;
            }
        }
        self.bytes += tape.bytes();
        let key = (tape.csp.clone(), tape.facts.id.clone());
        if let Some(before) = self.tapes.insert(key, tape) {
            self.bytes -= before.bytes();
        }
        true
    }

    fn has_room_for(&self, tape: &Tape) -> bool {
        self.tapes.len() < WAITING_MAX && self.bytes + tape.bytes() <= WAITING_BYTES_MAX
    }
}

/// Counts a job that leaves no journal, though its recording had begun.
pub(super) fn drop_one(adapter: &str, reason: &'static str) {
    counter!("hoth_journals_dropped_total", "adapter" => adapter.to_owned(), "reason" => reason)
        .increment(1);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::tape::tests::answer;
    use super::super::tape::tests::tape;
    use super::super::tape::tests::taped;
    use super::*;
    use crate::replay::Took;

    fn csp() -> CspName {
        "CSP_A".parse().unwrap()
    }

    fn facts(id: &str) -> Facts {
        Facts { id: id.to_owned(), ..tape("{}").facts }
    }

    fn recorder(finished_max: usize) -> (Recorder, mpsc::Receiver<Finished>) {
        let (finished, arrivals) = mpsc::sync_channel(finished_max);
        let clock = Clock::system();
        let (paces, waiting) = (Mutex::default(), Mutex::default());
        (Recorder(Some(Recording { finished, clock, paces, waiting })), arrivals)
    }

    #[test]
    fn a_tape_follows_its_job_over_its_waits() {
        let (recorder, arrivals) = recorder(1);
        let mut tape = recorder.begin("atat", &csp(), &facts("a")).unwrap();
        tape.note(taped(None, Took::Wait { checkpoint: false }));
        recorder.wait(Some(tape));
        assert!(recorder.resume(&csp(), "b").is_none(), "that is another job");
        let mut tape = recorder.resume(&csp(), "a").unwrap();
        assert!(recorder.resume(&csp(), "a").is_none(), "it is in hand");
        tape.note(taped(Some(answer(200, "")), Took::Done { code: 200 }));
        recorder.finish(Some(tape), Digest::of(b"v"));
        let finished = arrivals.try_recv().unwrap();
        assert_eq!(finished.tape.calls.len(), 2);
    }

    #[test]
    fn a_job_that_begins_again_has_a_new_tape() {
        let (recorder, _arrivals) = recorder(1);
        let mut tape = recorder.begin("atat", &csp(), &facts("a")).unwrap();
        tape.note(taped(None, Took::Wait { checkpoint: false }));
        recorder.wait(Some(tape));
        assert!(recorder.begin("atat", &csp(), &facts("a")).unwrap().calls.is_empty());
        assert!(recorder.resume(&csp(), "a").is_none());
    }

    #[test]
    fn a_busy_host_records_some_jobs_and_delays_none() {
        let (recorder, arrivals) = recorder(1);
        let begun: Vec<_> = (0..1_000)
            .filter_map(|n| recorder.begin("atat", &csp(), &facts(&n.to_string())))
            .collect();
        // The thousand may take more than a second on a busy machine.
        assert!(begun.len() >= BEGINNINGS_PER_SECOND as usize);
        assert!(begun.len() < 1_000, "{}", begun.len());
        assert!(recorder.begin("other", &csp(), &facts("a")).is_some(), "it has its own pace");
        for tape in begun {
            recorder.finish(Some(tape), Digest::of(b"v"));
        }
        assert_eq!(arrivals.try_iter().count(), 1, "nobody waited for the writer");
    }

    #[test]
    fn tapes_that_wait_have_a_bound_in_number_and_in_bytes() {
        let mut waiting = Waiting::default();
        let of = |n: usize, bytes: usize| {
            let mut tape = tape("{}");
            tape.facts.id = n.to_string();
            let event = crate::domain::HttpResponse {
                status: 200,
                headers: Vec::new(),
                body: Bytes::from(vec![0; bytes]),
            };
            tape.note(taped(Some(crate::domain::Event::Response(event)), Took::Broke));
            tape
        };
        let kept = (0..2 * WAITING_MAX).filter(|n| waiting.put(of(*n, 1))).count();
        assert_eq!((kept, waiting.tapes.len()), (WAITING_MAX, WAITING_MAX));
        for n in 0..kept {
            waiting.take(&csp(), &n.to_string()).unwrap();
        }
        assert_eq!(waiting.bytes, 0);
        let kept = (0..100).filter(|n| waiting.put(of(*n, 1_000_000))).count();
        assert!((10..17).contains(&kept), "{kept}");
    }

    #[test]
    fn a_recorder_that_is_off_records_nothing() {
        let recorder = Recorder::off();
        assert!(recorder.begin("atat", &csp(), &facts("a")).is_none());
        assert!(recorder.resume(&csp(), "a").is_none());
        recorder.wait(None);
        recorder.finish(None, Digest::of(b"v"));
    }
}
