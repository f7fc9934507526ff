//! The operations of the contract.

use crate::Failure;
use crate::Job;
use crate::Json;
use crate::Object;

pub const ADD_PORTFOLIO: &str = "add-portfolio";
pub const GET_PORTFOLIO: &str = "get-portfolio";
pub const ADD_ENVIRONMENT: &str = "add-environment";
pub const ADD_TASK_ORDER: &str = "add-task-order";
pub const UPDATE_TASK_ORDER: &str = "update-task-order";
pub const ADD_OPERATORS: &str = "add-operators";
pub const COST_BY_PORTFOLIO: &str = "cost-by-portfolio";
pub const COST_BY_CLIN: &str = "cost-by-clin";

/// Every operation that this version of the crate supports.
pub const ALL: &[&str] = &[
    ADD_PORTFOLIO,
    GET_PORTFOLIO,
    ADD_ENVIRONMENT,
    ADD_TASK_ORDER,
    UPDATE_TASK_ORDER,
    ADD_OPERATORS,
    COST_BY_PORTFOLIO,
    COST_BY_CLIN,
];

/// An operation, with its ids and its payload.
///
/// Payloads are as ServiceNow sent them. ServiceNow sends undocumented keys,
/// and some keys in snake_case: [`Object::field`] finds both spellings, and
/// [`crate::payload`] has types for the documented keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    AddPortfolio {
        portfolio: &'a Object,
    },
    GetPortfolio {
        portfolio_id: &'a str,
    },
    AddEnvironment {
        portfolio_id: &'a str,
        environment: &'a Object,
    },
    AddTaskOrder {
        portfolio_id: &'a str,
        task_order: &'a Object,
    },
    UpdateTaskOrder {
        portfolio_id: &'a str,
        task_order_id: &'a str,
        task_order: &'a Object,
    },
    AddOperators {
        portfolio_id: &'a str,
        environment_id: Option<&'a str>,
        administrators: &'a [Json],
    },
    CostByPortfolio {
        portfolio_id: &'a str,
        start_date: &'a str,
        end_date: &'a str,
    },
    CostByClin {
        portfolio_id: &'a str,
        task_order_number: &'a str,
        clin: &'a str,
        start_date: &'a str,
        end_date: &'a str,
    },
}

impl<'a> Operation<'a> {
    pub(crate) fn of(job: &'a Job) -> Result<Self, Failure> {
        let input = Part { object: &job.input, path: "" };
        let payload = || input.object("payload").map(|object| Part { object, path: "payload." });
        let portfolio_id = || input.text("portfolioId");
        Ok(match job.operation.as_str() {
            ADD_PORTFOLIO => Self::AddPortfolio { portfolio: payload()?.object },
            GET_PORTFOLIO => Self::GetPortfolio { portfolio_id: portfolio_id()? },
            ADD_ENVIRONMENT => Self::AddEnvironment {
                portfolio_id: portfolio_id()?,
                environment: payload()?.object,
            },
            ADD_TASK_ORDER => Self::AddTaskOrder {
                portfolio_id: portfolio_id()?,
                task_order: payload()?.object("taskOrder")?,
            },
            UPDATE_TASK_ORDER => Self::UpdateTaskOrder {
                portfolio_id: portfolio_id()?,
                task_order_id: payload()?.text("taskOrderId")?,
                task_order: payload()?.object("taskOrder")?,
            },
            ADD_OPERATORS => Self::AddOperators {
                portfolio_id: portfolio_id()?,
                environment_id: payload()?.object.text("environmentId").filter(|id| !id.is_empty()),
                administrators: payload()?.list("administrators")?,
            },
            COST_BY_PORTFOLIO => Self::CostByPortfolio {
                portfolio_id: portfolio_id()?,
                start_date: input.text("startDate")?,
                end_date: input.text("endDate")?,
            },
            COST_BY_CLIN => Self::CostByClin {
                portfolio_id: portfolio_id()?,
                task_order_number: input.text("taskOrderNumber")?,
                clin: input.text("clin")?,
                start_date: input.text("startDate")?,
                end_date: input.text("endDate")?,
            },
            other => return Err(unsupported(other)),
        })
    }

    /// Returns the name of the operation in the contract.
    pub fn word(&self) -> &'static str {
        match self {
            Self::AddPortfolio { .. } => ADD_PORTFOLIO,
            Self::GetPortfolio { .. } => GET_PORTFOLIO,
            Self::AddEnvironment { .. } => ADD_ENVIRONMENT,
            Self::AddTaskOrder { .. } => ADD_TASK_ORDER,
            Self::UpdateTaskOrder { .. } => UPDATE_TASK_ORDER,
            Self::AddOperators { .. } => ADD_OPERATORS,
            Self::CostByPortfolio { .. } => COST_BY_PORTFOLIO,
            Self::CostByClin { .. } => COST_BY_CLIN,
        }
    }

    /// Returns the portfolio of the operation, or `None` if the operation
    /// creates one.
    pub fn portfolio_id(&self) -> Option<&'a str> {
        match self {
            Self::AddPortfolio { .. } => None,
            Self::GetPortfolio { portfolio_id }
            | Self::AddEnvironment { portfolio_id, .. }
            | Self::AddTaskOrder { portfolio_id, .. }
            | Self::UpdateTaskOrder { portfolio_id, .. }
            | Self::AddOperators { portfolio_id, .. }
            | Self::CostByPortfolio { portfolio_id, .. }
            | Self::CostByClin { portfolio_id, .. } => Some(portfolio_id),
        }
    }

    /// Returns the request in HOTH's representation, in camelCase: the `request`
    /// of an outcome where nothing else says more. For costs, the host inserts
    /// the cost request instead.
    pub fn asked(&self) -> Object {
        let portfolio = |id: &str| Object::new().with("portfolioId", id);
        let camel = |object: &Object| object.clone().into_camel_case();
        match self {
            Self::AddPortfolio { portfolio } => Object::new().with("portfolio", camel(portfolio)),
            Self::GetPortfolio { portfolio_id } => portfolio(portfolio_id),
            Self::AddEnvironment { portfolio_id, environment } => {
                portfolio(portfolio_id).with("environment", camel(environment))
            }
            Self::AddTaskOrder { portfolio_id, task_order } => {
                portfolio(portfolio_id).with("taskOrder", camel(task_order))
            }
            Self::UpdateTaskOrder { portfolio_id, task_order_id, task_order } => {
                portfolio(portfolio_id)
                    .with("taskOrderId", *task_order_id)
                    .with("taskOrder", camel(task_order))
            }
            Self::AddOperators { portfolio_id, environment_id, administrators } => {
                let administrators = Json::from(administrators.to_vec()).into_camel_case();
                portfolio(portfolio_id)
                    .with_optional("environmentId", *environment_id)
                    .with("administrators", administrators)
            }
            Self::CostByPortfolio { .. } | Self::CostByClin { .. } => Object::new(),
        }
    }

    /// Returns the failure of an operation that the CSP does not support.
    pub fn unsupported(&self) -> Failure {
        unsupported(self.word())
    }
}

fn unsupported(operation: &str) -> Failure {
    Failure::unsupported(format!("the CSP's API has no operation {operation}"))
}

/// A part of the request, with its path for error messages.
struct Part<'a> {
    object: &'a Object,
    path: &'static str,
}

impl<'a> Part<'a> {
    /// Returns a string that is not empty.
    fn text(&self, name: &str) -> Result<&'a str, Failure> {
        let text = self.object.text(name).filter(|text| !text.is_empty());
        text.ok_or_else(|| self.lacks(name))
    }

    fn object(&self, name: &str) -> Result<&'a Object, Failure> {
        let object = self.object.field(name).and_then(Json::as_object);
        object.ok_or_else(|| self.lacks(name))
    }

    fn list(&self, name: &str) -> Result<&'a [Json], Failure> {
        let list = self.object.field(name).and_then(Json::as_list);
        list.ok_or_else(|| self.lacks(name))
    }

    fn lacks(&self, name: &str) -> Failure {
        Failure::unsupported(format!("the request lacks {}{name}", self.path))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing;

    #[track_caller]
    fn check(operation: &str, input: &str, expected: &str) {
        let job = testing::job(operation, input).build();
        let read = match job.operation() {
            Ok(operation) => format!("{operation:?}"),
            Err(failure) => format!("{} {}", failure.code, failure.message),
        };
        assert_eq!(read, expected);
        if let Ok(read) = job.operation() {
            assert_eq!(read.word(), operation);
        }
    }

    #[test]
    fn an_operation_has_its_ids() {
        check("get-portfolio", r#"{"portfolioId":"p"}"#, r#"GetPortfolio { portfolio_id: "p" }"#);
        check(
            "cost-by-clin",
            r#"{"portfolioId":"p","task_order_number":"t","clin":"0001","startDate":"a","end_date":"b"}"#,
            r#"CostByClin { portfolio_id: "p", task_order_number: "t", clin: "0001", start_date: "a", end_date: "b" }"#,
        );
        check(
            "add-operators",
            r#"{"portfolioId":"p","payload":{"administrators":[],"environmentId":""}}"#,
            r#"AddOperators { portfolio_id: "p", environment_id: None, administrators: [] }"#,
        );
    }

    #[test]
    fn a_missing_field_is_named() {
        check("get-portfolio", "{}", "400 the request lacks portfolioId");
        check("get-portfolio", r#"{"portfolioId":1}"#, "400 the request lacks portfolioId");
        check("add-portfolio", r#"{"payload":null}"#, "400 the request lacks payload");
        check(
            "update-task-order",
            r#"{"portfolioId":"p","payload":{"taskOrder":{}}}"#,
            "400 the request lacks payload.taskOrderId",
        );
        check(
            "add-task-order",
            r#"{"portfolioId":"p","payload":{"taskOrder":[]}}"#,
            "400 the request lacks payload.taskOrder",
        );
    }

    #[test]
    fn an_unknown_operation_is_unsupported() {
        check("close-portfolio", "{}", "400 the CSP's API has no operation close-portfolio");
    }
}
