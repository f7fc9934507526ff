//! The HTTP API of ServiceNow, as a client sees it.

use std::time::Duration;
use std::time::Instant;

use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::csp;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::cost;
use crate::harness::job;

async fn host() -> (TestHost, mock_csp::MockCsp) {
    let csp = csp::sync().await;
    (Setup::new().csp("CSP_TEST", &csp).start().await, csp)
}

#[tokio::test]
async fn requests_are_echoed_as_accepted() {
    let (host, _csp) = host().await;
    let snow = host.servicenow();
    let posted = job("job-1", "CSP_TEST", "ADD_PORTFOLIO");
    let answer = snow.send(Method::POST, "/provisioning-jobs", Some(&posted)).await;
    assert_eq!((answer.status, answer.json()), (201, posted));
    let asked = cost("r-1", "CSP_TEST");
    let answer = snow.send(Method::POST, "/cost-jobs", Some(&asked)).await;
    assert_eq!((answer.status, answer.json()), (202, asked));
    assert_eq!(answer.headers["cache-control"], "no-store");
    snow.outcome().await;
    snow.cost_outcome().await;
}

#[tokio::test]
async fn a_missing_job_id_is_generated_and_reported_in_the_outcome() {
    let (host, _csp) = host().await;
    let snow = host.servicenow();
    let mut posted = job("", "CSP_TEST", "ADD_PORTFOLIO");
    posted.as_object_mut().expect("an object").remove("jobId");
    let answer = snow.send(Method::POST, "/provisioning-jobs", Some(&posted)).await.json();
    let id = answer["jobId"].as_str().expect("an id was made").to_owned();
    posted["jobId"] = json!(id);
    assert_eq!(answer, posted);
    assert_eq!(snow.outcome().await["initialSnowRequest"], posted);
}

#[tokio::test]
async fn numbers_keep_their_digits_from_the_request_to_the_outcome() {
    let numbers =
        r#""limit":1e999,"rate":0.1000000000000000000000000001,"id":123456789012345678901"#;
    let answer = format!("{{\"id\":\"p\",\"task_orders\":[],{numbers}}}");
    for (status, code) in [(200, 200), (500, 500)] {
        let csp = csp::scripted([csp::Answer::text(status, &answer)]).await;
        let host = Setup::new().csp("CSP_TEST", &csp).start().await;
        let posted = job("job-1", "CSP_TEST", "ADD_PORTFOLIO").to_string();
        let posted = posted.replacen("\"payload\":{", &format!("\"payload\":{{{numbers},"), 1);
        let request = client().post(format!("{}/provisioning-jobs", host.api()));
        let request = request.header("content-type", "application/json").body(posted.clone());
        let echo = request.send().await.expect("HOTH answers");
        assert_eq!((echo.status().as_u16(), echo.text().await.expect("a text")), (201, posted));
        host.settled().await;
        let sent = String::from_utf8_lossy(&csp::calls(&csp)[0].body).into_owned();
        let outcome = host.servicenow().send(Method::GET, "/provisioning-jobs", None).await.text;
        assert!(outcome.starts_with(&format!("[{{\"code\":{code},")), "{outcome}");
        for number in numbers.split(',') {
            assert!(sent.contains(number), "{number} is not in {sent}");
            // In the request that ServiceNow made, in the request to the CSP, and
            // in its response.
            let occurrences = outcome.matches(number).count();
            assert!(occurrences >= 3, "{occurrences} times {number} in {outcome}");
        }
    }
}

#[tokio::test]
async fn cost_requests_that_are_known_to_fail_are_refused() {
    let (host, csp) = host().await;
    let snow = host.servicenow();
    for (key, value, field, problem) in [
        ("endDate", "2020-01-01", "endDate", "must not be before startDate"),
        ("clin", "0001", "taskOrderNumber", "is required together with clin"),
        ("taskOrderNumber", "t-1", "clin", "is required together with taskOrderNumber"),
    ] {
        let mut asked = cost("r-1", "CSP_TEST");
        asked[key] = json!(value);
        let answer = snow.send(Method::POST, "/cost-jobs", Some(&asked)).await;
        assert_eq!((answer.status, &answer.json()["errorMap"]), (400, &json!({field: problem})));
    }
    host.settled().await;
    assert_eq!(csp::calls(&csp).len(), 0);
}

#[tokio::test]
async fn cost_requests_can_be_accepted_with_201() {
    let csp = csp::sync().await;
    let host = Setup::new()
        .csp("CSP_TEST", &csp)
        .environment("HOTH__API__COST_ACCEPTED_STATUS", "201")
        .start()
        .await;
    let (snow, asked) = (host.servicenow(), cost("r-1", "CSP_TEST"));
    assert_eq!(snow.send(Method::POST, "/cost-jobs", Some(&asked)).await.status, 201);
    snow.cost_outcome().await;
}

#[tokio::test]
async fn a_repeated_job_runs_once_and_a_changed_one_is_refused() {
    let (host, csp) = host().await;
    let snow = host.servicenow();
    let posted = job("job-1", "CSP_TEST", "ADD_PORTFOLIO");
    snow.provision(&posted).await;
    snow.provision(&posted).await;
    let mut other = posted.clone();
    other["payload"]["name"] = json!("Another");
    let answer = snow.send(Method::POST, "/provisioning-jobs", Some(&other)).await;
    assert_eq!(answer.status, 409, "{}", answer.text);
    host.settled().await;
    snow.provision(&posted).await;
    host.settled().await;
    assert_eq!(snow.collect("/provisioning-jobs").await.len(), 1);
    assert_eq!(csp::calls(&csp).len(), 1);
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once_and_nothing_is_queued() {
    let (host, csp) = host().await;
    let snow = host.servicenow();
    let posted = json!({
        "jobId": 42, "targetCspName": "NOPE", "operationType": "ADD_ENVIRONMENT", "extra": 1,
        "payload": {"name": 7, "administrators": [{"email": "a@b.mil"}], "classificationLevel": "SECRETISH"}
    });
    let answer = snow.send(Method::POST, "/provisioning-jobs", Some(&posted)).await;
    assert_eq!(answer.status, 400);
    let body = answer.json();
    assert_eq!(body["code"], "INVALID_INPUT");
    assert_eq!(body["message"], "Request failed validation");
    let named: Vec<_> = body["errorMap"].as_object().expect("a map").keys().cloned().collect();
    assert_eq!(
        named,
        [
            "extra",
            "jobId",
            "payload.administrators[0].dodId",
            "payload.classificationLevel",
            "payload.name",
            "portfolioId",
            "targetCspName",
            "userId",
        ]
    );
    host.settled().await;
    assert_eq!(snow.collect("/provisioning-jobs").await.len(), 0);
    assert_eq!(csp::calls(&csp).len(), 0);
}

#[tokio::test]
async fn invalid_bodies_are_refused_with_an_error_message() {
    let (host, _csp) = host().await;
    let url = format!("{}/provisioning-jobs", host.api());
    let deep = format!("{{\"payload\":{}{}}}", "[".repeat(70), "]".repeat(70));
    let large = format!("\"{}\"", "x".repeat(200 * 1024));
    let json = Some("application/json");
    for (content_type, body, status) in [
        (json, "{not json", 400),
        (json, "", 400),
        (json, "null", 400),
        (json, "[]", 400),
        (json, &deep, 400),
        (json, &large, 413),
        (None, "{}", 400),
        (Some("text/plain"), "{}", 415),
        (Some("application/problem+json; charset=utf-8"), "{not json", 400),
    ] {
        let mut request = client().post(&url).body(body.to_owned());
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let response = request.send().await.expect("HOTH answers");
        assert_eq!(response.status().as_u16(), status, "{content_type:?} {:.20}", body);
        let answer: Value = response.json().await.expect("the answer is JSON");
        assert!(answer["code"].is_string() && answer["message"].is_string(), "{answer}");
        if ["{not json", "", "null"].contains(&body) {
            assert_eq!(answer["message"], "A valid request body must be provided");
        }
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_404_and_405() {
    let (host, _csp) = host().await;
    let snow = host.servicenow();
    assert_eq!(snow.send(Method::GET, "/elsewhere", None).await.status, 404);
    let answer = snow.send(Method::DELETE, "/provisioning-jobs", None).await;
    assert_eq!(answer.status, 405);
    let allowed = answer.headers["allow"].to_str().expect("text").to_owned();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
}

#[tokio::test]
async fn preflight_requests_are_answered() {
    let (host, _csp) = host().await;
    for path in
        ["/provisioning-jobs", "/cost-jobs", "/provisioning-jobs/ack", "/cost-jobs/redeliver"]
    {
        let answer = host.servicenow().send(Method::OPTIONS, path, None).await;
        assert_eq!(answer.status, 200);
        for header in ["origin", "methods", "headers"] {
            let name = format!("access-control-allow-{header}");
            assert!(answer.headers.contains_key(&name), "{name}");
        }
    }
}

#[tokio::test]
async fn cors_exposes_the_batch_header() {
    let (host, _csp) = host().await;
    let answer = host.servicenow().send(Method::GET, "/cost-jobs?lease=60", None).await;
    let exposed = answer.headers["access-control-expose-headers"].to_str().expect("text");
    assert!(exposed.contains("Hoth-Batch"), "{exposed}");
}

#[tokio::test]
async fn an_empty_queue_is_answered_with_an_empty_array() {
    let (host, _csp) = host().await;
    for path in ["/provisioning-jobs", "/cost-jobs"] {
        let answer = host.servicenow().send(Method::GET, path, None).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "[]"));
        assert!(
            answer.headers["content-type"].to_str().expect("text").starts_with("application/json")
        );
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn waiting_ends_with_the_first_outcome() {
    let (host, _csp) = host().await;
    let snow = host.servicenow();
    let waiting = tokio::spawn({
        let snow = snow.clone();
        async move { snow.collect("/provisioning-jobs?wait=20").await }
    });
    let started_at = Instant::now();
    snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    assert_eq!(waiting.await.expect("no panic").len(), 1);
    assert!(started_at.elapsed() < Duration::from_secs(20), "it waited to the end");
    for wait in ["21", "-1", "x"] {
        let path = format!("/provisioning-jobs?wait={wait}");
        assert_eq!(snow.send(Method::GET, &path, None).await.status, 400, "{wait}");
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_while_waiting_consumes_no_outcome() {
    let (host, _csp) = host().await;
    let snow = host.servicenow();
    for _ in 0..5 {
        let url = format!("{}/provisioning-jobs?wait=20", host.api());
        let hasty = client().get(url).timeout(Duration::from_millis(50)).send().await;
        assert!(hasty.is_err(), "there was nothing to get");
    }
    snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    assert_eq!(snow.outcome().await.job_id(), "job-1");
}

#[tokio::test]
async fn leases_are_acknowledged_released_and_expire() {
    let (host, _csp) = host().await;
    let snow = host.servicenow();
    snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    host.settled().await;

    let lease = |query: &'static str| {
        let snow = snow.clone();
        async move { snow.send(Method::GET, &format!("/provisioning-jobs?{query}"), None).await }
    };
    let leased = lease("lease=60").await;
    assert_eq!(leased.json().as_array().map(Vec::len), Some(1));
    let batch = json!({"batch": leased.headers["hoth-batch"].to_str().expect("text")});
    assert_eq!(snow.collect("/provisioning-jobs").await.len(), 0);
    let released = snow.send(Method::POST, "/provisioning-jobs/release", Some(&batch)).await;
    assert_eq!(released.status, 200, "{}", released.text);

    let leased = lease("lease=1").await;
    assert_eq!(leased.json().as_array().map(Vec::len), Some(1));
    let expired = json!({"batch": leased.headers["hoth-batch"].to_str().expect("text")});
    let again = lease("lease=60&wait=20").await;
    assert_eq!(again.json().as_array().map(Vec::len), Some(1));
    let late = snow.send(Method::POST, "/provisioning-jobs/ack", Some(&expired)).await;
    assert_eq!(late.status, 409, "{}", late.text);

    let batch = json!({"batch": again.headers["hoth-batch"].to_str().expect("text")});
    for _ in 0..2 {
        let acked = snow.send(Method::POST, "/provisioning-jobs/ack", Some(&batch)).await;
        assert_eq!(acked.status, 200, "{}", acked.text);
    }
    assert_eq!(snow.collect("/provisioning-jobs").await.len(), 0);
}

#[tokio::test]
async fn consumed_outcomes_can_be_redelivered() {
    let (host, _csp) = host().await;
    let snow = host.servicenow();
    snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    let message = snow.outcome().await;
    host.emptied().await;
    let which = json!({"jobIds": ["job-1", "job-2"]});
    let answer = snow.send(Method::POST, "/provisioning-jobs/redeliver", Some(&which)).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"redelivered": 1})));
    assert_eq!(snow.outcome().await, message);
    host.emptied().await;
    let which = json!({"since": "2020-01-01T00:00:00Z"});
    let answer = snow.send(Method::POST, "/provisioning-jobs/redeliver", Some(&which)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(snow.collect_all("/provisioning-jobs", 1).await, [message]);
}
