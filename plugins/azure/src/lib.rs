//! The adapter for Microsoft Azure.
//!
//! | HOTH | Azure |
//! |---|---|
//! | portfolio | management group |
//! | environment | subscription, created by an alias |
//! | task order, CLIN | none: the operator's settings list them, and a tag of the subscription names its CLIN |
//! | operator | user or guest with a role at the subscription or management group |
//! | costs | Cost Management, by subscription |
//!
//! Azure lets the client name management groups, aliases and role assignments.
//! Their names are derived from the job, so that a second `PUT` finds the first
//! one's work; guests are searched for before they are invited. `docs/azure.md`
//! is for operators.

mod arm;
mod costs;
mod environment;
mod long_running;
mod operators;
mod portfolio;
mod settings;
mod task_orders;
#[cfg(test)]
mod tests;

use std::time::Duration;

use hoth_adapter::prelude::*;
use serde::Deserialize;
use serde::Serialize;

use crate::arm::Error;
use crate::arm::Meaning;
use crate::arm::Response;
use crate::settings::Settings;

/// The requests between two waits: a run may make 64.
const REQUESTS_MAX: u32 = 60;

/// The times that Azure may ask for the same call again within seconds before
/// the job pauses, and the pauses before it fails.
const SOON_MAX: u32 = 8;
const PAUSES_MAX: u32 = 20;

/// The longest pause in which the job keeps its turn; the host's own bound is
/// 30 s by default.
const SOON: Duration = Duration::from_secs(20);

/// The lost responses after which a job looks for what it has created.
const LOSSES_MAX: u32 = 5;

/// The entries of `made` in the details of a wait, which may have 16 KiB.
const MADE_SHOWN_MAX: usize = 100;

pub struct Azure;

hoth_adapter::export!(Azure);

/// The progress of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// The call to make after a wait, or the call whose response comes next.
    call: Call,
    /// The times in a row that Azure has asked for this call again.
    tries: u32,
    counts: Counts,
}

/// Counts that go on from call to call.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Counts {
    /// The requests since the last wait.
    sent: u32,
    /// The lost responses in this job.
    losses: u32,
}

/// A call, with what the calls before it have found.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Call {
    Portfolio(portfolio::Call),
    Environment(environment::Call),
    Operators(operators::Call),
    Costs(costs::Call),
}

/// A job with its settings.
struct Work<'a> {
    job: &'a Job,
    settings: Settings,
    counts: Counts,
}

/// An object that the job has created: its kind and its id at Azure.
type Made = (&'static str, String);

impl Adapter for Azure {
    const NAME: &'static str = "azure";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    /// Without those of task orders, which have no place in Azure.
    const OPERATIONS: &'static [&'static str] = &[
        operation::ADD_PORTFOLIO,
        operation::GET_PORTFOLIO,
        operation::ADD_ENVIRONMENT,
        operation::ADD_OPERATORS,
        operation::COST_BY_PORTFOLIO,
        operation::COST_BY_CLIN,
    ];
    const MANIFEST: &'static str = include_str!("../manifest.json");
    type State = State;

    fn begin(job: &Job) -> Next<Self> {
        let work = Work::new(job, Counts::default())?;
        let operation = job.operation()?;
        if operation.portfolio_id().is_some() {
            // Refused before any call.
            portfolio::id(&work)?;
        }
        let call = match operation {
            Operation::AddPortfolio { .. } => Call::Portfolio(portfolio::Call::Create),
            Operation::GetPortfolio { .. } => Call::Portfolio(portfolio::Call::Read),
            Operation::AddEnvironment { .. } => environment::first(&work)?,
            Operation::AddOperators { .. } => operators::first(&work)?,
            Operation::CostByPortfolio { .. } | Operation::CostByClin { .. } => {
                costs::first(&work)?
            }
            Operation::AddTaskOrder { .. } | Operation::UpdateTaskOrder { .. } => {
                return Err(operation.unsupported());
            }
        };
        go(&work, call)
    }

    fn resume(job: &Job, state: State, event: Event) -> Next<Self> {
        let made = state.call.made();
        let next = Work::new(job, state.counts).and_then(|work| match event {
            Event::Timer => make(&work, state),
            event @ (Event::Answer(_) | Event::NoAnswer(_) | Event::Other { .. }) => {
                answered(&work, state, event)
            }
        });
        next.map_err(|failure| with_made(failure, made))
    }

    fn asked(job: &Job, _: Option<&State>) -> Object {
        job.operation().map(|operation| operation.asked()).unwrap_or_default()
    }
}

impl<'a> Work<'a> {
    fn new(job: &'a Job, counts: Counts) -> Result<Self, Failure> {
        Ok(Self { job, settings: Settings::of(job)?, counts })
    }

    /// Returns the state in which a call is made for the first time.
    fn state(&self, call: Call) -> State {
        State { call, tries: 0, counts: self.counts }
    }
}

impl State {
    /// Returns the state after a request.
    fn sending(self) -> Self {
        let counts = Counts { sent: self.counts.sent + 1, ..self.counts };
        Self { counts, ..self }
    }

    /// Returns the state after a wait.
    fn waiting(self) -> Self {
        let counts = Counts { sent: 0, ..self.counts };
        Self { counts, ..self }
    }
}

impl Call {
    fn request(&self, work: &Work<'_>) -> Result<Request, Failure> {
        match self {
            Self::Portfolio(call) => call.request(work),
            Self::Environment(call) => call.request(work),
            Self::Operators(call) => call.request(work),
            Self::Costs(call) => call.request(work),
        }
    }

    /// Returns the step after a success.
    fn after(self, work: &Work<'_>, answer: &Answer) -> Next<Azure> {
        match self {
            Self::Portfolio(call) => call.after(work, answer),
            Self::Environment(call) => call.after(work, answer),
            Self::Operators(call) => call.after(work, answer),
            Self::Costs(call) => call.after(work, answer),
        }
    }

    /// Returns the step after an error that means something special for this
    /// call.
    fn after_error(&self, work: &Work<'_>, error: &Error) -> Option<Next<Azure>> {
        match self {
            Self::Operators(call) => call.after_error(work, error),
            Self::Portfolio(_) | Self::Environment(_) | Self::Costs(_) => None,
        }
    }

    /// Returns the meaning of an error for this call.
    fn meaning(&self, error: &Error) -> Meaning {
        match self {
            Self::Operators(call) => call.meaning(error),
            Self::Portfolio(_) | Self::Environment(_) | Self::Costs(_) => error.meaning(),
        }
    }

    /// Returns the failure of a call that asks for the state of work which Azure
    /// has accepted, or `None` for any other call.
    fn poll_failure(&self, error: &Error) -> Option<Failure> {
        match self {
            Self::Portfolio(call) => call.poll_failure(error),
            Self::Environment(call) => call.poll_failure(error),
            Self::Operators(_) | Self::Costs(_) => None,
        }
    }

    /// Returns the call that follows if a response was lost, or `None` if
    /// nothing has been created or counted.
    fn after_loss(&self) -> Option<Self> {
        match self {
            Self::Portfolio(call) => call.after_loss().map(Self::Portfolio),
            Self::Environment(call) => call.after_loss().map(Self::Environment),
            Self::Operators(call) => call.after_loss().map(Self::Operators),
            Self::Costs(call) => call.after_loss().map(Self::Costs),
        }
    }

    /// Returns what the job has created so far.
    fn made(&self) -> Vec<Made> {
        match self {
            Self::Portfolio(call) => call.made(),
            Self::Environment(call) => call.made(),
            Self::Operators(call) => call.made(),
            Self::Costs(_) => Vec::new(),
        }
    }
}

/// Makes a call in this run.
fn go(work: &Work<'_>, call: Call) -> Next<Azure> {
    make(work, work.state(call))
}

fn make(work: &Work<'_>, state: State) -> Next<Azure> {
    if state.counts.sent >= REQUESTS_MAX {
        return Ok(stored(state, "many requests were made"));
    }
    Ok(state.call.request(work)?.then(state.sending()))
}

/// Stores the progress, so that no crash repeats what was done.
fn checkpoint(work: &Work<'_>, call: Call, note: &str) -> Next<Azure> {
    Ok(stored(work.state(call), note))
}

fn stored(state: State, note: &str) -> Step<State> {
    let details = details(&state.call);
    Wait::checkpoint(state.waiting(), note).details(details).into()
}

/// Waits for work of Azure, which `reference` names.
fn poll(work: &Work<'_>, call: Call, reference: &str, note: &str) -> Next<Azure> {
    let details = details(&call);
    let wait = Wait::new(work.state(call).waiting(), note).reference(reference);
    Ok(wait.details(details).into())
}

fn details(call: &Call) -> Object {
    let mut made = call.made();
    made.truncate(MADE_SHOWN_MAX);
    if made.is_empty() { Object::new() } else { Object::new().with("made", list_of(made)) }
}

fn answered(work: &Work<'_>, state: State, event: Event) -> Next<Azure> {
    if let Event::NoAnswer(none) = &event
        && none.sent
        && let Some(next) = lost(&state)
    {
        return next;
    }
    let error = match arm::read(event)? {
        Response::Success(answer) => return state.call.after(work, &answer),
        Response::Error(error) => error,
    };
    if let Some(failure) = state.call.poll_failure(&error) {
        return Err(failure);
    }
    if let Some(next) = state.call.after_error(work, &error) {
        return next;
    }
    match state.call.meaning(&error) {
        Meaning::Soon => again(work, state, error),
        Meaning::Unavailable => lost(&state).unwrap_or_else(|| Err(error.into_failure())),
        Meaning::Refused => Err(error.into_failure()),
    }
}

/// Looks for what a call has done whose response was lost, or is no word about
/// it. Returns `None` if the call does nothing, or this happens too often.
fn lost(state: &State) -> Option<Next<Azure>> {
    if state.counts.losses >= LOSSES_MAX {
        return None;
    }
    let call = state.call.after_loss()?;
    let counts = Counts { sent: 0, losses: state.counts.losses + 1 };
    let note = "a response was lost: looking for what the call has done";
    // Azure may need a while to show it. The pause is the one that Azure asked
    // for, otherwise that of the operator's polling schedule.
    Some(Ok(Wait::pause(State { call, tries: 0, counts }, note).into()))
}

/// Makes the same call again: soon, or after a pause if Azure asks for a long
/// one, or has asked often.
fn again(work: &Work<'_>, state: State, error: Error) -> Next<Azure> {
    let tries = state.tries + 1;
    let state = State { tries, ..state };
    if tries > SOON_MAX + PAUSES_MAX {
        return Err(error.into_failure());
    }
    let backoff = Duration::from_secs(1 << (tries - 1).min(10)).min(SOON);
    let pause = error.pause.unwrap_or(backoff);
    if tries <= SOON_MAX && pause <= SOON && state.counts.sent < REQUESTS_MAX {
        // So that many jobs do not come back at once.
        let jitter = Duration::from_millis(work.job.entropy.0 % 1_000);
        let request = state.call.request(work)?.after(pause + jitter);
        return Ok(request.then(state.sending()));
    }
    let note = format!("Azure asks to wait: {}", error.code);
    let wait = Wait::pause(state.waiting(), note);
    Ok(Wait { after: error.pause, ..wait }.into())
}

/// Adds what was created to the response of a failed job.
fn with_made(failure: Failure, made: Vec<Made>) -> Failure {
    if made.is_empty() {
        return failure;
    }
    let response = failure.response.clone().with("made", list_of(made));
    failure.with_response(response)
}

fn list_of(made: Vec<Made>) -> Vec<Json> {
    made.into_iter()
        .map(|(kind, id)| Object::new().with("kind", kind).with("id", id).into())
        .collect()
}

/// Ends the job with code 200: `subject` is the object that ServiceNow asked
/// for.
fn done(work: &Work<'_>, subject: &str, object: Object) -> Next<Azure> {
    let asked = work.job.operation()?.asked();
    let metadata = Object::new().with("status", 200_u16).with("request", asked);
    Ok(Step::done(Object::new().with(subject, object).with("$metadata", metadata)))
}

/// Creates the failure of a job that is refused before or after a call.
fn refused(code: u16, message: String) -> Failure {
    let response = Object::new().with("details", &message);
    Failure { message, ..Failure::refused(code, response) }
}
