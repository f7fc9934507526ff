//! The kinds of jobs and their operations.

use std::fmt;

use serde::Deserialize;
use serde::Serialize;

/// The kind of a job: the API resource that it was posted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    /// `POST /provisioning-jobs`.
    Provisioning,
    /// `POST /cost-jobs`.
    Cost,
}

impl JobKind {
    /// All job kinds.
    pub const ALL: [Self; 2] = [Self::Provisioning, Self::Cost];

    /// Returns the text in logs and in deduplication ids.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Cost => "cost",
        }
    }
}

/// An operation on a CSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    AddPortfolio,
    GetPortfolio,
    AddEnvironment,
    AddTaskOrder,
    UpdateTaskOrder,
    AddOperators,
    CostByPortfolio,
    CostByClin,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 8] = [
        Self::AddPortfolio,
        Self::GetPortfolio,
        Self::AddEnvironment,
        Self::AddTaskOrder,
        Self::UpdateTaskOrder,
        Self::AddOperators,
        Self::CostByPortfolio,
        Self::CostByClin,
    ];

    /// Returns the kind of the jobs with this operation.
    pub fn kind(self) -> JobKind {
        match self {
            Self::AddPortfolio
            | Self::GetPortfolio
            | Self::AddEnvironment
            | Self::AddTaskOrder
            | Self::UpdateTaskOrder
            | Self::AddOperators => JobKind::Provisioning,
            Self::CostByPortfolio | Self::CostByClin => JobKind::Cost,
        }
    }

    /// Returns the name in the WIT contract, as in `job.operation`.
    pub fn wit_name(self) -> &'static str {
        match self {
            Self::AddPortfolio => "add-portfolio",
            Self::GetPortfolio => "get-portfolio",
            Self::AddEnvironment => "add-environment",
            Self::AddTaskOrder => "add-task-order",
            Self::UpdateTaskOrder => "update-task-order",
            Self::AddOperators => "add-operators",
            Self::CostByPortfolio => "cost-by-portfolio",
            Self::CostByClin => "cost-by-clin",
        }
    }

    /// Returns the name in the HTTP API and the configuration, as in
    /// `operationType`. Cost requests have no such field; their names follow
    /// the same pattern.
    pub fn api_name(self) -> &'static str {
        match self {
            Self::AddPortfolio => "ADD_PORTFOLIO",
            Self::GetPortfolio => "GET_PORTFOLIO",
            Self::AddEnvironment => "ADD_ENVIRONMENT",
            Self::AddTaskOrder => "ADD_TASK_ORDER",
            Self::UpdateTaskOrder => "UPDATE_TASK_ORDER",
            Self::AddOperators => "ADD_OPERATORS",
            Self::CostByPortfolio => "COST_BY_PORTFOLIO",
            Self::CostByClin => "COST_BY_CLIN",
        }
    }

    /// Reads an [`Operation::api_name`], or the older name of `ADD_OPERATORS`.
    /// Returns `None` if there is no such operation.
    pub fn from_api_name(name: &str) -> Option<Self> {
        // First, because it also reads the older name, which `api_name` never
        // has.
        let by_type = Self::from_operation_type(name);
        by_type.or_else(|| Self::ALL.into_iter().find(|operation| operation.api_name() == name))
    }

    /// Reads ServiceNow's `operationType`. `ADD_ADMINISTRATOR` is the older
    /// name of `ADD_OPERATORS`. Returns `None` if there is no such operation.
    pub fn from_operation_type(word: &str) -> Option<Self> {
        match word {
            "ADD_PORTFOLIO" => Some(Self::AddPortfolio),
            "GET_PORTFOLIO" => Some(Self::GetPortfolio),
            "ADD_ENVIRONMENT" => Some(Self::AddEnvironment),
            "ADD_TASK_ORDER" => Some(Self::AddTaskOrder),
            "UPDATE_TASK_ORDER" => Some(Self::UpdateTaskOrder),
            "ADD_OPERATORS" | "ADD_ADMINISTRATOR" => Some(Self::AddOperators),
            _ => None,
        }
    }

    /// The texts that [`Operation::from_operation_type`] reads.
    pub const OPERATION_TYPES: [&str; 7] = [
        "ADD_PORTFOLIO",
        "GET_PORTFOLIO",
        "ADD_ENVIRONMENT",
        "ADD_TASK_ORDER",
        "UPDATE_TASK_ORDER",
        "ADD_OPERATORS",
        "ADD_ADMINISTRATOR",
    ];
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wit_name())
    }
}
