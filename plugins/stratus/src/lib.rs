//! The adapter for CSPs of the Stratus kind.
//!
//! The Stratus API has tenants for portfolios and accounts for environments.
//! An account takes three calls that build on one another, with a wait for an
//! operation between them. Its calls are in `call`, its answers in `envelope`,
//! what follows from an answer in `follow`, its words in `words`, and money in
//! `charges`.

mod call;
mod charges;
mod envelope;
mod follow;
#[cfg(test)]
mod tests;
mod words;

use std::time::Duration;

use hoth_adapter::Class;
use hoth_adapter::prelude::*;
use serde::Deserialize;
use serde::Serialize;

use crate::call::Call;
use crate::charges::Sums;
use crate::envelope::Reading;

/// How often in a row one call may be told that the CSP is too busy. The CSP
/// says itself when it wants to be asked again, so this is generous.
const BUSY_MAX: u32 = 20;

/// The Stratus API.
pub struct Stratus;

hoth_adapter::export!(Stratus);

/// Where a job stands: at which call, and how often the CSP has been too busy
/// for it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// To be made when the wait is over.
    Due { call: Call, busy: u32 },
    /// Not made, because the CSP was too busy.
    PutOff { call: Call, busy: u32 },
    /// Made; its answer comes next.
    Made { call: Call, busy: u32 },
}

impl State {
    /// Where a job stands before a call.
    fn before(call: Call) -> Self {
        Self::Due { call, busy: 0 }
    }
}

impl Adapter for Stratus {
    const NAME: &'static str = "stratus";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    /// A task order cannot be changed there.
    const OPERATIONS: &'static [&'static str] = &[
        operation::ADD_PORTFOLIO,
        operation::GET_PORTFOLIO,
        operation::ADD_ENVIRONMENT,
        operation::ADD_TASK_ORDER,
        operation::ADD_OPERATORS,
        operation::COST_BY_PORTFOLIO,
        operation::COST_BY_CLIN,
    ];
    type State = State;

    fn begin(job: &Job) -> Next<Self> {
        make(job, first(job.operation()?)?, 0)
    }

    fn resume(job: &Job, state: State, event: Event) -> Next<Self> {
        match state {
            State::Due { call, busy } => make(job, call, busy),
            // Failures after a wait are polled away, and those after a
            // checkpoint are not: the call is made as if for the first time.
            State::PutOff { call, busy } => {
                Ok(Wait::checkpoint(State::Due { call, busy }, "the CSP is asked again").into())
            }
            State::Made { call, busy } => match envelope::read(event) {
                Ok(Reading::Data(data, next)) => follow::after(job, call, data, next),
                Ok(Reading::Busy(busy_for)) => put_off(call, busy, busy_for),
                Err(failure) if call.is_poll() => Err(while_polling(failure)),
                Err(failure) => Err(failure),
            },
        }
    }

    fn asked(job: &Job, state: Option<&State>) -> Object {
        let asked = job.operation().map(words::asked).unwrap_or_default();
        let Some(State::Due { call, .. } | State::PutOff { call, .. } | State::Made { call, .. }) =
            state
        else {
            return asked;
        };
        asked.with_optional("operationId", call.operation_id())
    }
}

/// The call that an operation begins with.
fn first(operation: Operation<'_>) -> Result<Call, Failure> {
    Ok(match operation {
        Operation::AddPortfolio { .. } => Call::MakeTenant,
        Operation::GetPortfolio { portfolio_id } => {
            Call::ReadTenant { tenant: portfolio_id.to_owned() }
        }
        Operation::AddEnvironment { .. } => Call::MakeAccount,
        Operation::AddTaskOrder { .. } => Call::MakeFunding,
        Operation::AddOperators { environment_id: Some(account), .. } => {
            Call::ReadAccount { account: account.to_owned() }
        }
        Operation::AddOperators { environment_id: None, .. } => {
            return Err(Failure::unsupported("the request lacks payload.environmentId"));
        }
        Operation::CostByPortfolio { .. } | Operation::CostByClin { .. } => {
            Call::ReadCharges { page: None, pages: 0, sums: Sums::default() }
        }
        Operation::UpdateTaskOrder { .. } => return Err(operation.unsupported()),
    })
}

fn make(job: &Job, call: Call, busy: u32) -> Next<Stratus> {
    Ok(call.request(job)?.then(State::Made { call, busy }))
}

/// The CSP did not look at the call, and says when to make it again.
fn put_off(call: Call, busy: u32, busy_for: Option<Duration>) -> Next<Stratus> {
    const NOTE: &str = "the CSP is busy";
    let wait = if call.is_poll() {
        // A poll stays one, and the host bounds those.
        let reference = call.operation_id().unwrap_or_default().to_owned();
        Wait::new(State::before(call), NOTE).reference(reference)
    } else if busy < BUSY_MAX {
        Wait::new(State::PutOff { call, busy: busy + 1 }, NOTE)
    } else {
        let message = format!("the CSP was too busy, {} times in a row", busy + 1);
        return Err(Failure::unavailable(503, message));
    };
    Ok(Wait { after: busy_for, ..wait }.into())
}

/// The CSP works on, and the next poll may be answered better.
fn while_polling(failure: Failure) -> Failure {
    match failure.class {
        Class::InvalidAnswer => Failure { class: Class::Unavailable, ..failure },
        Class::Refused
        | Class::Unavailable
        | Class::NotFound
        | Class::Unsupported
        | Class::JobFailed => failure.while_polling(),
    }
}
