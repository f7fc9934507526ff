//! The order of jobs within a portfolio, and the independence of other jobs.

use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use crate::csp;
use crate::csp::Answer;
use crate::csp::Gate;
use crate::harness::Outcome;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::cost;
use crate::harness::job;

fn ids(messages: &[Outcome]) -> Vec<&str> {
    messages.iter().map(Outcome::job_id).collect()
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
    assert_eq!(snow.collect("/provisioning-jobs").await.len(), 0);
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
async fn portfolios_run_concurrently() {
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
async fn a_slow_csp_does_not_delay_another() {
    let slow = csp::scripted([Answer::hang()]).await;
    let quick = csp::sync().await;
    let host = Setup::new().csp("CSP_SLOW", &slow).csp("CSP_QUICK", &quick).start().await;
    host.leaves_work("the slow CSP never answers r-1");
    let snow = host.servicenow();
    snow.ask_cost(&cost("r-1", "CSP_SLOW")).await;
    csp::wait_for_calls(&slow, 1).await;
    snow.ask_cost(&cost("r-2", "CSP_QUICK")).await;
    assert_eq!(snow.cost_outcome().await.request()["requestId"], "r-2");
}

#[tokio::test]
async fn a_hanging_job_does_not_delay_another_portfolio() {
    let csp = csp::scripted_for("p-slow", [Answer::hang()]).await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    host.leaves_work("the CSP never answers job-1");
    let snow = host.servicenow();
    let mut stuck = job("job-1", "CSP_TEST", "ADD_TASK_ORDER");
    stuck["portfolioId"] = json!("p-slow");
    snow.provision(&stuck).await;
    csp::wait_for_calls(&csp, 1).await;
    snow.provision(&job("job-2", "CSP_TEST", "ADD_TASK_ORDER")).await;
    assert_eq!(snow.outcome().await.job_id(), "job-2");
}

#[tokio::test]
async fn a_job_accepted_for_later_does_not_delay_its_portfolio() {
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
    host.leaves_work("job-1 is polled after ten minutes");
    let snow = host.servicenow();
    snow.provision(&in_portfolio("job-1", "CSP_TEST", "p-1")).await;
    snow.provision(&in_portfolio("job-2", "CSP_TEST", "p-1")).await;
    let message = snow.outcome().await;
    assert_eq!(message.job_id(), "job-2");
}

#[tokio::test]
async fn a_waiting_retry_takes_no_slot_from_other_jobs() {
    // Far longer than this test waits for the other job.
    let busy = Answer::text(503, "").header("retry-after", "3600");
    let csp = csp::scripted_for("p-busy", [busy]).await;
    let host = Setup::new()
        .csp_with("CSP_TEST", &csp, "max_concurrent = 1")
        .with("[retry]\nmax_retry_after_ms = 3600000")
        .start()
        .await;
    let snow = host.servicenow();
    host.leaves_work("job-1 waits for its retry");
    let mut busy = job("job-1", "CSP_TEST", "ADD_TASK_ORDER");
    busy["portfolioId"] = json!("p-busy");
    snow.provision(&busy).await;
    csp::wait_for_calls(&csp, 1).await;
    snow.provision(&job("job-2", "CSP_TEST", "ADD_TASK_ORDER")).await;
    assert_eq!(snow.outcome().await.job_id(), "job-2");
}

/// Accepts ten jobs for each of `portfolios` portfolios while the CSP is paused,
/// so that each has a whole batch, and lets them begin.
async fn begin_backlogs(host: &TestHost, portfolios: usize) {
    let snow = host.servicenow();
    for number in 0..portfolios * 10 {
        let mut slow = job(&format!("job-{number}"), "CSP_TEST", "ADD_TASK_ORDER");
        slow["portfolioId"] = json!(format!("p-slow-{}", number % portfolios));
        snow.provision(&slow).await;
    }
    let resume = client().post(format!("{}/csps/CSP_TEST/resume", host.admin()));
    assert_eq!(resume.send().await.expect("HOTH answers").status(), 200);
}

#[tokio::test]
async fn portfolios_with_long_backlogs_use_every_slot() {
    let csp = csp::scripted([Answer::hang()]).await;
    let host =
        Setup::new().csp_with("CSP_TEST", &csp, "max_concurrent = 64\npaused = true").start().await;
    host.leaves_work("the CSP never answers");
    begin_backlogs(&host, 100).await;
    csp::wait_for_calls(&csp, 64).await;
    assert_eq!(csp::most_at_once(&csp), 64);
}

#[tokio::test]
async fn portfolios_with_long_backlogs_delay_no_other_portfolio() {
    let gate = Gate::closed();
    let csp = csp::scripted_for("p-slow", [Answer::behave().held_by(&gate)]).await;
    let host =
        Setup::new().csp_with("CSP_TEST", &csp, "max_concurrent = 64\npaused = true").start().await;
    begin_backlogs(&host, 32).await;
    // One call for each portfolio, although each has a batch in hand.
    csp::wait_for_calls(&csp, 32).await;
    let snow = host.servicenow();
    snow.provision(&job("job-new", "CSP_TEST", "ADD_TASK_ORDER")).await;
    assert_eq!(snow.outcome().await.job_id(), "job-new");
    assert_eq!(csp::most_at_once(&csp), 33);
    gate.open();
    snow.collect_all("/provisioning-jobs", 320).await;
}
