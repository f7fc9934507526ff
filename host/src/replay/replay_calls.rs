//! The replay of recorded calls on one version of an adapter.

use std::time::Duration;
use std::time::Instant;

use super::Input;
use super::Journal;
use super::StepResult;
use hoth_core::domain::AdapterState;
use hoth_core::domain::Step;
use hoth_runtime::Adapter;

/// The results of replayed calls.
#[derive(Debug)]
pub(super) struct ReplayedCalls {
    /// A result for each call, from the first one of the range.
    pub steps: Vec<StepResult>,
    /// The total time of the calls.
    pub time: Duration,
}

/// The calls of a journal that are replayed.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallRange<'a> {
    /// The index of the first call.
    pub from: usize,
    /// The index after the last call.
    pub to: usize,
    /// The state that the first call resumes; `None` if it begins the job.
    pub state: Option<&'a AdapterState>,
}

impl CallRange<'_> {
    /// Returns the range of all calls.
    pub fn whole(journal: &Journal) -> Self {
        Self { from: 0, to: journal.calls.len(), state: None }
    }
}

/// Calls `adapter` with the recorded inputs, as long as each input can follow
/// the step before it and `goes_on` accepts that step. Returns `None` if
/// `deadline` has passed.
pub(super) async fn replay_calls(
    adapter: &Adapter,
    journal: &Journal,
    range: CallRange<'_>,
    deadline: Instant,
    goes_on: impl Fn(usize, &StepResult) -> bool,
) -> Option<ReplayedCalls> {
    let mut facts = hoth_runtime::JobContext {
        id: journal.job.id.clone(),
        operation: journal.job.operation.clone(),
        input: journal.job.input.get().to_owned(),
        settings: journal.job.settings.get().to_owned(),
        attempt: 1,
        context: Vec::new(),
    };
    let mut replayed = ReplayedCalls { steps: Vec::new(), time: Duration::ZERO };
    // The state of the last wait. A poll that fails is repeated from there, not
    // from the state of its last request.
    let mut waited = range.state.cloned();
    let mut sent: Option<AdapterState> = None;
    for (at, recorded) in journal.calls.iter().enumerate().take(range.to).skip(range.from) {
        // Checked between calls only: a call ends at its own deadline, so a replay
        // takes longer than its limit by one call at most.
        if Instant::now() >= deadline {
            return None;
        }
        facts.attempt = recorded.attempt;
        facts.context.clone_from(&recorded.context);
        // Only the last state of each kind is needed: a response answers the last
        // request, and a timer ends the last wait.
        let state = match recorded.input {
            Input::Begin => None,
            Input::Timer => waited.as_ref(),
            Input::Response(_) | Input::Failure { .. } => sent.as_ref(),
        };
        let entry = match (recorded.input.to_event(), state) {
            (None, _) => hoth_runtime::EntryPoint::Begin,
            (Some(event), Some(state)) => hoth_runtime::EntryPoint::Resume { state, event },
            // The adapter has returned no state that the input could resume.
            (Some(_), None) => break,
        };
        let call = hoth_runtime::Call {
            facts: &facts,
            now: recorded.now,
            entropy: recorded.entropy,
            entry,
        };
        // The time of the adapter alone, without decoding the journal.
        let started_at = Instant::now();
        let step = adapter.call(call).await;
        replayed.time += started_at.elapsed();
        match &step {
            Ok(Step::Send(send)) => sent = Some(send.state.clone()),
            Ok(Step::Wait(wait)) => waited = Some(wait.state.clone()),
            Ok(Step::Done(_) | Step::Fail(_)) | Err(_) => {}
        }
        let next = journal.calls.get(at + 1).map(|call| &call.input);
        let ends = next.is_none_or(|next| !follows(&step, next)) || !goes_on(at, &step);
        replayed.steps.push(step);
        if ends {
            break;
        }
    }
    Some(replayed)
}

/// Returns `true` if `input` can follow such a step.
fn follows(step: &StepResult, input: &Input) -> bool {
    match (step, input) {
        (Ok(Step::Send(_)), Input::Response(_) | Input::Failure { .. })
        | (Ok(Step::Wait(_) | Step::Fail(_)), Input::Timer) => true,
        (
            Ok(Step::Send(_) | Step::Wait(_) | Step::Done(_) | Step::Fail(_)) | Err(_),
            Input::Begin | Input::Timer | Input::Response(_) | Input::Failure { .. },
        ) => false,
    }
}
