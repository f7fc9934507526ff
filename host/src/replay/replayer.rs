//! The gate itself: every journal, both versions, one report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use metrics::counter;
use tracing::Instrument as _;
use tracing::info;
use tracing::info_span;
use tracing::warn;

use super::ComparedVersion;
use super::Config;
use super::Finding;
use super::FindingKind;
use super::JobCounts;
use super::Journal;
use super::JournalStore;
use super::Policy;
use super::ReplayReport;
use super::Timing;
use super::Verdict;
use super::journal_comparison;
use super::journal_comparison::Comparison;
use super::journal_comparison::JournalComparison;
use hoth_platform::clock::Clock;
use hoth_runtime::Adapter;

/// How often a job's calls are timed for each version. The fastest of them
/// counts: what else goes on at the machine makes calls slower, never faster.
const TIMING_ROUNDS: u32 = 5;

/// A candidate is not slower as long as a job loses less than this to it:
/// nobody waits for it, and small adapters take so little that a ratio alone
/// means nothing.
const SLOWER_MIN: Duration = Duration::from_micros(500);

/// A candidate that has broken so many jobs is known well enough; each may
/// take as long as the deadline of calls.
const BROKEN_JOBS_MAX: usize = 10;

/// Findings in one report.
const FINDINGS_MAX: usize = 50;

/// Tries candidates on journals.
#[derive(Debug, Clone)]
pub struct Replayer {
    config: Config,
    store: Arc<JournalStore>,
    clock: Clock,
}

impl Replayer {
    /// A gate with the journals of `store`.
    pub fn new(config: Config, store: Arc<JournalStore>, clock: Clock) -> Self {
        Self { config, store, clock }
    }

    /// What the configuration says of candidates for `adapter`.
    pub fn policy(&self, adapter: &str) -> Policy {
        self.config.policy(adapter)
    }

    /// Has `candidate` and `active` go through the journals of the adapter
    /// `name`, and compares what they want. It calls nobody and changes nothing;
    /// it takes as long as `replay.max_ms` says, and a call's deadline more.
    pub async fn replay(
        &self,
        name: &str,
        active: Option<&Adapter>,
        candidate: &Adapter,
        policy: Policy,
    ) -> ReplayReport {
        let started_at = Instant::now();
        let span = info_span!("replay", adapter = name, candidate = %candidate.digest());
        let tally = self.replay_all(name, active, candidate, started_at).instrument(span).await;
        let compared = |adapter: &Adapter| ComparedVersion {
            version: adapter.info().version.clone(),
            sha256: adapter.digest(),
        };
        let report = ReplayReport {
            adapter: name.to_owned(),
            active: active.map(compared),
            candidate: compared(candidate),
            policy,
            verdict: tally.verdict(),
            timing: tally.timing,
            jobs: tally.counts,
            notes: tally.notes(),
            findings: tally.findings,
            took_ms: u64::try_from(started_at.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        log_report(&report);
        report
    }

    async fn replay_all(
        &self,
        name: &str,
        active: Option<&Adapter>,
        candidate: &Adapter,
        started_at: Instant,
    ) -> Tally {
        let deadline = started_at + Duration::from_millis(self.config.max_ms);
        let (store, now, folder) = (Arc::clone(&self.store), self.clock.now(), name.to_owned());
        let read = tokio::task::spawn_blocking(move || store.load(&folder, now));
        let journals = read.await.unwrap_or_default();
        let mut tally = Tally::default();
        tally.counts.journals = journals.len();
        let Some(active) = active else {
            tally.counts.not_comparable = journals.len();
            tally.remarks.push("no version is active, so there is nothing to compare with".into());
            return tally;
        };
        let versions = journal_comparison::Versions { active, candidate };
        let mut timings = Vec::new();
        for (at, journal) in journals.iter().enumerate() {
            let tried = match tally.counts.trap >= BROKEN_JOBS_MAX {
                true => None,
                false => versions.compare_on(journal, deadline).await,
            };
            let Some(trial) = tried else {
                tally.counts.not_replayed = journals.len() - at;
                tally.note_why_incomplete(self.config.max_ms);
                break;
            };
            if let Some(times) = trial.times {
                timings.push((journal, times));
            }
            tally.add(journal, trial);
        }
        tally.group();
        tally.timing = self.time(versions, timings, deadline).await;
        tally
    }

    /// Times jobs again, the versions taking turns in who is first.
    async fn time(
        &self,
        versions: journal_comparison::Versions<'_>,
        mut timings: Vec<(&Journal, journal_comparison::CallTimes)>,
        deadline: Instant,
    ) -> Option<Timing> {
        'rounds: for round in 1..TIMING_ROUNDS {
            for (journal, best) in &mut timings {
                let candidate_first = round % 2 == 1;
                let Some(times) = versions.time(journal, candidate_first, deadline).await else {
                    break 'rounds;
                };
                best.active = best.active.min(times.active);
                best.candidate = best.candidate.min(times.candidate);
            }
        }
        let active = median(timings.iter().map(|(_, times)| times.active).collect())?;
        let candidate = median(timings.iter().map(|(_, times)| times.candidate).collect())?;
        let ratio = candidate.as_secs_f64() / active.as_secs_f64().max(f64::MIN_POSITIVE);
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Some(Timing {
            active_us: micros(active),
            candidate_us: micros(candidate),
            ratio,
            slower: ratio > self.config.slower_ratio
                && candidate.saturating_sub(active) > SLOWER_MIN,
        })
    }
}

fn log_report(report: &ReplayReport) {
    let verdict = report.verdict.as_str();
    counter!("hoth_replays_total", "adapter" => report.adapter.clone(), "verdict" => verdict)
        .increment(1);
    let ReplayReport { adapter, candidate, took_ms, .. } = report;
    let (sha256, summary) = (candidate.sha256, report.summary());
    let policy = report.policy.as_str();
    match report.verdict {
        Verdict::Untested | Verdict::Same => {
            info!(adapter, %sha256, verdict, policy, took_ms, "Replay of {adapter}: {summary}");
        }
        Verdict::Slower | Verdict::Different | Verdict::Trap => {
            warn!(adapter, %sha256, verdict, policy, took_ms, "Replay of {adapter}: {summary}");
        }
    }
}

/// What has come of the journals so far.
#[derive(Debug, Default)]
struct Tally {
    counts: JobCounts,
    findings: Vec<Finding>,
    timing: Option<Timing>,
    remarks: Vec<String>,
    /// Why the first of those that are not comparable is not.
    diverged: Option<String>,
    /// States that the candidate does not resume: their version.
    unreadable_state: Option<u32>,
}

impl Tally {
    fn add(&mut self, journal: &Journal, trial: JournalComparison) {
        let JournalComparison { comparison, unreadable_state, times: _ } = trial;
        self.unreadable_state = self.unreadable_state.or(unreadable_state);
        let (kind, calls, note) = match comparison {
            Comparison::Same => {
                self.counts.same += 1;
                return;
            }
            Comparison::Diverged(how) => {
                self.counts.not_comparable += 1;
                self.diverged.get_or_insert_with(|| format!("job {}: {how}", journal.job.id));
                return;
            }
            Comparison::Different { kind, calls, note } => (kind, calls, note),
        };
        match kind {
            FindingKind::Trap => self.counts.trap += 1,
            FindingKind::Different => self.counts.different += 1,
            FindingKind::Mended => self.counts.mended += 1,
        }
        self.findings.push(Finding {
            kind,
            operation: journal.job.operation.clone(),
            jobs: 1,
            example: journal.job.id.clone(),
            calls,
            note,
        });
    }

    /// Puts findings together that name the same places.
    fn group(&mut self) {
        let mut groups: BTreeMap<_, Finding> = BTreeMap::new();
        for finding in self.findings.drain(..) {
            let places: Vec<(String, Vec<String>)> = finding
                .calls
                .iter()
                .map(|call| {
                    let places = call.differences.iter().map(|each| each.place.clone());
                    (call.at.clone(), places.collect())
                })
                .collect();
            let key = (finding.kind, finding.operation.clone(), places);
            groups.entry(key).and_modify(|group| group.jobs += 1).or_insert(finding);
        }
        self.findings = groups.into_values().collect();
        // Stable: what is worse stays first among those that are as frequent.
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.jobs));
        if self.findings.len() > FINDINGS_MAX {
            let more = self.findings.len() - FINDINGS_MAX;
            self.remarks.push(format!("{more} further kinds of differences are not shown"));
            self.findings.truncate(FINDINGS_MAX);
        }
    }

    fn note_why_incomplete(&mut self, max_ms: u64) {
        self.remarks.push(match self.counts.trap >= BROKEN_JOBS_MAX {
            true => format!("the candidate broke {BROKEN_JOBS_MAX} jobs; no more were replayed"),
            false => format!("the time was up (`replay.max_ms` = {max_ms})"),
        });
    }

    fn verdict(&self) -> Verdict {
        let JobCounts { same, different, trap, mended, .. } = self.counts;
        match (trap, different, self.timing) {
            (1.., _, _) => Verdict::Trap,
            (0, 1.., _) => Verdict::Different,
            (0, 0, Some(Timing { slower: true, .. })) => Verdict::Slower,
            (0, 0, _) if same + mended > 0 => Verdict::Same,
            (0, 0, _) => Verdict::Untested,
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.remarks.clone();
        if let Some(diverged) = &self.diverged {
            notes.push(format!("not comparable, such as {diverged}"));
        }
        if let Some(version) = self.unreadable_state {
            notes.push(format!(
                "the candidate does not resume states of version {version}: jobs that wait stay with \
                 the active version"
            ));
        }
        notes
    }
}

/// The lower one of the two in the middle. None of none.
fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len().checked_sub(1)? / 2).copied()
}
