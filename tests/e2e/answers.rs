//! The outcome that ServiceNow collects for each answer of a CSP.

use serde_json::json;

use mock_csp::MockCsp;

use crate::csp;
use crate::csp::Answer;
use crate::harness::Outcome;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::cost;
use crate::harness::job;
use crate::harness::provision;
use crate::harness::task_order;

async fn host(csp: &MockCsp) -> TestHost {
    Setup::new().csp("CSP_TEST", csp).start().await
}

/// Returns the outcome of an ADD_PORTFOLIO that the CSP answers with `answer`,
/// and the number of calls.
async fn message_after(answer: Answer) -> (Outcome, usize) {
    let csp = csp::scripted([answer]).await;
    let message = provision(&csp).await;
    assert_eq!(message["initialSnowRequest"], job("job-1", "CSP_TEST", "ADD_PORTFOLIO"));
    assert!(message.request().is_object(), "{message}");
    assert!(message.response().is_object(), "{message}");
    (message, csp::calls(&csp).len())
}

#[tokio::test]
async fn success_names_the_resource_and_the_request() {
    let body = json!({"id": "p-9", "name": "Sample Portfolio", "task_orders": [{"id": "t", "far51_id": null}]});
    let (message, calls) = message_after(Answer::json(200, &body)).await;
    let request = json!({"portfolio": {"name": "Sample Portfolio", "taskOrders": [task_order()]}});
    assert_eq!(message.code(), 200);
    assert_eq!(*message.request(), request);
    assert_eq!(
        *message.response(),
        json!({
            "portfolio": {"id": "p-9", "name": "Sample Portfolio", "taskOrders": [{"id": "t", "far51Id": null}]},
            "$metadata": {"status": 200, "request": request}
        })
    );
    assert_eq!(calls, 1);
}

#[tokio::test]
async fn json_is_read_whatever_its_content_type() {
    let (message, _) = message_after(Answer::text(200, r#"{"id":"p","task_orders":[]}"#)).await;
    assert_eq!(message.code(), 200);
    assert_eq!(message.response()["portfolio"]["id"], "p");
}

#[tokio::test]
async fn success_without_json_is_reported_as_a_failure() {
    for answer in [Answer::text(200, "fine!"), Answer::text(200, "")] {
        let (message, calls) = message_after(answer).await;
        assert_eq!(message.code(), 502, "{message}");
        assert!(message.response()["details"].is_string(), "{message}");
        assert_eq!(calls, 1);
    }
}

#[tokio::test]
async fn a_refusal_is_reported_with_status_and_body_after_one_call() {
    for status in [400, 402, 403, 404, 405, 409, 410, 422, 451] {
        let (message, calls) =
            message_after(Answer::json(status, &json!({"mock_portfolio": "no"}))).await;
        assert_eq!(message.code(), status);
        assert_eq!(*message.response(), json!({"mockPortfolio": "no"}));
        assert_eq!(calls, 1, "{status}");
    }
}

#[tokio::test]
async fn a_text_or_empty_refusal_becomes_details() {
    let (message, _) = message_after(Answer::text(404, "Not Found")).await;
    assert_eq!(*message.response(), json!({"details": "Not Found"}));
    let (message, _) = message_after(Answer::text(400, "")).await;
    assert_eq!(*message.response(), json!({"details": ""}));
    let (message, _) = message_after(Answer::text(403, "[1,2]")).await;
    assert_eq!(*message.response(), json!({"details": "[1,2]"}));
}

#[tokio::test]
async fn a_202_without_a_usable_location_is_a_failure() {
    let body = json!({"provisioning_job_id": "1", "status": "IN_PROGRESS"});
    let missing = Answer::json(202, &body);
    let foreign = Answer::json(202, &body).header("location", "https://elsewhere.example.com/1");
    let broken = Answer::json(202, &body).header("location", "http://[");
    for answer in [missing, foreign, broken] {
        let (message, calls) = message_after(answer).await;
        assert_eq!(message.code(), 500, "{message}");
        assert_eq!(message.response()["details"], "Location header was invalid or not provided");
        assert_eq!(calls, 1);
    }
}

#[tokio::test]
async fn other_successes_and_redirects_are_failures_that_name_the_status() {
    for status in [201, 203, 204, 205, 226, 300, 301, 302, 303, 304, 307, 308] {
        let answer = Answer::text(status, "").header("location", "/atat/api/v1/elsewhere");
        let (message, calls) = message_after(answer).await;
        assert_eq!(message.code(), 502, "{message}");
        let details = message.response()["details"].as_str().expect("details");
        assert!(details.contains(&status.to_string()), "{details}");
        assert_eq!(calls, 1, "{status} was followed or repeated");
    }
}

#[tokio::test]
async fn server_errors_are_reported_with_the_last_answer_after_three_calls() {
    for status in [500, 502, 503, 504, 599] {
        let (message, calls) =
            message_after(Answer::json(status, &json!({"error_id": "e1"}))).await;
        assert_eq!(message.code(), status);
        let response = message.response();
        assert_eq!(response["cspResponse"], json!({"errorId": "e1"}));
        assert_eq!(response["status"], json!({"provisioningJobId": "job-1", "status": "FAILURE"}));
        assert!(response["details"].is_string());
        assert_eq!(calls, 3);
    }
}

#[tokio::test]
async fn a_persistent_transient_refusal_is_reported_as_a_refusal() {
    for status in [408, 425, 429] {
        let (message, calls) =
            message_after(Answer::json(status, &json!({"slow_down": true}))).await;
        assert_eq!(message.code(), status);
        assert_eq!(*message.response(), json!({"slowDown": true}));
        assert_eq!(calls, 3);
    }
}

#[tokio::test]
async fn a_too_large_answer_is_reported_as_a_failure() {
    let (message, calls) = message_after(Answer::text(200, &"x".repeat(300 * 1024))).await;
    let code = message.code();
    assert!((500..600).contains(&code), "{code}");
    let details = message.response()["details"].as_str().expect("details");
    assert!(details.contains("262144"), "{details}");
    assert_eq!(calls, 1);
}

#[tokio::test]
async fn failures_name_the_portfolio_where_the_request_has_one() {
    let csp = csp::scripted([Answer::json(503, &json!({}))]).await;
    let message =
        Setup::new().csp("CSP_TEST", &csp).run(&job("job-1", "CSP_TEST", "GET_PORTFOLIO")).await;
    assert_eq!(
        message.response()["status"],
        json!({"provisioningJobId": "job-1", "portfolioId": "p-1", "status": "FAILURE"})
    );
    assert_eq!(*message.request(), json!({"portfolioId": "p-1"}));
}

#[tokio::test]
async fn costs_come_in_camel_case_beside_the_request() {
    let body = json!({"task_orders": [{"task_order_id": "t", "clins": [{"clin_number": "0001", "actual": {"total": "50.00"}}]}]});
    let csp = csp::scripted([Answer::json(200, &body)]).await;
    let host = host(&csp).await;
    let snow = host.servicenow();
    let mut request = cost("r-1", "CSP_TEST");
    request["remark"] = json!({"kept": 1});
    snow.ask_cost(&request).await;
    assert_eq!(
        snow.cost_outcome().await,
        json!({
            "code": 200,
            "content": {
                "request": request,
                "response": {"taskOrders": [{"taskOrderId": "t", "clins": [{"clinNumber": "0001", "actual": {"total": "50.00"}}]}]}
            }
        })
    );
}

#[tokio::test]
async fn cost_failures_are_collected_as_messages() {
    for (answer, code, response) in [
        (
            Answer::json(404, &json!({"mock_portfolio": "not found"})),
            404,
            Some(json!({"mockPortfolio": "not found"})),
        ),
        (Answer::text(404, ""), 404, Some(json!({"details": ""}))),
        (Answer::json(403, &json!({"e": "f"})), 403, Some(json!({"e": "f"}))),
        (Answer::text(204, ""), 502, None),
        (Answer::json(200, &json!(["a"])), 502, None),
    ] {
        let csp = csp::scripted([answer]).await;
        let host = host(&csp).await;
        let snow = host.servicenow();
        snow.ask_cost(&cost("r-1", "CSP_TEST")).await;
        let message = snow.cost_outcome().await;
        assert_eq!(message.code(), code, "{message}");
        assert_eq!(*message.request(), cost("r-1", "CSP_TEST"));
        assert!(message.response()["status"].is_null(), "{message}");
        if let Some(response) = response {
            assert_eq!(*message.response(), response);
        }
        assert_eq!(csp::calls(&csp).len(), 1);
    }
}
