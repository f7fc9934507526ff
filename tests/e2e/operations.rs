//! The requests of the `atat` adapter, operation by operation.

use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::csp;
use crate::harness::Outcome;
use crate::harness::Setup;
use crate::harness::cost;
use crate::harness::job;

/// Submits `job` to a CSP of `version`, and returns the outcome, the request
/// line and the body of the one call.
async fn one_call(version: &str, job: &Value) -> (Outcome, String, Value) {
    let csp = csp::sync_of_version(version).await;
    let lines = format!("settings = {{ api_version = \"{version}\" }}");
    let host = Setup::new().csp_with("CSP_TEST", &csp, &lines).start().await;
    let snow = host.servicenow();
    let message = if job["requestId"].is_string() {
        snow.ask_cost(job).await;
        snow.cost_outcome().await
    } else {
        snow.provision(job).await;
        snow.outcome().await
    };
    csp::assert_no_violations(&csp);
    let calls = csp::calls(&csp);
    assert_eq!(calls.len(), 1, "{message}");
    assert_eq!(message.code(), 200, "{message}");
    (message, csp::line(&calls[0]), csp::body(&calls[0]))
}

#[tokio::test]
async fn every_operation_makes_its_call_and_names_its_answer() {
    const BASE: &str = "/atat/api/v1/portfolios";
    let operator =
        json!([{"email": "admin1@mail.mil", "dod_id": "1122334455", "needs_reset": false}]);
    let task_order = json!({
        "task_order_number": "1234567890123", "pop_start_date": "2021-07-01", "pop_end_date": "2022-07-01",
        "clins": [{
            "clin_number": "9999", "type": "CLOUD", "classification_level": "UNCLASSIFIED",
            "pop_start_date": "2021-07-01", "pop_end_date": "2022-07-01"
        }]
    });
    let operators = json!({"administrators": operator});
    let environment = json!({
        "name": "Sample Environment", "administrators": operator, "classification_level": "UNCLASSIFIED"
    });
    let portfolio = json!({"name": "Sample Portfolio", "task_orders": [task_order]});
    let rows = [
        ("1.3.1 ADD_PORTFOLIO", format!("POST {BASE}"), portfolio, "portfolio"),
        ("1.3.1 GET_PORTFOLIO", format!("GET {BASE}/p-1"), Value::Null, "portfolio"),
        (
            "1.3.1 ADD_ENVIRONMENT",
            format!("POST {BASE}/p-1/environments"),
            environment,
            "environment",
        ),
        (
            "1.3.1 ADD_TASK_ORDER",
            format!("POST {BASE}/p-1/task-orders"),
            task_order.clone(),
            "taskOrder",
        ),
        (
            "1.3.1 UPDATE_TASK_ORDER",
            format!("PUT {BASE}/p-1/task-orders/t-1"),
            task_order,
            "taskOrder",
        ),
        ("1.0.2 ADD_OPERATORS", format!("PATCH {BASE}/p-1"), operators.clone(), "operators"),
        (
            "1.1.0 ADD_OPERATORS",
            format!("PATCH {BASE}/p-1/environments/e-1"),
            operators.clone(),
            "operators",
        ),
        (
            "1.3.1 ADD_ADMINISTRATOR",
            format!("PATCH {BASE}/p-1/environments/e-1"),
            operators,
            "operators",
        ),
    ];
    for (what, line, body, name) in rows {
        let (version, operation) = what.split_once(' ').expect("a version and an operation");
        let (message, called, sent) = one_call(version, &job("job-1", "CSP_TEST", operation)).await;
        assert_eq!(called, line, "{operation}");
        assert_eq!(sent, body, "{operation}");
        let response = message.response();
        assert!(response[name].is_object(), "{operation}: {response}");
        assert_eq!(response["$metadata"]["status"], 200);
        assert_eq!(response["$metadata"]["request"], *message.request());
    }
}

#[tokio::test]
async fn costs_are_requested_by_portfolio_and_by_clin() {
    const DATES: &str = "start_date=2022-01-01&end_date=2022-12-01";
    let mut by_clin = cost("r-1", "CSP_TEST");
    by_clin["taskOrderNumber"] = json!("T/1");
    by_clin["clin"] = json!("0001");
    for (version, request, line) in [
        (
            "1.3.1",
            cost("r-1", "CSP_TEST"),
            format!("GET /atat/api/v1/portfolios/p-1/costs?{DATES}"),
        ),
        ("1.0.2", cost("r-1", "CSP_TEST"), format!("GET /atat/api/v1/portfolios/p-1/cost?{DATES}")),
        (
            "1.3.1",
            by_clin,
            format!("GET /atat/api/v1/portfolios/p-1/task-orders/T%2F1/clins/0001/costs?{DATES}"),
        ),
    ] {
        let (message, called, _) = one_call(version, &request).await;
        assert_eq!(called, line);
        assert_eq!(*message.request(), request);
        assert!(message.response().is_object());
    }
}

#[tokio::test]
async fn ids_are_percent_encoded() {
    let mut update = job("job-1", "CSP_TEST", "UPDATE_TASK_ORDER");
    update["portfolioId"] = json!("this:needs/to;be encoded,");
    update["payload"]["taskOrderId"] = json!("ü?#%");
    let (_, called, _) = one_call("1.3.1", &update).await;
    assert_eq!(
        called,
        "PUT /atat/api/v1/portfolios/this%3Aneeds%2Fto%3Bbe%20encoded%2C/task-orders/%C3%BC%3F%23%25"
    );
}

#[tokio::test]
async fn requests_reach_the_csp_in_one_case() {
    let body = json!({
        "jobId": "job-1", "userId": "", "targetCspName": "CSP_TEST", "operationType": "ADD_PORTFOLIO",
        "payload": {
            "name": "Portfolio One", "administrators": null, "extraKey": ["a", 1, true, null],
            "taskOrders": [{
                "taskOrderNumber": "HQ003421F0024", "popStartDate": "2021-07", "popEndDate": "2026-07",
                "clins": [{
                    "clin_number": "0001", "pop_start_date": "2021-07", "pop_end_date": "2026-07",
                    "classification_level": "UNCLASSIFIED", "type": "CLOUD"
                }]
            }]
        }
    });
    let (message, _, sent) = one_call("1.3.1", &body).await;
    assert_eq!(message["initialSnowRequest"], body);
    assert_eq!(
        sent,
        json!({
            "name": "Portfolio One", "administrators": null, "extra_key": ["a", 1, true, null],
            "task_orders": [{
                "task_order_number": "HQ003421F0024", "pop_start_date": "2021-07", "pop_end_date": "2026-07",
                "clins": [{
                    "clin_number": "0001", "pop_start_date": "2021-07", "pop_end_date": "2026-07",
                    "classification_level": "UNCLASSIFIED", "type": "CLOUD"
                }]
            }]
        })
    );
}

#[tokio::test]
async fn an_environment_sends_its_named_fields_and_a_deadline() {
    let mut environment = job("job-1", "CSP_TEST", "ADD_ENVIRONMENT");
    environment["payload"]["cloudDistinguisher"] =
        json!({"name": "il4_dod", "displayName": "IL4", "description": "d"});
    environment["payload"]["dropMe"] = json!(1);
    environment["payload"]["accountName"] = Value::Null;
    let (message, _, sent) = one_call("1.3.1", &environment).await;
    assert_eq!(
        sent,
        json!({
            "name": "Sample Environment",
            "administrators": [{"email": "admin1@mail.mil", "dod_id": "1122334455", "needs_reset": false}],
            "classification_level": "UNCLASSIFIED",
            "cloud_distinguisher": {"name": "il4_dod", "display_name": "IL4", "description": "d"}
        })
    );
    assert!(message.request()["provisionDeadline"].is_string());
    assert_eq!(message.request()["portfolioId"], "p-1");
}

#[tokio::test]
async fn a_migration_has_no_deadline() {
    let mut environment = job("job-1", "CSP_TEST", "ADD_ENVIRONMENT");
    environment["payload"]["isMigration"] = json!(true);
    let (message, _, _) = one_call("1.3.1", &environment).await;
    assert!(message.request()["provisionDeadline"].is_null());
}

#[tokio::test]
async fn operators_that_cannot_be_added_are_refused_without_a_call() {
    let mut without_environment = job("job-1", "CSP_TEST", "ADD_OPERATORS");
    without_environment["payload"].as_object_mut().expect("an object").remove("environmentId");
    let with_environment = job("job-1", "CSP_TEST", "ADD_OPERATORS");
    for (version, job) in [("1.3.2", with_environment), ("1.3.1", without_environment)] {
        let csp = csp::sync_of_version(version).await;
        let lines = format!("settings = {{ api_version = \"{version}\" }}");
        let host = Setup::new().csp_with("CSP_TEST", &csp, &lines).start().await;
        let snow = host.servicenow();
        snow.provision(&job).await;
        let message = snow.outcome().await;
        assert_eq!(message.code(), 400, "{message}");
        assert!(message.response()["details"].is_string());
        assert_eq!(csp::calls(&csp).len(), 0);
    }
}

#[tokio::test]
async fn operators_are_accepted_under_the_key_operators() {
    let mut operators = job("job-1", "CSP_TEST", "ADD_OPERATORS");
    let payload = operators["payload"].as_object_mut().expect("an object");
    let list = payload.remove("administrators").expect("it was there");
    payload.insert("operators".to_owned(), list);
    let (_, _, sent) = one_call("1.3.1", &operators).await;
    assert_eq!(sent["administrators"][0]["dod_id"], "1122334455");
}

#[tokio::test]
async fn operators_beside_administrators_are_refused() {
    let csp = csp::sync().await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let mut both = job("job-1", "CSP_TEST", "ADD_OPERATORS");
    both["payload"]["operators"] = json!([]);
    let answer = host.servicenow().send(Method::POST, "/provisioning-jobs", Some(&both)).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    let problem = &answer.json()["errorMap"]["payload.operators"];
    assert_eq!(problem, "cannot be combined with administrators");
}
