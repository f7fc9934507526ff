//! One journal, gone through by both versions.

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

/// Waits of one job from which the candidate goes on in the active version's
/// call_label. Those of a poll are alike.
const HANDOVERS_MAX: usize = 4;

/// Calls of one job whose differences are told: later ones mostly follow from
/// the first.
const CALLS_SHOWN_MAX: usize = 4;

/// The two that are compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Versions<'a> {
    pub active: &'a Adapter,
    pub candidate: &'a Adapter,
}

/// What comparison of one journal.
#[derive(Debug)]
pub(super) struct JournalComparison {
    pub comparison: Comparison,
    /// Where both went all the way.
    pub times: Option<CallTimes>,
    /// The version of a state of the active version that the candidate does
    /// not resume.
    pub unreadable_state: Option<u32>,
}

#[derive(Debug)]
pub(super) enum Comparison {
    Same,
    Different {
        kind: FindingKind,
        calls: Vec<CallDifferences>,
        note: Option<String>,
    },
    /// The active version did not go the way that the job went.
    Diverged(String),
}

/// The time of all calls of a job.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallTimes {
    pub active: Duration,
    pub candidate: Duration,
}

impl Versions<'_> {
    /// Compares them on one journal. None: `deadline` has passed.
    ///
    /// The active version leads. What it wants on redacted facts is what the
    /// candidate is held against: what it wanted of the real ones may have
    /// depended on what is not there any more. Where it does not even go the way
    /// that the job went, redaction, or another version since, has made
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
        let stays = |at: usize, asked: &StepResult| same_branch(&active.asked[at], asked);
        let candidate = replay_calls(self.candidate, journal, whole, deadline, stays).await?;
        let mut differences = JobDifferences::default();
        differences.compare(journal, &active.asked, &candidate.asked, 0, "");
        let all_the_way = candidate.asked.len() == active.asked.len();
        let times =
            all_the_way.then_some(CallTimes { active: active.time, candidate: candidate.time });
        let mut unreadable_state = None;
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

    /// Times both once more, on a journal that both went through. None:
    /// `deadline` has passed.
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

    /// Jobs that wait when versions change are resumed by the new one from a
    /// state of the old one, where it says that it reads it. So the candidate
    /// is given those states, too. Gives the version of one that it does not
    /// claim to read.
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
            let behind = journal.calls.iter().skip(from + 1);
            let length = 1 + behind.take_while(|call| call.input != Input::Timer).count();
            let part = CallRange { from, to: from + length, state: Some(state) };
            let stays = |at: usize, asked: &StepResult| same_branch(&active.asked[at], asked);
            let candidate = replay_calls(self.candidate, journal, part, deadline, stays).await?;
            let active = &active.asked[from..from + length];
            differences.compare(
                journal,
                active,
                &candidate.asked,
                from,
                ", from the active version's state",
            );
        }
        Some(unreadable_state)
    }
}

/// Every call that resumes a waiting job, with the state that it waited in.
fn resumed_waits<'a>(
    journal: &Journal,
    active: &'a ReplayedCalls,
) -> Vec<(usize, &'a AdapterState)> {
    let mut resumed_waits = Vec::new();
    let mut waited = None;
    for (at, asked) in active.asked.iter().enumerate() {
        if journal.calls[at].input == Input::Timer
            && let Some(state) = waited
        {
            resumed_waits.push((at, state));
        }
        match asked {
            Ok(Step::Wait(wait)) => waited = Some(&wait.state),
            Ok(Step::Send(_) | Step::Done(_) | Step::Fail(_)) | Err(_) => {}
        }
    }
    resumed_waits
}

/// How the active version left the way that the job went, if it did.
fn divergence(journal: &Journal, active: &ReplayedCalls) -> Option<String> {
    let step_kind = |asked: &StepResult| asked.as_ref().map_or(StepKind::Broken, StepKind::of);
    for (at, call) in journal.calls.iter().enumerate() {
        let Some(asked) = active.asked.get(at) else {
            return Some(format!(
                "the active version comes to an end before {}",
                call_label(journal, at)
            ));
        };
        let step = step_kind(asked);
        if !step.is_like(&call.step) {
            return Some(format!(
                "at {} the active version takes another way than the job did: {step} instead of {}",
                call_label(journal, at),
                call.step
            ));
        }
    }
    None
}

/// Whether what the journal tells next is as good an answer to the candidate
/// as it is to the active version.
fn same_branch(active: &StepResult, asked: &StepResult) -> bool {
    match (active, asked) {
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

/// A call in a few words.
fn call_label(journal: &Journal, at: usize) -> String {
    let number = at + 1;
    match journal.calls.get(at).map(|call| &call.input) {
        Some(Input::Begin) => format!("call {number} (begin)"),
        Some(Input::Timer) => format!("call {number} (after a wait)"),
        Some(Input::Response(response)) => format!("call {number} (answer {})", response.status),
        Some(Input::Failure { code, .. }) => format!("call {number} (failure: {code})"),
        None => format!("call {number}"),
    }
}

/// Differences of one job.
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

    /// Takes in what differs between two walks that begin at call `from`.
    fn compare(
        &mut self,
        journal: &Journal,
        active: &[StepResult],
        candidate: &[StepResult],
        from: usize,
        remark: &str,
    ) {
        for (at, (active, asked)) in active.iter().zip(candidate).enumerate() {
            let differences = compare(active, asked);
            if differences.is_empty() {
                continue;
            }
            let kind = match (active, asked) {
                (Ok(_), Err(_)) => FindingKind::Trap,
                (Err(_), Ok(_)) => FindingKind::Mended,
                (Ok(_), Ok(_)) | (Err(_), Err(_)) => FindingKind::Different,
            };
            // The worst that was seen counts.
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
                "what would come after it is not known, as nobody has asked that: the comparison of \
                 this job ends here"
                    .to_owned()
            });
        }
    }

    fn into_comparison(self) -> Comparison {
        match self.kind {
            None => Comparison::Same,
            Some(kind) => Comparison::Different { kind, calls: self.calls, note: self.note },
        }
    }
}
