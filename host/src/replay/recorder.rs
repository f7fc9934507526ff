//! Recordings of running jobs: start, wait, and finish.
//!
//! Recording never delays a job. A recording starts only within the rate and
//! memory limits. A recording that cannot be handed on is dropped and counted.

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

use super::Config;
use super::JournalStore;
use super::Recording;
use super::RedactionRules;
use super::writer;
use super::writer::FinishedRecording;
use super::writer::count_dropped;
use crate::supervisor::Supervisor;
use hoth_core::domain::CspName;
use hoth_core::domain::Digest;
use hoth_core::domain::Manifest;
use hoth_platform::clock::Clock;
use hoth_runtime::JobContext;

/// Recordings of one adapter that start in one second. More would slow down a
/// busy host, and the limit on journals would delete them at once.
const STARTS_PER_SECOND_MAX: u32 = 20;

/// Recordings of waiting jobs.
const WAITING_MAX: usize = 1_024;

/// Total size of the recordings of waiting jobs, in bytes.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// Age at which the recording of a waiting job gives way to a new one if there
/// is no room: jobs that take days must not keep all others from being
/// recorded.
const WAITING_AGE_MAX: Duration = Duration::from_secs(60 * 60);

/// Recordings in the queue to the writer.
const FINISHED_MAX: usize = 64;

/// The recorder of all workers. It does nothing if recording is off.
#[derive(Debug)]
pub struct Recorder(Option<ActiveRecorder>);

/// A recorder that is on.
#[derive(Debug)]
struct ActiveRecorder {
    /// Bounded: a full queue drops the recording instead of delaying a job.
    finished: SyncSender<FinishedRecording>,
    clock: Clock,
    /// The number of recordings of each adapter that started in its current
    /// second.
    start_rates: Mutex<HashMap<String, (Instant, u32)>>,
    /// Recordings between two runs of their jobs.
    waiting: Mutex<WaitingRecordings>,
}

/// The recordings of waiting jobs, by CSP and job id.
#[derive(Debug, Default)]
struct WaitingRecordings {
    recordings: HashMap<(CspName, String), Recording>,
    /// The total size of `recordings`.
    bytes: usize,
}

impl Recorder {
    /// Starts a recorder with its writer thread, which ends with the recorder.
    /// Returns a recorder that is off if `config` says so.
    ///
    /// # Errors
    ///
    /// Returns the system's error if the thread cannot be started.
    pub fn start(
        config: &Config,
        store: Arc<JournalStore>,
        clock: Clock,
        supervisor: &Supervisor,
    ) -> std::io::Result<Self> {
        if !config.record {
            return Ok(Self::off());
        }
        let (finished, arrivals) = mpsc::sync_channel(FINISHED_MAX);
        let rules = RedactionRules::new(&config.redact);
        writer::start(arrivals, rules, store, clock.clone(), supervisor)?;
        let (start_rates, waiting) = (Mutex::default(), Mutex::default());
        Ok(Self(Some(ActiveRecorder { finished, clock, start_rates, waiting })))
    }

    /// Returns a recorder that does nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Starts the recording of a job. Returns `None` if the job is not to be
    /// recorded. `adapter` must be valid as the name of a folder, and `manifest`
    /// is that of the version that runs the job.
    pub fn begin(
        &self,
        adapter: &str,
        csp: &CspName,
        job: &JobContext,
        manifest: &Manifest,
    ) -> Option<Recording> {
        let active = self.0.as_ref()?;
        if !active.within_start_rate(adapter) {
            return None;
        }
        // A recording of the same job exists if the job is repeated after a run
        // that never ended. Such a recording is useless.
        active.waiting().take(csp, &job.id);
        let mut recording = Recording::new(adapter.to_owned(), csp.clone(), job.clone());
        recording.add_keys(manifest);
        Some(recording)
    }

    /// Returns the recording of a job that is resumed, or `None` if it is not
    /// recorded. The version may be another one than before: `manifest` is its
    /// own.
    pub fn resume(&self, csp: &CspName, job: &str, manifest: &Manifest) -> Option<Recording> {
        let mut recording = self.0.as_ref()?.waiting().take(csp, job)?;
        recording.add_keys(manifest);
        Some(recording)
    }

    /// Keeps the recording of a job that waits.
    pub fn wait(&self, recording: Option<Recording>) {
        let (Some(active), Some(mut recording)) = (&self.0, recording) else { return };
        // First, because it may bring the recording back below its limits.
        recording.drop_repeated_poll();
        let adapter = recording.adapter.clone();
        if recording.is_too_large() {
            count_dropped(&adapter, "too-long");
        } else if !active.waiting().put(recording) {
            count_dropped(&adapter, "no-room");
        }
    }

    /// Hands the recording of a finished job to the writer. `version` is the
    /// version that ended the job.
    pub fn finish(&self, recording: Option<Recording>, version: Digest) {
        let (Some(active), Some(recording)) = (&self.0, recording) else { return };
        if recording.is_too_large() {
            return count_dropped(&recording.adapter, "too-long");
        }
        let finished = FinishedRecording { recording, version, at: active.clock.now() };
        // Does not wait: a full queue means that jobs finish faster than
        // journals are written.
        match active.finished.try_send(finished) {
            Ok(()) => {}
            Err(TrySendError::Full(finished) | TrySendError::Disconnected(finished)) => {
                count_dropped(&finished.recording.adapter, "busy");
            }
        }
    }
}

impl ActiveRecorder {
    /// Counts a start. Returns `false` if the adapter has used up its current
    /// second.
    fn within_start_rate(&self, adapter: &str) -> bool {
        let now = Instant::now();
        let mut start_rates = self.start_rates.lock().unwrap_or_else(PoisonError::into_inner);
        match start_rates.get_mut(adapter) {
            Some((second, started)) if now.duration_since(*second) < Duration::from_secs(1) => {
                *started += 1;
                *started <= STARTS_PER_SECOND_MAX
            }
            Some(rate) => {
                *rate = (now, 1);
                true
            }
            // At most one entry for each adapter of the configuration.
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

    /// Adds a recording. Returns `false` if there is no room.
    fn put(&mut self, recording: Recording) -> bool {
        if !self.has_room_for(&recording) {
            // Only now: if old recordings were dropped while there is room, the
            // recordings of long jobs would be lost.
            self.recordings.retain(|_, recording| recording.started_at.elapsed() < WAITING_AGE_MAX);
            self.bytes = self.recordings.values().map(Recording::bytes).sum();
            if !self.has_room_for(&recording) {
                return false;
            }
        }
        self.bytes += recording.bytes();
        let key = (recording.csp.clone(), recording.job.id.clone());
        // A job that was delivered twice may have left a recording; only the later
        // one counts.
        if let Some(before) = self.recordings.insert(key, recording) {
            self.bytes -= before.bytes();
        }
        true
    }

    fn has_room_for(&self, recording: &Recording) -> bool {
        self.recordings.len() < WAITING_MAX && self.bytes + recording.bytes() <= WAITING_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::recording::tests::answer;
    use super::super::recording::tests::recorded_call;
    use super::super::recording::tests::recording;
    use super::*;
    use crate::replay::StepKind;
    use hoth_core::domain::WaitPurpose;

    fn csp() -> CspName {
        "CSP_A".parse().unwrap()
    }

    /// Begins the recording of a job of the adapter `atat`, whose manifest is
    /// empty.
    fn begin(recorder: &Recorder, id: &str) -> Option<Recording> {
        recorder.begin("atat", &csp(), &job(id), &Manifest::default())
    }

    fn resume(recorder: &Recorder, id: &str) -> Option<Recording> {
        recorder.resume(&csp(), id, &Manifest::default())
    }

    fn job(id: &str) -> JobContext {
        JobContext { id: id.to_owned(), ..recording("{}").job }
    }

    fn recorder(finished_max: usize) -> (Recorder, mpsc::Receiver<FinishedRecording>) {
        let (finished, arrivals) = mpsc::sync_channel(finished_max);
        let clock = Clock::system();
        let (start_rates, waiting) = (Mutex::default(), Mutex::default());
        (Recorder(Some(ActiveRecorder { finished, clock, start_rates, waiting })), arrivals)
    }

    #[test]
    fn a_recording_follows_its_job_over_waits() {
        let (recorder, arrivals) = recorder(1);
        let mut recording = begin(&recorder, "a").unwrap();
        recording.add(recorded_call(None, StepKind::Wait { purpose: WaitPurpose::Poll }));
        recorder.wait(Some(recording));
        assert!(resume(&recorder, "b").is_none(), "the other job is not recorded");
        let mut recording = resume(&recorder, "a").unwrap();
        assert!(resume(&recorder, "a").is_none(), "the recording was already taken");
        recording.add(recorded_call(Some(answer(200, "")), StepKind::Done { code: 200 }));
        recorder.finish(Some(recording), Digest::of(b"v"));
        let finished = arrivals.try_recv().unwrap();
        assert_eq!(finished.recording.calls.len(), 2);
    }

    #[test]
    fn a_recording_has_the_keys_of_every_version_that_ran_its_job() {
        let (recorder, _arrivals) = recorder(1);
        let names =
            |key: &str| Manifest { secret_keys: vec![key.to_owned()], ..Manifest::default() };
        let recording = recorder.begin("atat", &csp(), &job("a"), &names("otp"));
        let bytes = recording.as_ref().map(Recording::bytes).unwrap();
        recorder.wait(recording);
        let resumed = recorder.resume(&csp(), "a", &names("redeemUrl")).unwrap();
        assert_eq!(resumed.keys.secret, ["otp".to_owned(), "redeemUrl".to_owned()].into());
        assert_eq!(resumed.bytes(), bytes + "redeemUrl".len());
    }

    #[test]
    fn a_job_that_begins_again_gets_a_new_recording() {
        let (recorder, _arrivals) = recorder(1);
        let mut recording = begin(&recorder, "a").unwrap();
        recording.add(recorded_call(None, StepKind::Wait { purpose: WaitPurpose::Poll }));
        recorder.wait(Some(recording));
        assert!(begin(&recorder, "a").unwrap().calls.is_empty());
        assert!(resume(&recorder, "a").is_none());
    }

    #[test]
    fn a_busy_host_records_some_jobs_and_delays_none() {
        let (recorder, arrivals) = recorder(1);
        let started: Vec<_> = (0..1_000).filter_map(|n| begin(&recorder, &n.to_string())).collect();
        // The thousand may take more than a second on a busy machine, and then
        // more of them are recorded.
        assert!(started.len() >= STARTS_PER_SECOND_MAX as usize);
        assert!(started.len() < 1_000, "{}", started.len());
        assert!(
            recorder.begin("other", &csp(), &job("a"), &Manifest::default()).is_some(),
            "each adapter has its own rate"
        );
        for recording in started {
            recorder.finish(Some(recording), Digest::of(b"v"));
        }
        assert_eq!(arrivals.try_iter().count(), 1, "a full queue does not block");
    }

    #[test]
    fn waiting_recordings_have_a_limit_of_number_and_bytes() {
        let mut waiting = WaitingRecordings::default();
        let of = |n: usize, bytes: usize| {
            let mut recording = recording("{}");
            recording.job.id = n.to_string();
            let event = hoth_core::domain::HttpResponse {
                status: 200,
                url: String::new(),
                tries: 1,
                headers: Vec::new(),
                body: Bytes::from(vec![0; bytes]),
            };
            recording.add(recorded_call(
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
        assert!(begin(&recorder, "a").is_none());
        assert!(resume(&recorder, "a").is_none());
        recorder.wait(None);
        recorder.finish(None, Digest::of(b"v"));
    }
}
