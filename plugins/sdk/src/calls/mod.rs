//! Jobs of several calls that build on one another.
//!
//! An adapter lists its calls in an enum, each with the results of the calls
//! before it, and implements [`Call`] for the enum. [`begin`] and [`resume`]
//! are then those of the adapter, and its state is [`State`]. They make the
//! calls and keep the bounds:
//!
//! - A run makes [`REQUESTS_MAX`] requests; then the progress is stored.
//! - A call that the CSP asks for again is repeated within the run at first,
//!   then after pauses, and [`Repeat::tries_max`] times in all.
//! - After a lost response, the job looks for what the call has done, at most
//!   [`LOSSES_MAX`] times.
//! - The details of every wait, and the response of a failed job, list what the
//!   job has created ([`Call::made`]).
//!
//! ```
//! use hoth_adapter::calls;
//! use hoth_adapter::calls::Action;
//! use hoth_adapter::calls::Made;
//! use hoth_adapter::calls::Work;
//! use hoth_adapter::prelude::*;
//! use serde::Deserialize;
//! use serde::Serialize;
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! enum Call {
//!     Find,
//!     Create,
//! }
//!
//! impl calls::Call for Call {
//!     type Settings = ();
//!
//!     fn settings(_: &Job) -> Result<(), Failure> {
//!         Ok(())
//!     }
//!
//!     fn first(_: &Work<'_, ()>) -> Result<Self, Failure> {
//!         Ok(Self::Find)
//!     }
//!
//!     fn request(&self, work: &Work<'_, ()>) -> Result<Request, Failure> {
//!         Ok(match self {
//!             Self::Find => Request::get(["folders"]).query("label", &work.job.token("folder")),
//!             Self::Create => Request::post(["folders"]).json(Object::new()),
//!         })
//!     }
//!
//!     fn after(self, work: &Work<'_, ()>, answer: Answer) -> Result<Action<Self>, Failure> {
//!         match self {
//!             Self::Find if answer.status == 404 => Ok(Action::Call(Self::Create)),
//!             Self::Find | Self::Create => work.done("portfolio", answer.success()?.object()?),
//!         }
//!     }
//!
//!     fn after_loss(&self) -> Option<Self> {
//!         matches!(self, Self::Create).then_some(Self::Find)
//!     }
//!
//!     fn made(&self) -> Vec<Made> {
//!         Vec::new()
//!     }
//! }
//!
//! struct Acme;
//!
//! impl Adapter for Acme {
//!     const NAME: &'static str = "acme";
//!     const VERSION: &'static str = env!("CARGO_PKG_VERSION");
//!     const OPERATIONS: &'static [&'static str] = &[operation::ADD_PORTFOLIO];
//!     type State = calls::State<Call>;
//!
//!     fn begin(job: &Job) -> Next<Self> {
//!         calls::begin(job)
//!     }
//!
//!     fn resume(job: &Job, state: Self::State, event: Event) -> Next<Self> {
//!         calls::resume(job, state, event)
//!     }
//! }
//! ```

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Answer;
use crate::Event;
use crate::Failure;
use crate::Job;
use crate::Json;
use crate::Object;
use crate::Outcome;
use crate::Request;
use crate::Step;
use crate::Wait;

/// The requests between two waits: a run may make 64.
pub const REQUESTS_MAX: u32 = 60;

/// The repetitions of a call within the run, before the job pauses.
pub const SOON_MAX: u32 = 8;

/// The longest pause within the run, in which the job keeps its turn. The
/// host's own bound is 30 s by default.
pub const SOON: Duration = Duration::from_secs(20);

/// The lost responses after which a job looks for what it has created.
pub const LOSSES_MAX: u32 = 5;

/// The entries of `made` in the details of a wait, which may have 16 KiB.
const MADE_SHOWN_MAX: usize = 100;

/// An object that the job has created: its kind and its id at the CSP.
pub type Made = (&'static str, String);

/// A call, with the results of the calls before it.
pub trait Call: Clone + Serialize + DeserializeOwned {
    /// The CSP's `settings`, as the adapter reads them.
    type Settings;

    /// The shortest pause of a job whose response was lost, or whose CSP asks
    /// for a call again and again. `None` selects the pause that the last
    /// response asked for, otherwise the operator's polling schedule.
    const PAUSE: Option<Duration> = None;

    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// [`Failure`] ends the job.
    fn settings(job: &Job) -> Result<Self::Settings, Failure>;

    /// Returns the first call of a job.
    ///
    /// # Errors
    ///
    /// [`Failure`] refuses the job before any call.
    fn first(work: &Work<'_, Self::Settings>) -> Result<Self, Failure>;

    /// Returns the request of the call.
    ///
    /// # Errors
    ///
    /// [`Failure`] ends the job.
    fn request(&self, work: &Work<'_, Self::Settings>) -> Result<Request, Failure>;

    /// Returns the action after the response to the call.
    ///
    /// # Errors
    ///
    /// [`Failure`] ends the job; after a poll, the host may poll again.
    fn after(
        self,
        work: &Work<'_, Self::Settings>,
        answer: Answer,
    ) -> Result<Action<Self>, Failure>;

    /// Returns the call that finds out what this one has done if its response
    /// was lost: a search, or the same call if a second one does no harm.
    /// `None` if the host's own retries are enough.
    fn after_loss(&self) -> Option<Self>;

    /// Returns what the job has created so far, in the order of creation.
    fn made(&self) -> Vec<Made>;
}

/// The action after the response to a call.
#[derive(Debug)]
pub enum Action<C> {
    /// Makes another call in the same run.
    Call(C),
    /// Waits before a call. The details need not have what was created.
    Wait(Wait<C>),
    /// Makes the same call again.
    Repeat(Repeat),
    /// Treats the response as lost: it does not tell whether the CSP has acted.
    /// The failure ends the job if there is no call after the loss.
    Lost(Failure),
    Done(Outcome),
}

/// A repetition of a call, for which the CSP has asked.
#[derive(Debug)]
pub struct Repeat {
    /// The pause that the CSP asks for. One longer than [`SOON`] is a wait.
    /// `None` selects 1 s, which doubles with each try up to [`SOON`].
    pub after: Option<Duration>,
    /// The repetitions in a row after which the job fails.
    pub tries_max: u32,
    /// The reason, in one line for people.
    pub note: String,
    /// The failure of the job after too many repetitions.
    pub failure: Failure,
}

/// A job with its settings.
#[derive(Debug)]
pub struct Work<'a, S> {
    pub job: &'a Job,
    pub settings: S,
}

/// The progress of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State<C> {
    /// The call to make after a wait, or the call whose response comes next.
    call: C,
    /// The repetitions of this call in a row.
    tries: u32,
    /// The requests since the last wait.
    sent: u32,
    /// The lost responses in this job.
    losses: u32,
}

/// Begins a job with its first call.
///
/// # Errors
///
/// [`Failure`] if the settings, the request or the first call do not allow it.
pub fn begin<C: Call>(job: &Job) -> Result<Step<State<C>>, Failure> {
    let work = Work { job, settings: C::settings(job)? };
    let call = C::first(&work)?;
    State { call, tries: 0, sent: 0, losses: 0 }.send(&work)
}

/// Continues a job with the event that has happened since the last step.
///
/// # Errors
///
/// [`Failure`] of the call, with what the job has created so far.
pub fn resume<C: Call>(
    job: &Job,
    state: State<C>,
    event: Event,
) -> Result<Step<State<C>>, Failure> {
    let made = state.call.made();
    let work = C::settings(job).map(|settings| Work { job, settings });
    let next = work.and_then(|work| match event {
        Event::Timer => state.send(&work),
        Event::Answer(_) | Event::NoAnswer(_) | Event::Other { .. } => state.go_on(&work, event),
    });
    next.map_err(|failure| with_made(failure, made))
}

/// Adds what was created to the response of a failed job. [`resume`] does so
/// with the results of the calls before; this is for a call that has created
/// something and fails nevertheless.
pub fn with_made(failure: Failure, made: Vec<Made>) -> Failure {
    let response = add_made(failure.response.clone(), made);
    failure.with_response(response)
}

impl<S> Work<'_, S> {
    /// Ends the job with code 200. `subject` is the key of the object that
    /// ServiceNow asked for; `$metadata` is added beside it.
    ///
    /// # Errors
    ///
    /// As of [`Job::operation`].
    pub fn done<C>(&self, subject: &str, object: Object) -> Result<Action<C>, Failure> {
        let asked = self.job.operation()?.asked();
        let metadata = Object::new().with("status", 200_u16).with("request", asked);
        Ok(Action::done(Object::new().with(subject, object).with("$metadata", metadata)))
    }
}

impl<C> Action<C> {
    /// Ends the job with code 200 and this response.
    pub fn done(response: Object) -> Self {
        Self::Done(Outcome { code: 200, request: None, response })
    }
}

/// Converts a wait to an action, for `Ok(Wait::checkpoint(…).into())`.
impl<C> From<Wait<C>> for Action<C> {
    fn from(wait: Wait<C>) -> Self {
        Self::Wait(wait)
    }
}

impl<C: Call> State<C> {
    /// Makes the call, in the next run if this one has made many.
    fn send(self, work: &Work<'_, C::Settings>) -> Result<Step<Self>, Failure> {
        if self.sent >= REQUESTS_MAX {
            return Ok(stored(Wait::checkpoint(self, "many requests were made")));
        }
        Ok(self.call.request(work)?.then(self.counted()))
    }

    fn counted(self) -> Self {
        Self { sent: self.sent + 1, ..self }
    }

    /// Returns the state before another call.
    fn before(&self, call: C) -> Self {
        Self { call, tries: 0, sent: self.sent, losses: self.losses }
    }

    fn go_on(self, work: &Work<'_, C::Settings>, event: Event) -> Result<Step<Self>, Failure> {
        let action = match event {
            Event::NoAnswer(none) if none.sent => Action::Lost(none.into()),
            Event::Answer(_) | Event::NoAnswer(_) | Event::Timer | Event::Other { .. } => {
                self.call.clone().after(work, event.answer()?)?
            }
        };
        match action {
            Action::Call(call) => self.before(call).send(work),
            Action::Wait(wait) => Ok(stored(wait.map(|call| self.before(call)))),
            Action::Repeat(repeat) => self.repeat(work, repeat),
            Action::Lost(failure) => self.search().ok_or(failure),
            Action::Done(outcome) => Ok(outcome.into()),
        }
    }

    /// Makes the same call again: soon, or after a pause if the CSP asks for a
    /// long one, or has asked often.
    fn repeat(self, work: &Work<'_, C::Settings>, repeat: Repeat) -> Result<Step<Self>, Failure> {
        let Repeat { after, tries_max, note, failure } = repeat;
        let state = Self { tries: self.tries + 1, ..self };
        if state.tries > tries_max {
            return Err(failure);
        }
        let backoff = Duration::from_secs(1 << (state.tries - 1).min(10)).min(SOON);
        let soon = after.unwrap_or(backoff);
        if state.tries <= SOON_MAX && soon <= SOON && state.sent < REQUESTS_MAX {
            // So that many jobs do not come back at once.
            let jitter = Duration::from_millis(work.job.entropy.0 % 1_000);
            return Ok(state.call.request(work)?.after(soon + jitter).then(state.counted()));
        }
        Ok(stored(Wait { after: after.max(C::PAUSE), ..Wait::pause(state, note) }))
    }

    /// Looks for what the call has done, whose response was lost. Returns
    /// `None` if there is nothing to look for, or responses are lost too often.
    fn search(&self) -> Option<Step<Self>> {
        if self.losses >= LOSSES_MAX {
            return None;
        }
        let state = self.before(self.call.after_loss()?);
        let state = Self { losses: self.losses + 1, ..state };
        // The CSP may need a while to show it.
        let note = "a response was lost: looking for what the call has done";
        Some(stored(Wait { after: C::PAUSE, ..Wait::pause(state, note) }))
    }
}

/// Returns the step of a wait, with what was created in the details.
fn stored<C: Call>(mut wait: Wait<State<C>>) -> Step<State<C>> {
    let mut made = wait.state.call.made();
    made.truncate(MADE_SHOWN_MAX);
    wait.details = add_made(wait.details, made);
    wait.state.sent = 0;
    wait.into()
}

fn add_made(object: Object, made: Vec<Made>) -> Object {
    if made.is_empty() {
        return object;
    }
    let one = |(kind, id)| Object::new().with("kind", kind).with("id", id).into();
    object.with("made", made.into_iter().map(one).collect::<Vec<Json>>())
}
