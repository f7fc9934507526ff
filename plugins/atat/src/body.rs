//! Request bodies, with the keys that ServiceNow used.

use hoth_adapter::Json;
use hoth_adapter::Object;
use hoth_adapter::Operation;

/// The fields that the API accepts.
const ENVIRONMENT_FIELDS: &[&str] = &[
    "name",
    "administrators",
    "classificationLevel",
    "cloudDistinguisher",
    "accountName",
    "emailDistributionList",
    "isMigration",
];

/// Returns the body of an operation's call, or `None` for calls without one.
pub fn of(operation: Operation<'_>) -> Option<Object> {
    match operation {
        Operation::AddPortfolio { portfolio } => Some(portfolio.clone()),
        Operation::AddEnvironment { environment, .. } => {
            let mut environment = environment.pick(ENVIRONMENT_FIELDS);
            if let Some(Json::List(operators)) = environment.get_mut("administrators") {
                operators.iter_mut().for_each(fill_in_needs_reset);
            }
            Some(environment)
        }
        Operation::AddTaskOrder { task_order, .. }
        | Operation::UpdateTaskOrder { task_order, .. } => Some(task_order.clone()),
        Operation::AddOperators { administrators, .. } => {
            let mut administrators = administrators.to_vec();
            administrators.iter_mut().for_each(fill_in_needs_reset);
            Some(Object::new().with("administrators", administrators))
        }
        Operation::GetPortfolio { .. }
        | Operation::CostByPortfolio { .. }
        | Operation::CostByClin { .. } => None,
    }
}

/// Inserts the value that the API requires where ServiceNow sends none.
fn fill_in_needs_reset(operator: &mut Json) {
    if let Json::Object(operator) = operator
        && operator.field("needsReset").is_none()
    {
        // The key may be present with the value null.
        operator.remove("needs_reset");
        operator.set("needsReset", false);
    }
}
