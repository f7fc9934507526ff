//! What can be asked of a CSP.

use std::fmt;

use serde::Deserialize;
use serde::Serialize;

/// Which of the two APIs a job came through.
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

    /// The word in logs and in deduplication ids.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Cost => "cost",
        }
    }
}

/// One operation, as an adapter reads it in `job.operation`.
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
    /// All that there are.
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

    /// The word of the WIT contract.
    pub fn as_str(self) -> &'static str {
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

    /// The word of callers and operators: as in `operationType`, and in the same
    /// manner for cost requests, which have no such field.
    pub fn word(self) -> &'static str {
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

    /// Reads what [`Operation::word`] says, and the older word for
    /// `ADD_OPERATORS`.
    pub fn from_word(word: &str) -> Option<Self> {
        let by_type = Self::from_operation_type(word);
        by_type.or_else(|| Self::ALL.into_iter().find(|operation| operation.word() == word))
    }

    /// Reads ServiceNow's `operationType`. `ADD_ADMINISTRATOR` is the older
    /// word for `ADD_OPERATORS`.
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

    /// The words that [`Operation::from_operation_type`] reads.
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
        f.write_str(self.as_str())
    }
}
