//! The replayer: every journal on both versions, and one report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

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
use crate::metrics::table;
use hoth_platform::clock::Clock;
use hoth_runtime::Adapter;

/// Rounds in which each job is timed on each version. The fastest one counts:
/// other load on the machine makes calls slower, never faster.
const TIMING_ROUNDS: u32 = 5;

/// Time per job below which a candidate never counts as slower. Small adapters
/// take so little time that a ratio alone says nothing.
const SLOWER_MIN: Duration = Duration::from_micros(500);

/// Jobs that a candidate may break before the replay ends: each may take as
/// long as the deadline of a call.
const BROKEN_JOBS_MAX: usize = 10;

/// Findings in one report.
const FINDINGS_MAX: usize = 50;

/// The part that replays journals on candidates.
#[derive(Debug, Clone)]
pub struct Replayer {
    config: Config,
    store: Arc<JournalStore>,
    clock: Clock,
}

impl Replayer {
    /// Creates a replayer of the journals in `store`.
    pub fn new(config: Config, store: Arc<JournalStore>, clock: Clock) -> Self {
        Self { config, store, clock }
    }

    /// Returns the configured policy for candidates of `adapter`.
    pub fn policy(&self, adapter: &str) -> Policy {
        self.config.policy(adapter)
    }

    /// Replays the journals of the adapter `name` on `active` and `candidate`,
    /// and compares their steps. No CSP is called and nothing is changed. The
    /// duration is at most `replay.max_ms` and the deadline of one call.
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
        let version = |adapter: &Adapter| ComparedVersion {
            version: adapter.info().version.clone(),
            sha256: adapter.digest(),
        };
        let report = ReplayReport {
            adapter: name.to_owned(),
            active: active.map(version),
            candidate: version(candidate),
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

    /// Replays all journals until the deadline, or until the candidate has
    /// broken too many jobs.
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
        // A panic of the reader counts as no journals: the verdict is then
        // `untested`.
        let journals = read.await.unwrap_or_default();
        let mut tally = Tally::default();
        tally.counts.journals = journals.len();
        let Some(active) = active else {
            tally.counts.not_comparable = journals.len();
            tally.remarks.push("no active version to compare with".into());
            return tally;
        };
        let versions = journal_comparison::Versions { active, candidate };
        let mut timings = Vec::new();
        for (at, journal) in journals.iter().enumerate() {
            let comparison = match tally.counts.trap >= BROKEN_JOBS_MAX {
                true => None,
                false => versions.compare_on(journal, deadline).await,
            };
            let Some(comparison) = comparison else {
                tally.counts.not_replayed = journals.len() - at;
                tally.note_why_incomplete(self.config.max_ms);
                break;
            };
            if let Some(times) = comparison.times {
                timings.push((journal, times));
            }
            tally.add(journal, comparison);
        }
        tally.group();
        // Last, with the time that is left: a verdict on the steps matters
        // more.
        tally.timing = self.time(versions, timings, deadline).await;
        tally
    }

    /// Times the jobs again. The versions alternate in going first, so that
    /// neither profits from warm caches.
    async fn time(
        &self,
        versions: journal_comparison::Versions<'_>,
        mut timings: Vec<(&Journal, journal_comparison::CallTimes)>,
        deadline: Instant,
    ) -> Option<Timing> {
        // The comparison was round 0, with the active version first.
        'rounds: for round in 1..TIMING_ROUNDS {
            for (journal, best) in &mut timings {
                let candidate_first = round % 2 == 1;
                // The time is up, so only the rounds so far count.
                let Some(times) = versions.time(journal, candidate_first, deadline).await else {
                    break 'rounds;
                };
                best.active = best.active.min(times.active);
                best.candidate = best.candidate.min(times.candidate);
            }
        }
        let active = median(timings.iter().map(|(_, times)| times.active).collect())?;
        let candidate = median(timings.iter().map(|(_, times)| times.candidate).collect())?;
        // Timers may return zero for a very short call.
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

/// Logs and counts a report.
fn log_report(report: &ReplayReport) {
    let verdict = report.verdict.as_str();
    table::REPLAYS.with(&[&report.adapter, verdict]).increment(1);
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

/// The results so far.
#[derive(Debug, Default)]
struct Tally {
    counts: JobCounts,
    findings: Vec<Finding>,
    timing: Option<Timing>,
    remarks: Vec<String>,
    /// The first job that is not comparable, and the reason.
    diverged: Option<String>,
    /// The version of a state that the candidate does not resume.
    unreadable_state: Option<u32>,
}

impl Tally {
    fn add(&mut self, journal: &Journal, compared: JournalComparison) {
        let JournalComparison { comparison, unreadable_state, times: _ } = compared;
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

    /// Merges findings with the same places.
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
        // The sort is stable, and the map is ordered by kind: among findings of
        // equal frequency the worse one stays first.
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.jobs));
        if self.findings.len() > FINDINGS_MAX {
            let more = self.findings.len() - FINDINGS_MAX;
            self.remarks.push(format!("{more} further kinds of differences are not shown"));
            self.findings.truncate(FINDINGS_MAX);
        }
    }

    fn note_why_incomplete(&mut self, max_ms: u64) {
        self.remarks.push(match self.counts.trap >= BROKEN_JOBS_MAX {
            true => {
                format!("the candidate broke {BROKEN_JOBS_MAX} jobs; the others were not replayed")
            }
            false => format!("time limit reached (`replay.max_ms` = {max_ms})"),
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
            notes.push(format!("not comparable, for example {diverged}"));
        }
        if let Some(version) = self.unreadable_state {
            notes.push(format!(
                "the candidate does not resume states of version {version}; waiting jobs stay on the \
                 active version"
            ));
        }
        notes
    }
}

/// Returns the lower median, or `None` if the list is empty.
fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len().checked_sub(1)? / 2).copied()
}
