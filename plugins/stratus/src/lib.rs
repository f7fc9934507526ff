//! The adapter for CSPs of the Stratus kind.
//!
//! The Stratus API has tenants for portfolios and accounts for environments.
//! An account takes three calls that build on each other, with a wait for an
//! operation between them. `call` has the calls, `envelope` the responses,
//! `follow` the step after a response, `words` the translation of terms, and
//! `charges` the costs.

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

/// The bound on consecutive "too busy" responses to one call. The bound is
/// generous, because the CSP itself states when to repeat the call.
const BUSY_MAX: u32 = 20;

/// The Stratus API.
pub struct Stratus;

hoth_adapter::export!(Stratus);

/// The progress of a job: the current call, and the number of times that the
/// CSP was too busy for it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// A call to make when the wait is over. Earlier versions had a state of its
    /// own for a CSP that was too busy.
    #[serde(alias = "put-off")]
    Due { call: Call, busy: u32 },
    /// A call that was made; its response comes next.
    Made { call: Call, busy: u32 },
}

impl State {
    /// Returns the state before a call.
    fn before(call: Call) -> Self {
        Self::Due { call, busy: 0 }
    }
}

impl Adapter for Stratus {
    const NAME: &'static str = "stratus";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    /// The operations of the CSP, which cannot change a task order.
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
            State::Made { call, busy } => match envelope::read(event) {
                Ok(Reading::Data(data, next)) => follow::after(job, call, data, next),
                Ok(Reading::Busy(busy_for)) => put_off(call, busy, busy_for),
                Err(failure) if call.is_poll() => Err(while_polling(failure)),
                Err(failure) => Err(failure),
            },
        }
    }

    fn asked(job: &Job, state: Option<&State>) -> Object {
        let asked = job.operation().map(|operation| operation.asked()).unwrap_or_default();
        let Some(State::Due { call, .. } | State::Made { call, .. }) = state else {
            return asked;
        };
        asked.with_optional("operationId", call.operation_id())
    }
}

/// Returns the first call of an operation.
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

/// Waits for the time after which the CSP requests the call again.
fn put_off(call: Call, busy: u32, busy_for: Option<Duration>) -> Next<Stratus> {
    const NOTE: &str = "the CSP is busy";
    let wait = if call.is_poll() {
        // A poll stays a poll, and the host bounds polls.
        let reference = call.operation_id().unwrap_or_default().to_owned();
        Wait::new(State::before(call), NOTE).reference(reference)
    } else if busy < BUSY_MAX {
        // A failure after a pause is final, as for the first attempt.
        Wait::pause(State::Due { call, busy: busy + 1 }, NOTE)
    } else {
        let message = format!("the CSP was too busy, {} times in a row", busy + 1);
        return Err(Failure::unavailable(503, message));
    };
    Ok(Wait { after: busy_for, ..wait }.into())
}

/// Returns the failure of a poll that may succeed later.
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
