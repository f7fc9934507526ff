//! One version of an adapter, led through a journal.

use std::time::Duration;
use std::time::Instant;

use super::Input;
use super::Journal;
use super::StepResult;
use hoth_core::domain::AdapterState;
use hoth_core::domain::Step;
use hoth_runtime::Adapter;

/// What a version wants when it is told what a journal tells.
#[derive(Debug)]
pub(super) struct ReplayedCalls {
    /// A step for each call, from the first one of the walk on.
    pub asked: Vec<StepResult>,
    /// The time that the calls took.
    pub time: Duration,
}

/// The part of a journal that is replayed.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallRange<'a> {
    /// The first call.
    pub from: usize,
    /// The call behind the last one.
    pub to: usize,
    /// What is resumed by the first call; none where it begins the job.
    pub state: Option<&'a AdapterState>,
}

impl CallRange<'_> {
    /// All of it.
    pub fn whole(journal: &Journal) -> Self {
        Self { from: 0, to: journal.calls.len(), state: None }
    }
}

/// Asks `adapter` call by call, as long as `goes_on` says so of the step that
/// it gave and the journal tells what comparison after such a step. None: `deadline`
/// has passed.
pub(super) async fn replay_calls(
    adapter: &Adapter,
    journal: &Journal,
    part: CallRange<'_>,
    deadline: Instant,
    goes_on: impl Fn(usize, &StepResult) -> bool,
) -> Option<ReplayedCalls> {
    let mut facts = hoth_runtime::Facts {
        id: journal.job.id.clone(),
        operation: journal.job.operation.clone(),
        input: journal.job.input.get().to_owned(),
        settings: journal.job.settings.get().to_owned(),
        attempt: 1,
        context: journal.job.context.clone(),
    };
    let mut walk = ReplayedCalls { asked: Vec::new(), time: Duration::ZERO };
    // A poll that fails is made again from where the job waited.
    let mut waited = part.state.cloned();
    let mut sent: Option<AdapterState> = None;
    for (at, call) in journal.calls.iter().enumerate().take(part.to).skip(part.from) {
        if Instant::now() >= deadline {
            return None;
        }
        facts.attempt = call.attempt;
        let state = match call.input {
            Input::Begin => None,
            Input::Timer => waited.as_ref(),
            Input::Response(_) | Input::Failure { .. } => sent.as_ref(),
        };
        let entry = match (call.input.to_event(), state) {
            (None, _) => hoth_runtime::Entry::Begin,
            (Some(event), Some(state)) => hoth_runtime::Entry::Resume { state, event },
            // There is nothing that could be resumed with it.
            (Some(_), None) => break,
        };
        let question =
            hoth_runtime::Call { facts: &facts, now: call.now, entropy: call.entropy, entry };
        let started_at = Instant::now();
        let asked = adapter.call(question).await;
        walk.time += started_at.elapsed();
        match &asked {
            Ok(Step::Send(send)) => sent = Some(send.state.clone()),
            Ok(Step::Wait(wait)) => waited = Some(wait.state.clone()),
            Ok(Step::Done(_) | Step::Fail(_)) | Err(_) => {}
        }
        let next = journal.calls.get(at + 1).map(|call| &call.input);
        let ends = next.is_none_or(|next| !follows(&asked, next)) || !goes_on(at, &asked);
        walk.asked.push(asked);
        if ends {
            break;
        }
    }
    Some(walk)
}

/// Whether `told` is what can come after such a step.
fn follows(asked: &StepResult, input: &Input) -> bool {
    match (asked, input) {
        (Ok(Step::Send(_)), Input::Response(_) | Input::Failure { .. })
        | (Ok(Step::Wait(_) | Step::Fail(_)), Input::Timer) => true,
        (
            Ok(Step::Send(_) | Step::Wait(_) | Step::Done(_) | Step::Fail(_)) | Err(_),
            Input::Begin | Input::Timer | Input::Response(_) | Input::Failure { .. },
        ) => false,
    }
}
