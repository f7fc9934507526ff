//! The number of calls to a CSP and to its identity provider.

use std::time::Duration;

use serde_json::json;

use crate::csp;
use crate::csp::Answer;
use crate::harness::Setup;
use crate::harness::cost;
use crate::harness::job;
use crate::harness::provision;

#[tokio::test]
async fn a_transient_failure_leaves_no_trace_in_the_outcome() {
    for failure in [
        Answer::json(503, &json!({})),
        Answer::json(429, &json!({})),
        Answer::text(408, ""),
        Answer::reset_before_read(),
        Answer::reset_after_read(),
        Answer::truncated(),
    ] {
        let csp =
            csp::scripted([failure.clone(), failure, Answer::json(200, &json!({"id": "p"}))]).await;
        let outcome = provision(&csp).await;
        assert_eq!(outcome.code(), 200, "{outcome}");
    }
}

#[tokio::test]
async fn every_call_of_one_request_carries_the_same_idempotency_key() {
    let csp = csp::scripted([Answer::text(503, ""), Answer::json(200, &json!({"id": "p"}))]).await;
    provision(&csp).await;
    let keys: Vec<_> =
        csp::calls(&csp).iter().map(|call| csp::header(call, "idempotency-key")).collect();
    assert_eq!(keys.len(), 2);
    assert!(keys[0].is_some());
    assert_eq!(keys[0], keys[1]);
}

#[tokio::test]
async fn a_csp_that_refuses_connections_is_reported() {
    let csp = csp::sync().await;
    let nowhere = csp::nowhere();
    let host =
        Setup::new().csp_at("CSP_TEST", &nowhere, csp.token_url().as_ref(), &csp, "").start().await;
    let snow = host.servicenow();
    snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    snow.ask_cost(&cost("r-1", "CSP_TEST")).await;
    let outcome = snow.outcome().await;
    assert_eq!(outcome.code(), 502, "{outcome}");
    assert_eq!(outcome.status(), "FAILURE");
    assert!(outcome.request()["portfolio"].is_object());
    let outcome = snow.cost_outcome().await;
    assert_eq!(outcome.code(), 502, "{outcome}");
}

#[tokio::test]
async fn a_csp_that_never_answers_times_out_three_times() {
    let csp = csp::scripted([Answer::hang()]).await;
    let outcome = Setup::new().csp_with("CSP_TEST", &csp, "timeout_ms = 2000").provision().await;
    assert_eq!(outcome.code(), 504, "{outcome}");
    assert_eq!(csp::calls(&csp).len(), 3);
}

#[tokio::test]
async fn the_last_server_error_stays_the_code_when_the_connection_breaks() {
    let csp =
        csp::scripted([Answer::json(503, &json!({"why_not": 1})), Answer::reset_after_read()])
            .await;
    let outcome = provision(&csp).await;
    assert_eq!(outcome.code(), 503, "{outcome}");
    assert_eq!(outcome.response()["cspResponse"], json!({"whyNot": 1}));
}

#[tokio::test]
async fn a_server_error_whose_body_breaks_off_keeps_its_code() {
    let csp = csp::scripted([Answer::json(503, &json!({"why": 1})).announcing(100)]).await;
    let outcome = provision(&csp).await;
    assert_eq!(outcome.code(), 503, "{outcome}");
    assert_eq!(csp::calls(&csp).len(), 3);
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let busy = Answer::text(503, "").header("retry-after", "1");
    let csp = csp::scripted([busy, Answer::json(200, &json!({"id": "p"}))]).await;
    assert_eq!(provision(&csp).await.code(), 200);
    let calls = csp::calls(&csp);
    let apart = csp::apart(&calls[0], &calls[1]);
    assert!(apart >= Duration::from_millis(990), "{apart:?}");
}

#[tokio::test]
async fn a_401_gets_one_more_call_with_a_fresh_token() {
    let csp = csp::scripted([Answer::text(401, ""), Answer::json(200, &json!({"id": "p"}))]).await;
    assert_eq!(provision(&csp).await.code(), 200);
    let calls = csp::calls(&csp);
    assert_eq!(calls.len(), 2);
    let tokens = [0, 1].map(|i| csp::header(&calls[i], "authorization").expect("a token"));
    assert_ne!(tokens[0], tokens[1]);
}

#[tokio::test]
async fn a_second_401_is_reported() {
    let csp = csp::scripted([Answer::json(401, &json!({"no_way": 1}))]).await;
    let outcome = provision(&csp).await;
    assert_eq!(outcome.code(), 401);
    assert_eq!(*outcome.response(), json!({"noWay": 1}));
    assert_eq!(csp::calls(&csp).len(), 2);
}

#[tokio::test]
async fn a_refused_token_is_reported_without_a_call_and_without_the_secret() {
    let csp = csp::sync().await;
    csp::script_tokens(&csp, [Answer::json(400, &json!({"error": "invalid_client"}))]);
    let outcome = provision(&csp).await;
    assert!((500..600).contains(&outcome.code()), "{outcome}");
    assert_eq!(outcome.status(), "FAILURE");
    assert!(!outcome.to_string().contains(csp.client_secret()));
    assert_eq!(csp::calls(&csp).len(), 0);
    assert_eq!(csp::token_calls(&csp), 1);
}

#[tokio::test]
async fn an_identity_provider_that_is_down_is_called_three_times() {
    let csp = csp::sync().await;
    csp::script_tokens(&csp, [Answer::text(503, "")]);
    let outcome = provision(&csp).await;
    assert!((500..600).contains(&outcome.code()), "{outcome}");
    assert_eq!(csp::calls(&csp).len(), 0);
    assert_eq!(csp::token_calls(&csp), 3);
}

#[tokio::test]
async fn tokens_are_fetched_once_per_scope() {
    let csp = csp::sync().await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let snow = host.servicenow();
    for n in 0..5 {
        snow.provision(&job(&format!("job-{n}"), "CSP_TEST", "ADD_PORTFOLIO")).await;
        snow.ask_cost(&cost(&format!("r-{n}"), "CSP_TEST")).await;
    }
    snow.collect_all("/provisioning-jobs", 5).await;
    snow.collect_all("/cost-jobs", 5).await;
    assert_eq!(csp::token_calls(&csp), 2);
    csp::assert_no_violations(&csp);
}
