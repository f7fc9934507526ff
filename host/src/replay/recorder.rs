//! Tapes of jobs under way: where they begin, wait and end.
//!
//! Recording never delays a job: a recording begins only when there is time and
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
use super::JournalStore;
use super::Recording;
use super::RedactionRules;
use super::writer;
use super::writer::FinishedRecording;
use hoth_core::domain::CspName;
use hoth_core::domain::Digest;
use hoth_platform::clock::Clock;
use hoth_runtime::Facts;

/// Tapes that begin in one second, for each adapter. More would cost the jobs
/// of a busy host time, and the bound on journals would let go of them at
/// once.
const STARTS_PER_SECOND_MAX: u32 = 20;

/// Tapes of jobs that wait.
const WAITING_MAX: usize = 1_024;

/// What they may hold together, in bytes.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// A recording that has waited longer gives way to a new one when there is no more
/// room: jobs that take days shall not keep all others from being recorded.
const WAITING_AGE_MAX: Duration = Duration::from_secs(60 * 60);

/// Tapes on their way to the writer.
const FINISHED_MAX: usize = 64;

/// Takes recordings in. Shared by all workers; while it is off it does nothing.
#[derive(Debug)]
pub struct Recorder(Option<ActiveRecorder>);

#[derive(Debug)]
struct ActiveRecorder {
    finished: SyncSender<FinishedRecording>,
    clock: Clock,
    /// How many recordings of each adapter have begun in its present second.
    start_rates: Mutex<HashMap<String, (Instant, u32)>>,
    waiting: Mutex<WaitingRecordings>,
}

/// Tapes of jobs that wait, by CSP and job.
#[derive(Debug, Default)]
struct WaitingRecordings {
    recordings: HashMap<(CspName, String), Recording>,
    bytes: usize,
}

impl Recorder {
    /// A recorder that writes to `store`, on a thread of its own that ends
    /// with it; or one that is off, when `config` says so.
    ///
    /// # Errors
    ///
    /// When there can be no such thread.
    pub fn start(config: &Config, store: Arc<JournalStore>, clock: Clock) -> std::io::Result<Self> {
        if !config.record {
            return Ok(Self::off());
        }
        let (finished, arrivals) = mpsc::sync_channel(FINISHED_MAX);
        let rules = RedactionRules::new(&config.redact);
        writer::start(arrivals, rules, store, clock.clone())?;
        let (start_rates, waiting) = (Mutex::default(), Mutex::default());
        Ok(Self(Some(ActiveRecorder { finished, clock, start_rates, waiting })))
    }

    /// A recorder that does nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// A recording for a job that begins; none when it is not to be recorded. The
    /// adapter's name is one that can be a file's.
    pub fn begin(&self, adapter: &str, csp: &CspName, job: &Facts) -> Option<Recording> {
        let active = self.0.as_ref()?;
        if !active.within_start_rate(adapter) {
            return None;
        }
        // Repeated after a crash: what it did before never came to an end.
        active.waiting().take(csp, &job.id);
        Some(Recording::new(adapter.to_owned(), csp.clone(), job.clone()))
    }

    /// The recording of a job that goes on; none when it is not recorded.
    pub fn resume(&self, csp: &CspName, job: &str) -> Option<Recording> {
        self.0.as_ref()?.waiting().take(csp, job)
    }

    /// The job of this recording waits.
    pub fn wait(&self, recording: Option<Recording>) {
        let (Some(active), Some(mut recording)) = (&self.0, recording) else { return };
        recording.drop_repeated_poll();
        let adapter = recording.adapter.clone();
        if recording.is_too_large() {
            count_dropped(&adapter, "too-long");
        } else if !active.waiting().put(recording) {
            count_dropped(&adapter, "no-room");
        }
    }

    /// The job of this recording is over; `version` has ended it.
    pub fn finish(&self, recording: Option<Recording>, version: Digest) {
        let (Some(active), Some(recording)) = (&self.0, recording) else { return };
        if recording.is_too_large() {
            return count_dropped(&recording.adapter, "too-long");
        }
        let finished = FinishedRecording { recording, version, at: active.clock.now() };
        match active.finished.try_send(finished) {
            Ok(()) => {}
            Err(TrySendError::Full(finished) | TrySendError::Disconnected(finished)) => {
                count_dropped(&finished.recording.adapter, "busy");
            }
        }
    }
}

impl ActiveRecorder {
    fn within_start_rate(&self, adapter: &str) -> bool {
        let now = Instant::now();
        let mut start_rates = self.start_rates.lock().unwrap_or_else(PoisonError::into_inner);
        match start_rates.get_mut(adapter) {
            Some((second, begun)) if now.duration_since(*second) < Duration::from_secs(1) => {
                *begun += 1;
                *begun <= STARTS_PER_SECOND_MAX
            }
            Some(rate) => {
                *rate = (now, 1);
                true
            }
            // There are as many as the configuration names adapters.
            None => {
                start_rates.insert(adapter.to_owned(), (now, 1));
                true
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, WaitingRecordings> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WaitingRecordings {
    fn take(&mut self, csp: &CspName, job: &str) -> Option<Recording> {
        let recording = self.recordings.remove(&(csp.clone(), job.to_owned()))?;
        self.bytes -= recording.bytes();
        Some(recording)
    }

    /// False: there is no room.
    fn put(&mut self, recording: Recording) -> bool {
        if !self.has_room_for(&recording) {
            self.recordings.retain(|_, recording| recording.begun.elapsed() < WAITING_AGE_MAX);
            self.bytes = self.recordings.values().map(Recording::bytes).sum();
            if !self.has_room_for(&recording) {
                return false;
            }
        }
        self.bytes += recording.bytes();
        let key = (recording.csp.clone(), recording.job.id.clone());
        if let Some(before) = self.recordings.insert(key, recording) {
            self.bytes -= before.bytes();
        }
        true
    }

    fn has_room_for(&self, recording: &Recording) -> bool {
        self.recordings.len() < WAITING_MAX && self.bytes + recording.bytes() <= WAITING_BYTES_MAX
    }
}

/// Counts a job that leaves no journal, though its active had begun.
pub(super) fn count_dropped(adapter: &str, reason: &'static str) {
    counter!("hoth_journals_dropped_total", "adapter" => adapter.to_owned(), "reason" => reason)
        .increment(1);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::recording::tests::answer;
    use super::super::recording::tests::recorded_call;
    use super::super::recording::tests::recording;
    use super::*;
    use crate::replay::StepKind;

    fn csp() -> CspName {
        "CSP_A".parse().unwrap()
    }

    fn job(id: &str) -> Facts {
        Facts { id: id.to_owned(), ..recording("{}").job }
    }

    fn recorder(finished_max: usize) -> (Recorder, mpsc::Receiver<FinishedRecording>) {
        let (finished, arrivals) = mpsc::sync_channel(finished_max);
        let clock = Clock::system();
        let (start_rates, waiting) = (Mutex::default(), Mutex::default());
        (Recorder(Some(ActiveRecorder { finished, clock, start_rates, waiting })), arrivals)
    }

    #[test]
    fn a_tape_follows_its_job_over_its_waits() {
        let (recorder, arrivals) = recorder(1);
        let mut recording = recorder.begin("atat", &csp(), &job("a")).unwrap();
        recording.note(recorded_call(None, StepKind::Wait { checkpoint: false }));
        recorder.wait(Some(recording));
        assert!(recorder.resume(&csp(), "b").is_none(), "that is another job");
        let mut recording = recorder.resume(&csp(), "a").unwrap();
        assert!(recorder.resume(&csp(), "a").is_none(), "it is in hand");
        recording.note(recorded_call(Some(answer(200, "")), StepKind::Done { code: 200 }));
        recorder.finish(Some(recording), Digest::of(b"v"));
        let finished = arrivals.try_recv().unwrap();
        assert_eq!(finished.recording.calls.len(), 2);
    }

    #[test]
    fn a_job_that_begins_again_has_a_new_tape() {
        let (recorder, _arrivals) = recorder(1);
        let mut recording = recorder.begin("atat", &csp(), &job("a")).unwrap();
        recording.note(recorded_call(None, StepKind::Wait { checkpoint: false }));
        recorder.wait(Some(recording));
        assert!(recorder.begin("atat", &csp(), &job("a")).unwrap().calls.is_empty());
        assert!(recorder.resume(&csp(), "a").is_none());
    }

    #[test]
    fn a_busy_host_records_some_jobs_and_delays_none() {
        let (recorder, arrivals) = recorder(1);
        let begun: Vec<_> = (0..1_000)
            .filter_map(|n| recorder.begin("atat", &csp(), &job(&n.to_string())))
            .collect();
        // The thousand may take more than a second on a busy machine.
        assert!(begun.len() >= STARTS_PER_SECOND_MAX as usize);
        assert!(begun.len() < 1_000, "{}", begun.len());
        assert!(recorder.begin("other", &csp(), &job("a")).is_some(), "it has its own rate");
        for recording in begun {
            recorder.finish(Some(recording), Digest::of(b"v"));
        }
        assert_eq!(arrivals.try_iter().count(), 1, "nobody waited for the writer");
    }

    #[test]
    fn tapes_that_wait_have_a_bound_in_number_and_in_bytes() {
        let mut waiting = WaitingRecordings::default();
        let of = |n: usize, bytes: usize| {
            let mut recording = recording("{}");
            recording.job.id = n.to_string();
            let event = hoth_core::domain::HttpResponse {
                status: 200,
                headers: Vec::new(),
                body: Bytes::from(vec![0; bytes]),
            };
            recording.note(recorded_call(
                Some(hoth_core::domain::Event::Response(event)),
                StepKind::Broken,
            ));
            recording
        };
        let kept = (0..2 * WAITING_MAX).filter(|n| waiting.put(of(*n, 1))).count();
        assert_eq!((kept, waiting.recordings.len()), (WAITING_MAX, WAITING_MAX));
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
        assert!(recorder.begin("atat", &csp(), &job("a")).is_none());
        assert!(recorder.resume(&csp(), "a").is_none());
        recorder.wait(None);
        recorder.finish(None, Digest::of(b"v"));
    }
}
