//! The adapter for CSPs that offer the ATAT API.
//!
//! `call` chooses the call of an operation, `request_echo` reports the request,
//! and `response_key` names the object in the response. `reply` interprets
//! responses, `poll` polls.

mod body;
mod poll;
mod reply;
#[cfg(test)]
mod tests;
mod version;

use std::time::Duration;

use hoth_adapter::prelude::*;
use serde::Deserialize;
use serde::Serialize;

use crate::version::Version;

/// The ATAT API, in the version that the CSP's setting `api_version` names.
pub struct Atat;

#[cfg(feature = "component")]
hoth_adapter::export!(Atat);

/// The state between two steps.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The operation's call was made. The deadline is part of the request, and
    /// must not change.
    Called { deadline: Option<Timestamp> },
    /// The CSP accepted the work, and reports its progress at the location.
    Accepted { location: String },
}

const READ: &str = "atat/read-portfolio";
const WRITE: &str = "atat/write-portfolio";
const COST: &str = "atat/read-cost";

/// Returns the call of an operation.
fn call(
    operation: Operation<'_>,
    version: Version<'_>,
    deadline: Option<Timestamp>,
) -> Result<Request, Failure> {
    let request = match operation {
        Operation::AddPortfolio { .. } => Request::post(["portfolios"]).scope(WRITE),
        Operation::GetPortfolio { portfolio_id } => {
            Request::get(["portfolios", portfolio_id]).scope(READ)
        }
        Operation::AddEnvironment { portfolio_id, .. } => {
            Request::post(["portfolios", portfolio_id, "environments"]).scope(WRITE)
        }
        Operation::AddTaskOrder { portfolio_id, .. } => {
            Request::post(["portfolios", portfolio_id, "task-orders"]).scope(WRITE)
        }
        Operation::UpdateTaskOrder { portfolio_id, task_order_id, .. } => {
            Request::put(["portfolios", portfolio_id, "task-orders", task_order_id]).scope(WRITE)
        }
        Operation::AddOperators { portfolio_id, environment_id, .. } => {
            match version.operators(environment_id)? {
                None => Request::patch(["portfolios", portfolio_id]),
                Some(id) => Request::patch(["portfolios", portfolio_id, "environments", id]),
            }
            .scope(WRITE)
        }
        Operation::CostByPortfolio { portfolio_id, start_date, end_date } => {
            Request::get(["portfolios", portfolio_id, version.costs()])
                .query("start_date", start_date)
                .query("end_date", end_date)
                .scope(COST)
        }
        Operation::CostByClin {
            portfolio_id,
            task_order_number: number,
            clin,
            start_date,
            end_date,
        } => Request::get([
            "portfolios",
            portfolio_id,
            "task-orders",
            number,
            "clins",
            clin,
            "costs",
        ])
        .query("start_date", start_date)
        .query("end_date", end_date)
        .scope(COST),
    };
    let request = match body::of(operation) {
        Some(body) => request.json(body.into_snake_case()),
        None => request,
    };
    Ok(match deadline {
        Some(deadline) => request.header("X-Provision-Deadline", &deadline.to_string()),
        None => request,
    })
}

/// Returns the request in HOTH's representation.
fn request_echo(operation: Operation<'_>, deadline: Option<Timestamp>) -> Object {
    let body = body::of(operation).unwrap_or_default().into_camel_case();
    let portfolio = |id: &str| Object::new().with("portfolioId", id);
    match operation {
        Operation::AddPortfolio { .. } => Object::new().with("portfolio", body),
        Operation::GetPortfolio { portfolio_id } => portfolio(portfolio_id),
        Operation::AddEnvironment { portfolio_id, .. } => portfolio(portfolio_id)
            .with("environment", body)
            .with_optional("provisionDeadline", deadline.map(|deadline| deadline.to_string())),
        Operation::AddTaskOrder { portfolio_id, .. } => {
            portfolio(portfolio_id).with("taskOrder", body)
        }
        Operation::UpdateTaskOrder { portfolio_id, task_order_id, .. } => {
            portfolio(portfolio_id).with("taskOrderId", task_order_id).with("taskOrder", body)
        }
        Operation::AddOperators { portfolio_id, environment_id, .. } => {
            let request = portfolio(portfolio_id).with_optional("environmentId", environment_id);
            request.with_optional("administrators", body.get("administrators").cloned())
        }
        // The host inserts the cost request.
        Operation::CostByPortfolio { .. } | Operation::CostByClin { .. } => Object::new(),
    }
}

/// Returns the key of the response beside `$metadata`, or `None` for costs,
/// which have no key.
fn response_key(operation: Operation<'_>) -> Option<&'static str> {
    match operation {
        Operation::AddPortfolio { .. } | Operation::GetPortfolio { .. } => Some("portfolio"),
        Operation::AddEnvironment { .. } => Some("environment"),
        Operation::AddTaskOrder { .. } | Operation::UpdateTaskOrder { .. } => Some("taskOrder"),
        Operation::AddOperators { .. } => Some("operators"),
        Operation::CostByPortfolio { .. } | Operation::CostByClin { .. } => None,
    }
}

/// Returns the deadline for an environment. A migrated environment has none.
fn time_to_provision(operation: Operation<'_>) -> Option<Duration> {
    let Operation::AddEnvironment { environment, .. } = operation else { return None };
    let flag = |name| environment.field(name).and_then(Json::as_bool).unwrap_or(false);
    match (flag("isMigration"), environment.text("classificationLevel")) {
        (true, _) => None,
        (false, Some("UNCLASSIFIED")) => Some(Duration::from_hours(2)),
        (false, _) => Some(Duration::from_hours(72)),
    }
}

/// Adds the common parts of every request. The CSPs of this API have always
/// been called up to three times, so each accepts a repetition.
fn with_common_headers(request: Request, version: Version<'_>) -> Request {
    request
        .header("User-Agent", "ATAT CSP Api Client")
        .header("X-Atat-Api-Version", version.as_str())
        .retry(Retry::Safe)
}

impl Adapter for Atat {
    const NAME: &'static str = "atat";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const OPERATIONS: &'static [&'static str] = operation::ALL;
    const MANIFEST: &'static str = include_str!("../manifest.json");
    type State = State;

    fn begin(job: &Job) -> Next<Self> {
        let (operation, version) = (job.operation()?, Version::of(job)?);
        let deadline = time_to_provision(operation).map(|time| job.now.after(time));
        let request = call(operation, version, deadline)?;
        Ok(with_common_headers(request, version).then(State::Called { deadline }))
    }

    fn resume(job: &Job, state: State, event: Event) -> Next<Self> {
        match (state, event) {
            (State::Called { deadline }, event) => reply::read(job, deadline, event),
            (State::Accepted { location }, Event::Timer) => poll::ask(job, location),
            (State::Accepted { location }, event) => poll::read(job, location, event),
        }
    }

    fn asked(job: &Job, state: Option<&State>) -> Object {
        let deadline = match state {
            None => None,
            Some(State::Called { deadline }) => *deadline,
            Some(State::Accepted { location }) => return poll::request_echo(location),
        };
        job.operation().map(|operation| request_echo(operation, deadline)).unwrap_or_default()
    }
}
