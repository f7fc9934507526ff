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
mod names;
mod operators;
mod pair;
mod placement;
mod portfolio;
mod service;
mod settings;
mod tags;
mod task_order;
#[cfg(test)]
mod tests;

use std::time::Duration;

use hoth_adapter::calls;
use hoth_adapter::calls::Made;
use hoth_adapter::prelude::*;
use serde::Deserialize;
use serde::Serialize;

use crate::service::Error;
use crate::service::Meaning;
use crate::service::Response;
use crate::settings::Settings;

/// The pause after a lost response, and before a call that AWS refused often.
const PAUSE: Duration = Duration::from_secs(60);

pub struct Aws;

hoth_adapter::export!(Aws);

/// A call, with what the calls before it have found.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    Portfolio(portfolio::Call),
    TaskOrder(task_order::Call),
    Environment(environment::Call),
    Operators(operators::Call),
    Costs(costs::Call),
}

type Work<'a> = calls::Work<'a, Settings>;

type Action = calls::Action<Call>;

impl Adapter for Aws {
    const NAME: &'static str = "aws";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const OPERATIONS: &'static [&'static str] = operation::ALL;
    const MANIFEST: &'static str = include_str!("../manifest.json");
    type State = calls::State<Call>;

    fn begin(job: &Job) -> Next<Self> {
        calls::begin(job)
    }

    fn resume(job: &Job, state: Self::State, event: Event) -> Next<Self> {
        calls::resume(job, state, event)
    }

    fn asked(job: &Job, _: Option<&Self::State>) -> Object {
        job.operation().map(|operation| operation.asked()).unwrap_or_default()
    }
}

impl calls::Call for Call {
    type Settings = Settings;
    const PAUSE: Option<Duration> = Some(PAUSE);

    fn settings(job: &Job) -> Result<Settings, Failure> {
        Settings::of(job)
    }

    fn first(work: &Work<'_>) -> Result<Self, Failure> {
        match work.job.operation()? {
            Operation::AddPortfolio { .. } => Ok(portfolio::Call::first_of_creation()),
            Operation::GetPortfolio { portfolio_id } => {
                Ok(portfolio::Call::first_of_reading(portfolio_id))
            }
            Operation::AddTaskOrder { .. } | Operation::UpdateTaskOrder { .. } => {
                task_order::Call::first(work)
            }
            Operation::AddEnvironment { .. } => environment::Call::first(work),
            Operation::AddOperators { environment_id, .. } => {
                let lacks = || Failure::unsupported("the request lacks payload.environmentId");
                operators::first(work, environment_id.ok_or_else(lacks)?)
            }
            Operation::CostByPortfolio { .. } | Operation::CostByClin { .. } => {
                costs::Call::first(work)
            }
        }
    }

    fn request(&self, work: &Work<'_>) -> Result<Request, Failure> {
        match self {
            Self::Portfolio(call) => call.request(work),
            Self::TaskOrder(call) => call.request(work),
            Self::Environment(call) => call.request(work),
            Self::Operators(call) => call.request(work),
            Self::Costs(call) => call.request(work),
        }
    }

    fn after(self, work: &Work<'_>, answer: Answer) -> Result<Action, Failure> {
        let error = match service::read(&answer)? {
            Response::Success(data) => return self.after_success(work, &data),
            Response::Error(error) => error,
        };
        if let Some(action) = self.after_error(work, &error) {
            return action;
        }
        match error.meaning() {
            Meaning::Soon => Ok(error.repeat_soon()),
            Meaning::Later => Ok(error.repeat_later()),
            Meaning::Unavailable => Ok(Action::Lost(error.into_failure())),
            Meaning::Refused => Err(error.into_failure()),
        }
    }

    fn after_loss(&self) -> Option<Self> {
        match self {
            Self::Portfolio(call) => call.search().map(Self::Portfolio),
            Self::Environment(call) => call.search().map(Self::Environment),
            Self::Operators(call) => call.search().map(Self::Operators),
            Self::TaskOrder(_) | Self::Costs(_) => None,
        }
    }

    fn made(&self) -> Vec<Made> {
        match self {
            Self::Environment(call) => call.made(),
            Self::Operators(call) => call.made(),
            Self::Portfolio(_) | Self::TaskOrder(_) | Self::Costs(_) => Vec::new(),
        }
    }
}

impl Call {
    fn after_success(self, work: &Work<'_>, data: &Object) -> Result<Action, Failure> {
        match self {
            Self::Portfolio(call) => call.after(work, data),
            Self::TaskOrder(call) => call.after(work, data),
            Self::Environment(call) => call.after(work, data),
            Self::Operators(call) => call.after(work, data),
            Self::Costs(call) => call.after(work, data),
        }
    }

    /// Returns the action after an error that means something special for this
    /// call.
    fn after_error(&self, work: &Work<'_>, error: &Error) -> Option<Result<Action, Failure>> {
        match self {
            Self::Portfolio(call) => call.after_error(error),
            Self::Environment(call) => call.after_error(error),
            Self::Operators(call) => call.after_error(work, error),
            Self::Costs(call) => call.after_error(work, error),
            Self::TaskOrder(_) => None,
        }
    }
}
