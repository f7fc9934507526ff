//! The comparison of two versions on one journal.

use std::time::Duration;
use std::time::Instant;

use super::CallDifferences;
use super::FindingKind;
use super::Input;
use super::Journal;
use super::StepKind;
use super::StepResult;
use super::compare::compare;
use super::compare::same_resource;
use super::replay_calls::CallRange;
use super::replay_calls::ReplayedCalls;
use super::replay_calls::replay_calls;
use hoth_core::domain::AdapterState;
use hoth_core::domain::Step;
use hoth_runtime::Adapter;

/// Waits of one job from which the candidate resumes in place of the active
/// version. The waits of repeated polls are alike.
const HANDOVERS_MAX: usize = 4;

/// Calls of one job whose differences are reported. Later ones mostly follow
/// from the first.
const CALLS_SHOWN_MAX: usize = 4;

/// The two versions that are compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Versions<'a> {
    pub active: &'a Adapter,
    pub candidate: &'a Adapter,
}

/// The result for one journal.
#[derive(Debug)]
pub(super) struct JournalComparison {
    pub comparison: Comparison,
    /// Set if both versions replayed all calls.
    pub times: Option<CallTimes>,
    /// The version of a state of the active version that the candidate does not
    /// resume.
    pub unreadable_state: Option<u32>,
}

/// The relation of the two versions on one job.
#[derive(Debug)]
pub(super) enum Comparison {
    Same,
    Different {
        kind: FindingKind,
        calls: Vec<CallDifferences>,
        note: Option<String>,
    },
    /// The active version does not take the steps of the recorded job, for this
    /// reason.
    Diverged(String),
}

/// The total time of a job's calls on each version.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallTimes {
    pub active: Duration,
    pub candidate: Duration,
}

impl Versions<'_> {
    /// Compares the versions on one journal. Returns `None` if `deadline` has
    /// passed.
    ///
    /// The reference is the active version on the redacted journal, not the
    /// recorded steps: these may have depended on data that redaction has
    /// removed. If the active version does not even take the same kinds of
    /// steps as the recorded job, redaction or an intermediate version has made
    /// the journal useless.
    pub async fn compare_on(
        &self,
        journal: &Journal,
        deadline: Instant,
    ) -> Option<JournalComparison> {
        let whole = CallRange::whole(journal);
        let active = replay_calls(self.active, journal, whole, deadline, |_, _| true).await?;
        if let Some(how) = divergence(journal, &active) {
            return Some(JournalComparison {
                comparison: Comparison::Diverged(how),
                times: None,
                unreadable_state: None,
            });
        }
        // The candidate goes on only as long as the recorded inputs fit its
        // steps, too.
        let stays = |at: usize, step: &StepResult| same_branch(&active.steps[at], step);
        let candidate = replay_calls(self.candidate, journal, whole, deadline, stays).await?;
        let mut differences = JobDifferences::default();
        differences.compare(journal, &active.steps, &candidate.steps, 0, "");
        // Only of complete replays: otherwise the times of different calls would
        // be compared.
        let all_the_way = candidate.steps.len() == active.steps.len();
        let times =
            all_the_way.then_some(CallTimes { active: active.time, candidate: candidate.time });
        let mut unreadable_state = None;
        // Skipped for a candidate that already differs: it would show the same
        // differences again.
        if differences.is_empty() {
            unreadable_state =
                self.compare_handovers(journal, &active, deadline, &mut differences).await?;
        }
        Some(JournalComparison {
            comparison: differences.into_comparison(),
            times,
            unreadable_state,
        })
    }

    /// Times both versions again on a journal that both replayed completely.
    /// Returns `None` if `deadline` has passed.
    pub async fn time(
        &self,
        journal: &Journal,
        candidate_first: bool,
        deadline: Instant,
    ) -> Option<CallTimes> {
        let time = async |adapter| {
            let replayed =
                replay_calls(adapter, journal, CallRange::whole(journal), deadline, |_, _| true)
                    .await?;
            Some(replayed.time)
        };
        // The first call of a round may find cold caches.
        let first = match candidate_first {
            true => Some(time(self.candidate).await?),
            false => None,
        };
        let active = time(self.active).await?;
        let candidate = match first {
            Some(first) => first,
            None => time(self.candidate).await?,
        };
        Some(CallTimes { active, candidate })
    }

    /// Compares the versions on jobs that wait when the version changes: the
    /// candidate resumes states of the active version, if it declares that it
    /// reads them. Returns the version of a state that it does not read.
    async fn compare_handovers(
        &self,
        journal: &Journal,
        active: &ReplayedCalls,
        deadline: Instant,
        differences: &mut JobDifferences,
    ) -> Option<Option<u32>> {
        let mut unreadable_state = None;
        for (from, state) in resumed_waits(journal, active).into_iter().take(HANDOVERS_MAX) {
            if !self.candidate.resumes(state.version) {
                unreadable_state = Some(state.version);
                continue;
            }
            // Up to the next wait: the calls after it resume another state.
            let rest = journal.calls.iter().skip(from + 1);
            let length = 1 + rest.take_while(|call| call.input != Input::Timer).count();
            let range = CallRange { from, to: from + length, state: Some(state) };
            let stays = |at: usize, step: &StepResult| same_branch(&active.steps[at], step);
            let candidate = replay_calls(self.candidate, journal, range, deadline, stays).await?;
            let active = &active.steps[from..from + length];
            differences.compare(
                journal,
                active,
                &candidate.steps,
                from,
                ", from the active version's state",
            );
        }
        Some(unreadable_state)
    }
}

/// Returns the calls that resume a waiting job, each with the state that it
/// resumes.
fn resumed_waits<'a>(
    journal: &Journal,
    active: &'a ReplayedCalls,
) -> Vec<(usize, &'a AdapterState)> {
    let mut resumed_waits = Vec::new();
    let mut waited = None;
    for (at, step) in active.steps.iter().enumerate() {
        if journal.calls[at].input == Input::Timer
            && let Some(state) = waited
        {
            resumed_waits.push((at, state));
        }
        match step {
            Ok(Step::Wait(wait)) => waited = Some(&wait.state),
            Ok(Step::Send(_) | Step::Done(_) | Step::Fail(_)) | Err(_) => {}
        }
    }
    resumed_waits
}

/// Returns the place at which the active version leaves the steps of the
/// recorded job, if any.
fn divergence(journal: &Journal, active: &ReplayedCalls) -> Option<String> {
    for (at, call) in journal.calls.iter().enumerate() {
        let Some(result) = active.steps.get(at) else {
            return Some(format!("the active version ends before {}", call_label(journal, at)));
        };
        let step = result.as_ref().map_or(StepKind::Broken, StepKind::of);
        if !step.is_like(&call.step) {
            return Some(format!(
                "at {} the active version differs from the recorded job: {step} instead of {}",
                call_label(journal, at),
                call.step
            ));
        }
    }
    None
}

/// Returns `true` if the recorded input that follows fits the candidate's step
/// as well as the active version's.
fn same_branch(active: &StepResult, step: &StepResult) -> bool {
    match (active, step) {
        (Ok(Step::Send(active)), Ok(Step::Send(send))) => {
            same_resource(&active.request, &send.request)
        }
        (Ok(Step::Wait(_)), Ok(Step::Wait(_))) | (Ok(Step::Fail(_)), Ok(Step::Fail(_))) => true,
        (
            Ok(Step::Send(_) | Step::Wait(_) | Step::Done(_) | Step::Fail(_)) | Err(_),
            Ok(Step::Send(_) | Step::Wait(_) | Step::Done(_) | Step::Fail(_)) | Err(_),
        ) => false,
    }
}

/// Describes a call in a few words.
pub(super) fn call_label(journal: &Journal, at: usize) -> String {
    let number = at + 1;
    match journal.calls.get(at) {
        Some(call) => format!("call {number} ({})", call.input.label()),
        None => format!("call {number}"),
    }
}

/// The differences on one job.
#[derive(Debug, Default)]
struct JobDifferences {
    kind: Option<FindingKind>,
    calls: Vec<CallDifferences>,
    note: Option<String>,
}

impl JobDifferences {
    fn is_empty(&self) -> bool {
        self.kind.is_none()
    }

    /// Adds the differences between two replays of the calls from `from` on.
    /// `remark` is appended to the description of each call.
    fn compare(
        &mut self,
        journal: &Journal,
        active: &[StepResult],
        candidate: &[StepResult],
        from: usize,
        remark: &str,
    ) {
        // The candidate may have stopped earlier than the active version; the
        // steps that it did not take are no differences of their own.
        for (at, (active, step)) in active.iter().zip(candidate).enumerate() {
            let differences = compare(active, step);
            if differences.is_empty() {
                continue;
            }
            let kind = match (active, step) {
                (Ok(_), Err(_)) => FindingKind::Trap,
                (Err(_), Ok(_)) => FindingKind::Mended,
                (Ok(_), Ok(_)) | (Err(_), Err(_)) => FindingKind::Different,
            };
            // The worst kind counts.
            self.kind = Some(self.kind.map_or(kind, |seen| seen.min(kind)));
            if self.calls.len() < CALLS_SHOWN_MAX {
                let at = format!("{}{remark}", call_label(journal, from + at));
                self.calls.push(CallDifferences { at, differences });
            }
        }
        if candidate.len() < active.len()
            && let Some(Ok(Step::Send(_))) = candidate.last()
        {
            self.note.get_or_insert_with(|| {
                "no response to this request is recorded: the comparison of this job ends here"
                    .to_owned()
            });
        }
    }

    /// Returns the result.
    fn into_comparison(self) -> Comparison {
        match self.kind {
            None => Comparison::Same,
            Some(kind) => Comparison::Different { kind, calls: self.calls, note: self.note },
        }
    }
}
