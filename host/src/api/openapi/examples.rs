//! Examples of request bodies.

use serde_json::Value;
use serde_json::json;

use hoth_core::domain::JobKind;

const ID: &str = "81b31a89-e3e5-46ee-acfe-75436bd14577";
const USER: &str = "21d18790-bf3e-4529-a361-460ee6d16e0b";
const PORTFOLIO: &str = "b02e77d1-234d-4e3d-bc85-b57ca5a93952";

/// Returns examples of requests.
pub fn requests(kind: JobKind) -> Value {
    match kind {
        JobKind::Provisioning => json!({
            "portfolio": { "value": portfolio() },
            "operators": { "value": operators() },
        }),
        JobKind::Cost => json!({ "costs": { "value": costs() } }),
    }
}

fn portfolio() -> Value {
    json!({
        "jobId": ID,
        "userId": USER,
        "operationType": "ADD_PORTFOLIO",
        "targetCspName": "CSP_A",
        "payload": {
            "name": "Sample Portfolio",
            "taskOrders": [{
                "taskOrderNumber": "1234567890123",
                "popStartDate": "2026-07-01",
                "popEndDate": "2027-07",
                "clins": [{
                    "clinNumber": "0001",
                    "type": "CLOUD",
                    "classificationLevel": "UNCLASSIFIED",
                    "popStartDate": "2026-07-01",
                    "popEndDate": "2027-07-01",
                }],
            }],
        },
    })
}

fn operators() -> Value {
    json!({
        "userId": USER,
        "portfolioId": PORTFOLIO,
        "operationType": "ADD_OPERATORS",
        "targetCspName": "CSP_A",
        "payload": {
            "environmentId": "5a1f0d3e",
            "administrators": [
                { "email": "admin@mail.mil", "dodId": "1234567890", "needsReset": false },
            ],
        },
    })
}

fn costs() -> Value {
    json!({
        "requestId": ID,
        "portfolioId": PORTFOLIO,
        "targetCspName": "CSP_A",
        "startDate": "2026-01",
        "endDate": "2026-12",
    })
}

/// Returns an example that names a leased batch.
pub fn batch() -> Value {
    json!({ "batch": { "value": { "batch": "2vXk3mZ2n3gxLjE4" } } })
}

/// Returns examples that name consumed outcomes.
pub fn redeliveries(kind: JobKind) -> Value {
    let since = json!({ "value": { "since": "2026-07-01T12:00:00Z" } });
    match kind {
        JobKind::Provisioning => json!({ "jobs": { "value": { "jobIds": [ID] } }, "since": since }),
        JobKind::Cost => {
            json!({ "requests": { "value": { "requestIds": [ID] } }, "since": since })
        }
    }
}
