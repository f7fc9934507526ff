//! The acts on one job, from its page.

use mock_csp::MockCsp;
use reqwest::StatusCode;
use serde_json::Value;
use serde_json::json;

use super::browser::Browser;
use super::browser::Script;
use super::cookie;
use super::logged_in;
use super::servicenow;
use super::session;
use super::setup;
use super::setup_with;
use crate::csp;
use crate::csp::Answer;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::job;
use crate::trail::told;

const STATUS: &str = "/atat/api/v1/provisioning/9/status";

const ALL: [&str; 3] = ["Look now…", "Cancel the job…", "Settle by hand…"];

/// Starts a host whose CSP accepts every job, and asks to be polled in an hour.
async fn host_with_waiting_jobs(ids: &[&str]) -> (TestHost, MockCsp) {
    let accepted = Answer::json(202, &json!({"status": "NOT_STARTED"}));
    let csp =
        csp::scripted([accepted.header("location", STATUS).header("retry-after", "3600")]).await;
    let setup = setup(&csp, "").environment("HOTH__RETRY__MAX_RETRY_AFTER_MS", "3600000");
    let host = setup.start().await;
    for id in ids {
        servicenow(&host).provision(&job(id, "CSP_TEST", "ADD_ENVIRONMENT")).await;
        told(&host, id, "waits").await;
    }
    (host, csp)
}

/// Returns the labels of the acts that the page offers.
async fn acts(browser: &Browser) -> Vec<String> {
    let mut labels = Vec::new();
    for summary in browser.all("details.act > summary").await {
        labels.push(summary.text().await.expect("a text"));
    }
    labels
}

async fn audited(host: &TestHost, act: &str) -> Value {
    host.logged(act, |line| line["act"] == act && line["by"] == "operator-key").await
}

#[tokio::test]
async fn a_waiting_job_is_looked_at_cancelled_and_settled() {
    let (host, csp) = host_with_waiting_jobs(&["job-1", "job-2"]).await;
    let snow = servicenow(&host);
    let browser = logged_in(&host, "operator").await;
    browser.open("/console/jobs/job-1").await;
    assert_eq!(acts(&browser).await, ALL);
    csp.script(
        [Answer::json(200, &json!({"status": "IN_PROGRESS"})).header("retry-after", "3600")],
    );
    browser.act("Look now").await;
    browser.sees("The job is due now: the next free worker asks the CSP.").await;
    csp::wait_for_calls(&csp, 3).await;
    browser.open("/console/jobs/job-1").await;
    browser.sees("IN_PROGRESS").await;
    browser.sees("Looked at by hand").await;
    browser.open_act("Cancel the job").await;
    browser.is_accessible().await;
    browser.fill("reason", "posted <b>twice</b>").await;
    browser.click("Cancel the job").await;
    browser.sees("The job is cancelled. ServiceNow collects a failure message.").await;
    browser.is_accessible().await;
    let outcome = snow.outcome().await;
    let details = outcome.response()["details"].as_str().expect("a sentence");
    assert!(details.contains("which CSP_TEST had accepted"), "{details}");
    told(&host, "job-1", "collected").await;
    browser.open("/console/jobs/job-1").await;
    browser.shows(&["Cancelled", "by operator-key: posted <b>twice</b>", "cancelled"]).await;
    assert!(acts(&browser).await.is_empty(), "a job that has ended has no acts");
    assert_eq!(audited(&host, "cancel").await["reason"], "posted <b>twice</b>");
    audited(&host, "look-now").await;

    browser.open("/console/jobs/job-2").await;
    browser.open_act("Settle by hand").await;
    browser.is_accessible().await;
    browser.fill("code", "200").await;
    browser.fill("response", r#"{"environment": {"id": 1.10}}"#).await;
    browser.fill("reason", "confirmed by phone").await;
    browser.click("Settle by hand").await;
    browser.sees("The job is settled. ServiceNow collects the outcome that you gave.").await;
    let outcome = snow.outcome().await;
    assert_eq!((outcome.code(), outcome.response()), (200, &json!({"environment": {"id": 1.10}})));
    audited(&host, "settle-by-hand").await;
    told(&host, "job-2", "settled-by-hand").await;
    browser.open("/console/audit").await;
    browser.shows(&["look-now", "cancel", "settle-by-hand", "job-1", "job-2"]).await;
    // The operator knows of the job that was cancelled.
    browser.open("/console").await;
    let page = browser.text().await;
    assert!(!page.contains("failed in the last hour"), "{page}");
    browser.console_is_clean().await;
    browser.close().await;
}

#[tokio::test]
async fn the_acts_on_a_job_work_without_script_and_say_why_they_are_refused() {
    let (host, _csp) = host_with_waiting_jobs(&["job-1"]).await;
    let browser = Browser::start(&host, Script::Off).await;
    browser.log_in("operator-token").await;
    browser.open("/console/jobs/job-1").await;
    browser.open_act("Settle by hand").await;
    browser.fill("code", "200").await;
    browser.fill("response", "no JSON").await;
    browser.fill("reason", "x").await;
    browser.click("Settle by hand").await;
    browser.sees("the response is not JSON").await;
    browser.open("/console/jobs/job-1").await;
    browser.open_act("Cancel the job").await;
    browser.fill("reason", "x").await;
    // Meanwhile another operator has cancelled it.
    let cancel = client()
        .post(format!("{}/jobs/job-1/cancel", host.admin()))
        .bearer_auth("admin-token")
        .header("content-type", "application/json")
        .body(r#"{"reason": "x"}"#);
    assert_eq!(cancel.send().await.expect("HOTH answers").status(), 200);
    browser.click("Cancel the job").await;
    browser.sees("the job has ended").await;
    assert_eq!(servicenow(&host).outcome().await.code(), 500);
    browser.close().await;
}

#[tokio::test]
async fn the_acts_on_a_job_are_those_of_its_state_and_of_the_role() {
    let csp = csp::sync().await;
    let host = setup_with(&csp, "paused = true", "").start().await;
    servicenow(&host).provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    for (role, expected) in [("viewer", false), ("operator", true), ("admin", true)] {
        let page = session(&host, &format!("{role}-token")).await("/console/jobs/job-1").await;
        assert!(page.contains("Operators have paused CSP_TEST"), "{page}");
        for (act, offered) in [("look-now", false), ("cancel", expected), ("settle", expected)] {
            let form = format!("action=\"/console/jobs/job-1/{act}\"");
            assert_eq!(page.contains(&form), offered, "{act} for {role}");
        }
    }
    let post = async |act: &str, key: &str| {
        let form = client()
            .post(format!("{}/console/jobs/job-1/{act}", host.admin()))
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cookie", cookie(&host, key).await)
            .body("reason=x&code=200&response=%7B%7D");
        form.send().await.expect("HOTH answers").status()
    };
    for act in ["look-now", "cancel", "settle"] {
        assert_eq!(post(act, "viewer-token").await, StatusCode::FORBIDDEN, "{act}");
    }
    assert_eq!(post("look-now", "admin-token").await, StatusCode::CONFLICT);
    assert_eq!(post("cancel", "operator-token").await, StatusCode::OK);
    assert_eq!(servicenow(&host).outcome().await.code(), 500);
}
