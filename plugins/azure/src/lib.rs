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

use hoth_adapter::calls;
use hoth_adapter::calls::Made;
use hoth_adapter::prelude::*;
use serde::Deserialize;
use serde::Serialize;

use crate::arm::Error;
use crate::arm::Meaning;
use crate::arm::Response;
use crate::settings::Settings;

pub struct Azure;

hoth_adapter::export!(Azure);

/// A call, with what the calls before it have found.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    Portfolio(portfolio::Call),
    Environment(environment::Call),
    Operators(operators::Call),
    Costs(costs::Call),
}

type Work<'a> = calls::Work<'a, Settings>;

type Action = calls::Action<Call>;

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

    fn settings(job: &Job) -> Result<Settings, Failure> {
        Settings::of(job)
    }

    fn first(work: &Work<'_>) -> Result<Self, Failure> {
        let operation = work.job.operation()?;
        if operation.portfolio_id().is_some() {
            portfolio::id(work)?;
        }
        match operation {
            Operation::AddPortfolio { .. } => Ok(Self::Portfolio(portfolio::Call::Create)),
            Operation::GetPortfolio { .. } => Ok(Self::Portfolio(portfolio::Call::Read)),
            Operation::AddEnvironment { .. } => environment::first(work),
            Operation::AddOperators { .. } => operators::first(work),
            Operation::CostByPortfolio { .. } | Operation::CostByClin { .. } => costs::first(work),
            Operation::AddTaskOrder { .. } | Operation::UpdateTaskOrder { .. } => {
                Err(operation.unsupported())
            }
        }
    }

    fn request(&self, work: &Work<'_>) -> Result<Request, Failure> {
        match self {
            Self::Portfolio(call) => call.request(work),
            Self::Environment(call) => call.request(work),
            Self::Operators(call) => call.request(work),
            Self::Costs(call) => call.request(work),
        }
    }

    fn after(self, work: &Work<'_>, answer: Answer) -> Result<Action, Failure> {
        let error = match arm::read(answer)? {
            Response::Success(answer) => return self.after_success(work, &answer),
            Response::Error(error) => error,
        };
        if let Some(failure) = self.poll_failure(&error) {
            return Err(failure);
        }
        if let Some(action) = self.after_error(work, &error) {
            return action;
        }
        match self.meaning(&error) {
            Meaning::Soon => Ok(error.repeat()),
            Meaning::Unavailable => Ok(Action::Lost(error.into_failure())),
            Meaning::Refused => Err(error.into_failure()),
        }
    }

    fn after_loss(&self) -> Option<Self> {
        match self {
            Self::Portfolio(call) => call.after_loss().map(Self::Portfolio),
            Self::Environment(call) => call.after_loss().map(Self::Environment),
            Self::Operators(call) => call.after_loss().map(Self::Operators),
            Self::Costs(call) => call.after_loss().map(Self::Costs),
        }
    }

    fn made(&self) -> Vec<Made> {
        match self {
            Self::Portfolio(call) => call.made(),
            Self::Environment(call) => call.made(),
            Self::Operators(call) => call.made(),
            Self::Costs(_) => Vec::new(),
        }
    }
}

impl Call {
    fn after_success(self, work: &Work<'_>, answer: &Answer) -> Result<Action, Failure> {
        match self {
            Self::Portfolio(call) => call.after(work, answer),
            Self::Environment(call) => call.after(work, answer),
            Self::Operators(call) => call.after(work, answer),
            Self::Costs(call) => call.after(work, answer),
        }
    }

    /// Returns the action after an error that means something special for this
    /// call.
    fn after_error(&self, work: &Work<'_>, error: &Error) -> Option<Result<Action, Failure>> {
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
}
