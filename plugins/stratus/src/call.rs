//! The calls of the Stratus API.

use hoth_adapter::Failure;
use hoth_adapter::Job;
use hoth_adapter::Json;
use hoth_adapter::Operation;
use hoth_adapter::Request;
use hoth_adapter::Retry;
use hoth_adapter::percent_encoded;
use serde::Deserialize;
use serde::Serialize;

use crate::charges::Sums;
use crate::words;

/// The header that makes a call idempotent: the CSP carries the call out once
/// and repeats its first response.
const ONCE: &str = "Stratus-Once";

/// A call, with its data besides the job.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Call {
    MakeTenant,
    ReadTenant {
        tenant: String,
    },
    MakeAccount,
    /// Polls an operation of the CSP.
    ReadOperation {
        operation: String,
        made: Made,
    },
    /// Replaces an account's contacts by the previous ones and the job's.
    PutContacts {
        account: String,
        before: Vec<Json>,
    },
    ReadAccount {
        account: String,
    },
    MakeFunding,
    ReadCharges {
        /// The token of the page; `None` for the first page.
        page: Option<String>,
        /// The number of pages read before.
        pages: u32,
        sums: Sums,
    },
}

/// The object that an operation creates, by its id.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Made {
    Tenant(String),
    Account(String),
}

impl Call {
    /// Returns true if the call polls work that the CSP has accepted.
    pub fn is_poll(&self) -> bool {
        self.operation_id().is_some()
    }

    /// Returns the operation that the call polls.
    pub fn operation_id(&self) -> Option<&str> {
        match self {
            Self::ReadOperation { operation, .. } => Some(operation),
            Self::MakeTenant
            | Self::ReadTenant { .. }
            | Self::MakeAccount
            | Self::PutContacts { .. }
            | Self::ReadAccount { .. }
            | Self::MakeFunding
            | Self::ReadCharges { .. } => None,
        }
    }

    /// Returns the HTTP request of the call.
    pub fn request(&self, job: &Job) -> Result<Request, Failure> {
        let request = match self {
            Self::MakeTenant => {
                once(job, Request::post(["tenants"])).json(words::tenant(job.operation()?)?)
            }
            Self::ReadTenant { tenant } => Request::get(["tenants", tenant]),
            Self::MakeAccount => once(job, Request::post(["tenants", tenant(job)?, "accounts"]))
                .json(words::account(job.operation()?)?),
            Self::ReadOperation { operation, .. } => Request::get(["operations", operation]),
            Self::PutContacts { account, before } => {
                Request::put(["accounts", account, "contacts"])
                    .json(words::contacts(job.operation()?, before)?)
            }
            Self::ReadAccount { account } => Request::get(["accounts", account]),
            Self::MakeFunding => once(job, Request::post(["tenants", tenant(job)?, "fundings"]))
                .json(words::funding_of(job.operation()?)?),
            Self::ReadCharges { page, .. } => charges(job.operation()?, page.as_deref())?,
        };
        Ok(request.header("User-Agent", "hoth-stratus"))
    }
}

/// Makes a creating request idempotent. A job creates one object of a kind, so
/// the job's id identifies the object.
fn once(job: &Job, request: Request) -> Request {
    request.header(ONCE, &percent_encoded(&job.id)).retry(Retry::Safe)
}

/// Returns the name of the portfolio at the CSP.
fn tenant(job: &Job) -> Result<&str, Failure> {
    job.operation()?.portfolio_id().ok_or_else(|| Failure::broken("a call needs a portfolio"))
}

fn charges(operation: Operation<'_>, page: Option<&str>) -> Result<Request, Failure> {
    let of = |portfolio_id, from, to| {
        Request::get(["tenants", portfolio_id, "charges"]).query("from", from).query("to", to)
    };
    let request = if let Operation::CostByClin {
        portfolio_id,
        task_order_number,
        clin,
        start_date,
        end_date,
    } = operation
    {
        of(portfolio_id, start_date, end_date)
            .query("funding", task_order_number)
            .query("line", clin)
    } else if let Operation::CostByPortfolio { portfolio_id, start_date, end_date } = operation {
        of(portfolio_id, start_date, end_date)
    } else {
        return Err(words::other(operation));
    };
    Ok(match page {
        Some(page) => request.query("page", page),
        None => request,
    })
}
