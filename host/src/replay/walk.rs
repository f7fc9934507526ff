//! One version of an adapter, led through a journal.

use std::time::Duration;
use std::time::Instant;

use super::Asked;
use super::Journal;
use super::Told;
use crate::adapter;
use crate::adapter::Adapter;
use crate::domain::AdapterState;
use crate::domain::Step;

/// What a version wants when it is told what a journal tells.
#[derive(Debug)]
pub(super) struct Walk {
    /// A step for each call, from the first one of the walk on.
    pub asked: Vec<Asked>,
    /// The time that the calls took.
    pub time: Duration,
}

/// The part of a journal that is walked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    /// The first call.
    pub from: usize,
    /// The call behind the last one.
    pub to: usize,
    /// What is resumed by the first call; none where it begins the job.
    pub state: Option<&'a AdapterState>,
}

impl Part<'_> {
    /// All of it.
    pub fn whole(journal: &Journal) -> Self {
        Self { from: 0, to: journal.calls.len(), state: None }
    }
}

/// Asks `adapter` call by call, as long as `goes_on` says so of the step that
/// it gave and the journal tells what came after such a step. None: `until`
/// has passed.
pub(super) async fn walk(
    adapter: &Adapter,
    journal: &Journal,
    part: Part<'_>,
    until: Instant,
    goes_on: impl Fn(usize, &Asked) -> bool,
) -> Option<Walk> {
    let mut facts = adapter::Facts {
        id: journal.facts.id.clone(),
        operation: journal.facts.operation.clone(),
        input: journal.facts.input.get().to_owned(),
        settings: journal.facts.settings.get().to_owned(),
        attempt: 1,
        context: journal.facts.context.clone(),
    };
    let mut walk = Walk { asked: Vec::new(), time: Duration::ZERO };
    // A poll that fails is made again from where the job waited.
    let mut waited = part.state.cloned();
    let mut sent: Option<AdapterState> = None;
    for (at, call) in journal.calls.iter().enumerate().take(part.to).skip(part.from) {
        if Instant::now() >= until {
            return None;
        }
        facts.attempt = call.attempt;
        let state = match call.told {
            Told::Begin => None,
            Told::Timer => waited.as_ref(),
            Told::Response(_) | Told::Failure { .. } => sent.as_ref(),
        };
        let entry = match (call.told.to_event(), state) {
            (None, _) => adapter::Entry::Begin,
            (Some(event), Some(state)) => adapter::Entry::Resume { state, event },
            // There is nothing that could be resumed with it.
            (Some(_), None) => break,
        };
        let question = adapter::Call { facts: &facts, now: call.now, entropy: call.entropy, entry };
        let begun = Instant::now();
        let asked = adapter.call(question).await;
        walk.time += begun.elapsed();
        match &asked {
            Ok(Step::Send(send)) => sent = Some(send.state.clone()),
            Ok(Step::Wait(wait)) => waited = Some(wait.state.clone()),
            Ok(Step::Done(_) | Step::Fail(_)) | Err(_) => {}
        }
        let next = journal.calls.get(at + 1).map(|call| &call.told);
        let ends = next.is_none_or(|next| !follows(&asked, next)) || !goes_on(at, &asked);
        walk.asked.push(asked);
        if ends {
            break;
        }
    }
    Some(walk)
}

/// Whether `told` is what can come after such a step.
fn follows(asked: &Asked, told: &Told) -> bool {
    match (asked, told) {
        (Ok(Step::Send(_)), Told::Response(_) | Told::Failure { .. })
        | (Ok(Step::Wait(_) | Step::Fail(_)), Told::Timer) => true,
        (
            Ok(Step::Send(_) | Step::Wait(_) | Step::Done(_) | Step::Fail(_)) | Err(_),
            Told::Begin | Told::Timer | Told::Response(_) | Told::Failure { .. },
        ) => false,
    }
}
