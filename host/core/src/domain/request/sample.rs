//! Valid requests, as a starting point for tests.

use serde_json::Value;
use serde_json::json;

/// Returns a provisioning request with every key.
pub fn provisioning(operation: &str, payload: Value) -> Value {
    json!({
        "jobId": "j", "userId": "u", "portfolioId": "p", "operationType": operation,
        "targetCspName": "CSP_A", "payload": payload
    })
}

/// Returns a task order with one CLIN and dates of both forms.
pub fn task_order() -> Value {
    json!({
        "taskOrderNumber": "1", "popStartDate": "2021-07-01", "popEndDate": "2022-07",
        "clins": [{"clinNumber": "1", "type": "CLOUD", "popStartDate": "2021-07", "popEndDate": "2022-07"}]
    })
}
