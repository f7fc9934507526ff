//! The requests of ServiceNow in the demo.

use serde_json::Value;
use serde_json::json;

use crate::csps::ASYNC;
use crate::csps::SYNC;

/// One request, and the code with which it must end.
pub struct DemoJob {
    pub id: String,
    pub path: &'static str,
    pub csp: &'static str,
    pub what: &'static str,
    pub body: Value,
    pub expected_code: u64,
}

/// The name of a portfolio that is refused twice with 503 before it is made.
pub const FLAKY: &str = "Fails twice";

/// The name of a portfolio that is always refused with 503.
pub const BROKEN: &str = "Fails for good";

/// Returns every job of the demo.
pub fn all() -> Vec<DemoJob> {
    let mut jobs = Vec::new();
    for csp in [SYNC, ASYNC] {
        let operator = json!([{"email": "admin1@mail.mil", "dodId": "1122334455"}]);
        let task_order = json!({
            "taskOrderNumber": "1234567890123", "popStartDate": "2026-07", "popEndDate": "2027-07",
            "clins": [{"clinNumber": "0001", "type": "CLOUD", "classificationLevel": "UNCLASSIFIED",
                       "popStartDate": "2026-07", "popEndDate": "2027-07"}]
        });
        jobs.push(provisioning(
            csp,
            "ADD_PORTFOLIO",
            None,
            json!({"name": "Demo", "taskOrders": [task_order]}),
        ));
        jobs.push(provisioning(
            csp,
            "ADD_ENVIRONMENT",
            Some("p-1"),
            json!({
                "name": "Production", "administrators": operator, "classificationLevel": "SECRET"
            }),
        ));
        jobs.push(provisioning(
            csp,
            "ADD_TASK_ORDER",
            Some("p-1"),
            json!({"taskOrder": task_order}),
        ));
        jobs.push(provisioning(
            csp,
            "ADD_OPERATORS",
            Some("p-2"),
            json!({
                "administrators": operator, "environmentId": "e-1"
            }),
        ));
        jobs.push(cost(csp));
    }
    jobs.push(portfolio("flaky-portfolio", SYNC, FLAKY));
    let broken = portfolio("broken-portfolio", ASYNC, BROKEN);
    jobs.push(DemoJob { expected_code: 503, ..broken });
    jobs
}

/// Returns a job that adds a portfolio of this name.
pub fn portfolio(id: &str, csp: &'static str, name: &str) -> DemoJob {
    let payload = json!({"name": name, "taskOrders": []});
    let mut job = provisioning(csp, "ADD_PORTFOLIO", None, payload);
    job.id = id.to_owned();
    job.body["jobId"] = json!(id);
    job
}

fn provisioning(
    csp: &'static str,
    what: &'static str,
    portfolio: Option<&str>,
    payload: Value,
) -> DemoJob {
    let side = csp.trim_start_matches("CSP_").to_lowercase();
    let id = format!("{side}-{}", what.to_lowercase().replace('_', "-"));
    let mut body = json!({
        "jobId": id, "userId": "demo", "targetCspName": csp, "operationType": what, "payload": payload
    });
    if let Some(portfolio) = portfolio {
        body["portfolioId"] = json!(portfolio);
    }
    DemoJob { id, path: "/provisioning-jobs", csp, what, body, expected_code: 200 }
}

fn cost(csp: &'static str) -> DemoJob {
    let id = format!("{}-cost", csp.trim_start_matches("CSP_").to_lowercase());
    let body = json!({
        "requestId": id, "portfolioId": "p-1", "targetCspName": csp,
        "startDate": "2026-01", "endDate": "2026-12"
    });
    DemoJob { id, path: "/cost-jobs", csp, what: "cost", body, expected_code: 200 }
}
