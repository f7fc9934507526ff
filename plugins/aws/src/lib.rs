//! The adapter for Amazon Web Services.
//!
//! | HOTH | AWS |
//! |---|---|
//! | portfolio | organizational unit of AWS Organizations |
//! | environment | account; in GovCloud, a pair of accounts |
//! | task order, CLIN | tags of the organizational unit |
//! | operator | user of IAM Identity Center, in a group that has a permission set in the account |
//! | costs | Cost Explorer, by account |
//!
//! Few operations of AWS know a repetition, and HOTH begins a job again after a
//! crash. So whatever is created carries the mark of its job or a name that is
//! derived from it, is searched for before it is created, and is stored by a
//! wait as soon as it exists. `docs/aws.md` is for operators.

mod costs;
mod environment;
mod operators;
mod pair;
mod portfolio;
mod service;
mod settings;
mod tags;
mod task_order;
#[cfg(test)]
mod tests;

use std::time::Duration;

use hoth_adapter::prelude::*;
use serde::Deserialize;
use serde::Serialize;

use crate::service::Error;
use crate::service::Meaning;
use crate::service::Response;
use crate::settings::Settings;

/// The requests between two waits: a run may make 64.
const REQUESTS_MAX: u32 = 60;

/// The lost responses after which a job looks for what it has created.
const LOSSES_MAX: u32 = 5;

/// The calls that AWS refuses in a row with "again soon" before the job pauses,
/// and the pauses before it fails.
const SOON_MAX: u32 = 8;
const PAUSES_MAX: u32 = 60;

/// The longest pause before the same call, and the pause of a job.
const SOON: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_secs(60);

/// The pause before a call that may succeed within an hour.
const LATER: Duration = Duration::from_mins(10);

pub struct Aws;

hoth_adapter::export!(Aws);

/// The progress of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct State {
    /// The call to make after a wait, or the call whose response comes next.
    call: Call,
    /// The number of times in a row that AWS has asked for this call again.
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
    TaskOrder(task_order::Call),
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

impl Adapter for Aws {
    const NAME: &'static str = "aws";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const OPERATIONS: &'static [&'static str] = operation::ALL;
    const MANIFEST: &'static str = include_str!("../manifest.json");
    type State = State;

    fn begin(job: &Job) -> Next<Self> {
        let work = Work::new(job, Counts::default())?;
        let call = match job.operation()? {
            Operation::AddPortfolio { .. } => portfolio::Call::first_of_creation(),
            Operation::GetPortfolio { portfolio_id } => {
                portfolio::Call::first_of_reading(portfolio_id)
            }
            Operation::AddTaskOrder { .. } | Operation::UpdateTaskOrder { .. } => {
                task_order::Call::first(&work)?
            }
            Operation::AddEnvironment { .. } => environment::Call::first(&work)?,
            Operation::AddOperators { environment_id, .. } => {
                let lacks = || Failure::unsupported("the request lacks payload.environmentId");
                operators::first(&work, environment_id.ok_or_else(lacks)?)?
            }
            Operation::CostByPortfolio { .. } | Operation::CostByClin { .. } => {
                costs::Call::first(&work)?
            }
        };
        go(&work, call)
    }

    fn resume(job: &Job, state: State, event: Event) -> Next<Self> {
        let work = Work::new(job, state.counts)?;
        let made = state.call.made();
        let next = if matches!(event, Event::Timer) {
            make(&work, state)
        } else {
            answered(&work, state, event)
        };
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
            Self::TaskOrder(call) => call.request(work),
            Self::Environment(call) => call.request(work),
            Self::Operators(call) => call.request(work),
            Self::Costs(call) => call.request(work),
        }
    }

    /// Returns the step after a success.
    fn after(self, work: &Work<'_>, data: &Object) -> Next<Aws> {
        match self {
            Self::Portfolio(call) => call.after(work, data),
            Self::TaskOrder(call) => call.after(work, data),
            Self::Environment(call) => call.after(work, data),
            Self::Operators(call) => call.after(work, data),
            Self::Costs(call) => call.after(work, data),
        }
    }

    /// Returns the step after an error that means something special for this
    /// call. `tries` is as in [`State`].
    fn after_error(&self, work: &Work<'_>, error: &Error, tries: u32) -> Option<Next<Aws>> {
        match self {
            Self::Portfolio(call) => call.after_error(work, error),
            Self::Environment(call) => call.after_error(work, error),
            Self::Operators(call) => call.after_error(work, error, tries),
            Self::Costs(call) => call.after_error(work, error),
            Self::TaskOrder(_) => None,
        }
    }

    /// Returns the search for what a call has created if its response was lost,
    /// or `None` if the call creates nothing.
    fn search(&self) -> Option<Self> {
        match self {
            Self::Portfolio(call) => call.search().map(Self::Portfolio),
            Self::Environment(call) => call.search().map(Self::Environment),
            Self::Operators(_) | Self::TaskOrder(_) | Self::Costs(_) => None,
        }
    }

    /// Returns what the job has created so far, by kind and id.
    fn made(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Environment(call) => call.made(),
            Self::Operators(call) => call.made(),
            Self::Portfolio(_) | Self::TaskOrder(_) | Self::Costs(_) => Vec::new(),
        }
    }
}

/// Makes a call in this run.
fn go(work: &Work<'_>, call: Call) -> Next<Aws> {
    make(work, work.state(call))
}

fn make(work: &Work<'_>, state: State) -> Next<Aws> {
    if state.counts.sent >= REQUESTS_MAX {
        return Ok(stored(state, "many requests were made"));
    }
    Ok(state.call.request(work)?.then(state.sending()))
}

/// Stores the progress, so that no crash repeats what was done.
fn checkpoint(work: &Work<'_>, call: Call, note: &str) -> Next<Aws> {
    Ok(stored(work.state(call), note))
}

fn stored(state: State, note: &str) -> Step<State> {
    let details = details(&state.call);
    Wait::checkpoint(state.waiting(), note).details(details).into()
}

/// Waits for work of AWS, which `reference` names.
fn poll(work: &Work<'_>, call: Call, reference: &str, note: &str) -> Next<Aws> {
    let details = details(&call);
    let wait = Wait::new(work.state(call).waiting(), note).reference(reference);
    Ok(wait.details(details).into())
}

/// Waits before work that AWS has not begun.
fn pause(state: State, pause: Duration, note: &str) -> Next<Aws> {
    let details = details(&state.call);
    Ok(Wait::pause(state.waiting(), note).after(pause).details(details).into())
}

fn details(call: &Call) -> Object {
    let made = call.made();
    if made.is_empty() { Object::new() } else { Object::new().with("made", list_of(made)) }
}

fn answered(work: &Work<'_>, state: State, event: Event) -> Next<Aws> {
    if let Event::NoAnswer(none) = &event
        && none.sent
        && let Some(next) = lost(&state)
    {
        return next;
    }
    let error = match service::read(event)? {
        Response::Success(data) => return state.call.after(work, &data),
        Response::Error(error) => error,
    };
    if let Some(next) = state.call.after_error(work, &error, state.tries) {
        return next;
    }
    match error.meaning() {
        Meaning::Soon => again(work, state, &error),
        Meaning::Later if state.tries < PAUSES_MAX => {
            let note = format!("AWS asks to wait: {}", error.kind);
            pause(State { tries: state.tries + 1, ..state }, LATER, &note)
        }
        Meaning::Unavailable => lost(&state).unwrap_or_else(|| Err(error.into_failure())),
        Meaning::Later | Meaning::Refused => Err(error.into_failure()),
    }
}

/// Looks for what a call has created whose response was lost, or is no word
/// about it. Returns `None` if the call creates nothing, or this happens too
/// often.
fn lost(state: &State) -> Option<Next<Aws>> {
    if state.counts.losses >= LOSSES_MAX {
        return None;
    }
    let call = state.call.search()?;
    let counts = Counts { losses: state.counts.losses + 1, ..state.counts };
    // AWS may need a while to show it.
    let note = "a response was lost: looking for what the call has created";
    Some(pause(State { call, tries: 0, counts }, PAUSE, note))
}

/// Makes the same call again, soon at first.
fn again(work: &Work<'_>, state: State, error: &Error) -> Next<Aws> {
    let tries = state.tries + 1;
    let state = State { tries, ..state };
    if tries <= SOON_MAX && state.counts.sent < REQUESTS_MAX {
        let backoff = Duration::from_secs(1 << (tries - 1).min(10));
        let pause = error.pause.unwrap_or(backoff).clamp(Duration::from_secs(1), SOON);
        // So that many jobs do not come back at once.
        let jitter = Duration::from_millis(work.job.entropy.0 % 1_000);
        return Ok(state.call.request(work)?.after(pause + jitter).then(state.sending()));
    }
    if tries <= SOON_MAX + PAUSES_MAX {
        return pause(state, PAUSE, &format!("AWS is busy: {}", error.kind));
    }
    let message = format!("AWS answered {} {tries} times in a row", error.kind);
    Err(Failure::unavailable(503, message))
}

/// Adds what was created to the response of a failed job.
fn with_made(failure: Failure, made: Vec<(&'static str, String)>) -> Failure {
    if made.is_empty() {
        return failure;
    }
    let response = failure.response.clone().with("made", list_of(made));
    failure.with_response(response)
}

fn list_of(made: Vec<(&'static str, String)>) -> Vec<Json> {
    made.into_iter()
        .map(|(kind, id)| Object::new().with("kind", kind).with("id", id).into())
        .collect()
}

/// Ends the job with code 200: `subject` is the object that ServiceNow asked
/// for.
fn done(work: &Work<'_>, subject: &str, object: Object) -> Next<Aws> {
    let asked = work.job.operation().map(|operation| operation.asked())?;
    let metadata = Object::new().with("status", 200_u16).with("request", asked);
    Ok(Step::done(Object::new().with(subject, object).with("$metadata", metadata)))
}
