//! The requests of ServiceNow.

use serde_json::Value;
use serde_json::json;

/// Returns the task order of ServiceNow's documentation.
pub fn task_order() -> Value {
    json!({
        "taskOrderNumber": "1234567890123",
        "popStartDate": "2021-07-01",
        "popEndDate": "2022-07-01",
        "clins": [{
            "clinNumber": "9999",
            "type": "CLOUD",
            "classificationLevel": "UNCLASSIFIED",
            "popStartDate": "2021-07-01",
            "popEndDate": "2022-07-01"
        }]
    })
}

/// Returns a provisioning job at `csp`, with the portfolio `p-1` if one is
/// needed.
pub fn job(id: &str, csp: &str, operation: &str) -> Value {
    let operator = json!({"email": "admin1@mail.mil", "dodId": "1122334455"});
    let payload = match operation {
        "ADD_PORTFOLIO" => json!({"name": "Sample Portfolio", "taskOrders": [task_order()]}),
        "GET_PORTFOLIO" => json!({}),
        "ADD_ENVIRONMENT" => json!({
            "name": "Sample Environment",
            "administrators": [operator],
            "classificationLevel": "UNCLASSIFIED"
        }),
        "ADD_TASK_ORDER" => json!({"taskOrder": task_order()}),
        "UPDATE_TASK_ORDER" => json!({"taskOrderId": "t-1", "taskOrder": task_order()}),
        "ADD_OPERATORS" | "ADD_ADMINISTRATOR" => {
            json!({"administrators": [operator], "environmentId": "e-1"})
        }
        other => panic!("no sample for {other}"),
    };
    let mut job = json!({
        "jobId": id,
        "userId": "21d18790-bf3e-4529-a361-460ee6d16e0b",
        "targetCspName": csp,
        "operationType": operation,
        "payload": payload
    });
    if operation != "ADD_PORTFOLIO" {
        job["portfolioId"] = json!("p-1");
    }
    job
}

/// Returns a cost request at `csp` for the portfolio `p-1`.
pub fn cost(id: &str, csp: &str) -> Value {
    json!({
        "requestId": id,
        "portfolioId": "p-1",
        "targetCspName": csp,
        "startDate": "2022-01-01",
        "endDate": "2022-12-01"
    })
}
