//! Who goes before whom, and who holds up nobody.

use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use crate::csp;
use crate::csp::Answer;
use crate::csp::Gate;
use crate::harness::Setup;
use crate::harness::cost;
use crate::harness::job;

fn ids(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|m| m["initialSnowRequest"]["jobId"].as_str().expect("an id")).collect()
}

fn in_portfolio(id: &str, csp: &str, portfolio: &str) -> Value {
    let mut job = job(id, csp, "ADD_PORTFOLIO");
    job["portfolioId"] = json!(portfolio);
    job
}

#[tokio::test]
async fn eleven_outcomes_come_as_ten_and_one_in_order() {
    let csp = csp::sync().await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let snow = host.servicenow();
    for n in 1..=11 {
        snow.provision(&in_portfolio(&format!("job-{n}"), "CSP_TEST", "p-1")).await;
    }
    host.settled().await;
    let first = snow.collect("/provisioning-jobs").await;
    let expected: Vec<String> = (1..=10).map(|n| format!("job-{n}")).collect();
    assert_eq!(ids(&first), expected);
    assert_eq!(ids(&snow.collect("/provisioning-jobs").await), ["job-11"]);
    assert_eq!(snow.collect("/provisioning-jobs").await, Vec::<Value>::new());
}

#[tokio::test]
async fn jobs_of_one_portfolio_run_one_at_a_time_in_order() {
    let csp = csp::slow(Duration::from_millis(30)).await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let snow = host.servicenow();
    for n in 0..8 {
        snow.provision(&in_portfolio(&format!("job-{n}"), "CSP_TEST", "p-1")).await;
    }
    let messages = snow.collect_all("/provisioning-jobs", 8).await;
    assert_eq!(ids(&messages), (0..8).map(|n| format!("job-{n}")).collect::<Vec<_>>());
    assert_eq!(csp::most_at_once(&csp), 1);
}

#[tokio::test]
async fn portfolios_run_side_by_side() {
    // No call is answered before all have come.
    let gate = Gate::closed();
    let csp = csp::scripted([Answer::behave().held_by(&gate)]).await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let snow = host.servicenow();
    for n in 0..8 {
        snow.provision(&in_portfolio(&format!("job-{n}"), "CSP_TEST", &format!("p-{n}"))).await;
    }
    csp::wait_for_calls(&csp, 8).await;
    gate.open();
    snow.collect_all("/provisioning-jobs", 8).await;
    assert_eq!(csp::most_at_once(&csp), 8);
}

#[tokio::test]
async fn a_slow_csp_holds_up_no_other_one() {
    let slow = csp::scripted([Answer::hang()]).await;
    let quick = csp::sync().await;
    let host = Setup::new().csp("CSP_SLOW", &slow).csp("CSP_QUICK", &quick).start().await;
    let snow = host.servicenow();
    snow.ask_cost(&cost("r-1", "CSP_SLOW")).await;
    csp::wait_for_calls(&slow, 1).await;
    snow.ask_cost(&cost("r-2", "CSP_QUICK")).await;
    assert_eq!(snow.cost_outcome().await["content"]["request"]["requestId"], "r-2");
}

#[tokio::test]
async fn a_job_that_hangs_holds_up_no_other_portfolio() {
    let csp = csp::scripted_for("p-slow", [Answer::hang()]).await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let snow = host.servicenow();
    let mut stuck = job("job-1", "CSP_TEST", "ADD_TASK_ORDER");
    stuck["portfolioId"] = json!("p-slow");
    snow.provision(&stuck).await;
    csp::wait_for_calls(&csp, 1).await;
    snow.provision(&job("job-2", "CSP_TEST", "ADD_TASK_ORDER")).await;
    assert_eq!(snow.outcome().await["initialSnowRequest"]["jobId"], "job-2");
}

#[tokio::test]
async fn a_job_that_was_accepted_for_later_no_longer_holds_up_its_portfolio() {
    let location = "/atat/api/v1/provisioning/1/status";
    let csp = csp::scripted([
        Answer::json(202, &json!({})).header("location", location),
        Answer::json(200, &json!({"id": "second"})),
    ])
    .await;
    let host = Setup::new()
        .csp("CSP_TEST", &csp)
        .with("[polling]\ninitial_ms = 600000\nmax_ms = 600000")
        .start()
        .await;
    let snow = host.servicenow();
    snow.provision(&in_portfolio("job-1", "CSP_TEST", "p-1")).await;
    snow.provision(&in_portfolio("job-2", "CSP_TEST", "p-1")).await;
    let message = snow.outcome().await;
    assert_eq!(message["initialSnowRequest"]["jobId"], "job-2");
}

#[tokio::test]
async fn a_retry_that_waits_keeps_nobody_out() {
    // Far longer than this test waits for the other job.
    let busy = Answer::text(503, "").header("retry-after", "3600");
    let csp = csp::scripted_for("p-busy", [busy]).await;
    let host = Setup::new()
        .csp_with("CSP_TEST", &csp, "max_concurrent = 1")
        .with("[retry]\nmax_backoff_ms = 3600000")
        .start()
        .await;
    let snow = host.servicenow();
    let mut busy = job("job-1", "CSP_TEST", "ADD_TASK_ORDER");
    busy["portfolioId"] = json!("p-busy");
    snow.provision(&busy).await;
    csp::wait_for_calls(&csp, 1).await;
    snow.provision(&job("job-2", "CSP_TEST", "ADD_TASK_ORDER")).await;
    assert_eq!(snow.outcome().await["initialSnowRequest"]["jobId"], "job-2");
}
