//! Ten staged troubles: an operator who knows only the console finds the cause
//! and the remedy of each from the first page, in at most three clicks.

use std::time::Duration;

use hoth_platform::failpoint;
use serde_json::json;

use super::browser::Browser;
use super::logged_in;
use super::servicenow;
use super::setup;
use crate::csp;
use crate::csp::Answer;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::guest;
use crate::harness::job;
use crate::replay::variant;

/// The most clicks from the first page to cause and remedy.
const CLICKS_MAX: usize = 3;

/// Opens the first page as an operator, waits for `cause` and `remedy` there,
/// follows the link of the cause, and then `links`. The last page shows
/// `shown`.
async fn finds(
    host: &TestHost,
    cause: &str,
    remedy: &str,
    links: &[&str],
    shown: &[&str],
) -> Browser {
    let browser = logged_in(host, "operator").await;
    browser.sees(cause).await;
    browser.shows(&[remedy]).await;
    browser.is_accessible().await;
    browser.follow(cause).await;
    for link in links {
        browser.follow(link).await;
    }
    assert!(links.len() < CLICKS_MAX, "too many clicks");
    for text in shown {
        browser.sees(text).await;
    }
    browser
}

#[tokio::test]
async fn a_csp_that_is_down() {
    let csp = csp::scripted([Answer::reset_after_read()]).await;
    let breaker = "breaker = { failures = 2, over_ms = 1, open_ms = 60000, max_open_ms = 60000, max_hold_ms = 3600000 }";
    let host = super::setup_with(&csp, breaker, "").start().await;
    host.leaves_work("the CSP stays down");
    let snow = servicenow(&host);
    for number in 0..4 {
        let mut job = job(&format!("job-{number}"), "CSP_TEST", "ADD_TASK_ORDER");
        job["portfolioId"] = json!(format!("p-{number}"));
        snow.provision(&job).await;
    }
    let shown = ["does not respond", "Jobs with a failed call"];
    let cause = "CSP_TEST does not respond at";
    finds(&host, cause, "Ask the CSP, or check the network", &[], &shown).await.close().await;
}

#[tokio::test]
async fn a_csp_that_refuses_a_credential() {
    let csp = csp::sync().await;
    csp::script_tokens(&csp, [Answer::json(401, &json!({"error": "invalid_client"}))]);
    let host = setup(&csp, "").start().await;
    host.leaves_work("the outcome is not collected");
    servicenow(&host).provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    let shown = ["token-refused", "failed, not collected"];
    let cause = "CSP_TEST refuses HOTH's credential";
    finds(&host, cause, "Renew the credential", &[], &shown).await.close().await;
}

#[tokio::test]
async fn a_csp_that_is_slow() {
    let csp = csp::slow(Duration::from_millis(300)).await;
    let host = setup(&csp, "[console.warn]\nslow_call_ms = 100").start().await;
    let snow = servicenow(&host);
    snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    snow.outcome().await;
    let shown = ["last ten minutes", "Longest"];
    finds(&host, "CSP_TEST is slow", "Ask the CSP", &[], &shown).await.close().await;
}

#[tokio::test]
async fn a_pause_that_was_forgotten() {
    let csp = csp::sync().await;
    let host = super::setup_with(&csp, "paused = true", "").start().await;
    let snow = servicenow(&host);
    snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    let browser = finds(&host, "CSP_TEST is paused for", "Resume it", &[], &["1 queued"]).await;
    browser.act("Resume").await;
    assert_eq!(snow.outcome().await.code(), 200);
    browser.close().await;
}

#[tokio::test]
async fn a_portfolio_that_its_first_job_blocks() {
    let csp = csp::scripted([Answer::hang()]).await;
    let host = setup(&csp, "[console.warn]\nblocked_s = 1").start().await;
    host.leaves_work("the first job hangs");
    let snow = servicenow(&host);
    for id in ["first", "behind"] {
        let mut job = job(id, "CSP_TEST", "ADD_TASK_ORDER");
        job["portfolioId"] = json!("p");
        snow.provision(&job).await;
    }
    let cause = "1 job waits behind job first";
    finds(&host, cause, "Its page says what it waits for", &[], &["first"]).await.close().await;
}

#[tokio::test]
async fn an_adapter_that_traps() {
    let csp = csp::sync().await;
    let traps = std::fs::read(guest("traps")).expect("the guest can be read");
    let table = format!("[csp.TRAPS]\nadapter = \"traps\"\nbase_url = \"{}\"", csp.base_url());
    let host = setup(&csp, &table).adapter("traps", traps).start().await;
    host.leaves_work("outcomes are not collected");
    let snow = servicenow(&host);
    for number in 0..6 {
        snow.provision(&job(&format!("job-{number}"), "TRAPS", "ADD_PORTFOLIO")).await;
    }
    let shown = ["Calls fail:", "the last"];
    let remedy = "Activate an earlier version";
    finds(&host, "Calls of traps 0.1.0 fail", remedy, &[], &shown).await.close().await;
}

#[tokio::test]
async fn a_version_that_cannot_read_a_state() {
    let csp = csp::asynchronous(1_000).await;
    let host = setup(&csp, "").start().await;
    host.leaves_work("the outcome is not collected");
    let snow = servicenow(&host);
    snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    host.logged("the job waits", |line| line["event"] == "wait").await;
    let url = format!("{}/adapters/atat?replay=off", host.admin());
    let put = client().put(url).bearer_auth("admin-token").body(variant("state"));
    assert!(put.send().await.expect("HOTH answers").status().is_success());
    let cause = "1 job of CSP_TEST failed in the last hour";
    let shown = ["cannot read the job's state of version", "unsupported", "Adapter: resume"];
    let remedy = "activate an earlier version";
    finds(&host, cause, remedy, &[], &shown).await.close().await;
}

#[tokio::test]
async fn dead_letters() {
    let csp = csp::sync().await;
    let setup = setup(&csp, "").environment(failpoint::VARIABLE, "job-received:panic");
    let host = setup.start().await;
    host.leaves_work("the dead letter stays");
    servicenow(&host).provision(&job("panics", "CSP_TEST", "ADD_PORTFOLIO")).await;
    let cause = "provisioning-requests-CSP_TEST has 1 dead letter";
    let shown = ["HOTH failed while it processed the job", "Redrive"];
    finds(&host, cause, "Read the reason, mend its cause", &[], &shown).await.close().await;
}

#[tokio::test]
async fn outcomes_that_servicenow_has_stopped_collecting() {
    let csp = csp::sync().await;
    let host = setup(&csp, "[console.warn]\nuncollected_s = 1").start().await;
    host.leaves_work("the outcome is not collected");
    servicenow(&host).provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    let cause = "1 outcome is not collected on provisioning-jobs";
    finds(&host, cause, "check its job and its key", &[], &["Waiting"]).await.close().await;
}

#[tokio::test]
async fn a_disk_that_is_nearly_full() {
    let csp = csp::sync().await;
    // Every disk has less than 100 % free.
    let setup = setup(&csp, "").environment("HOTH__CONSOLE__WARN__DISK_FREE_PERCENT", "100");
    let host = setup.start().await;
    let cause = "The disk of the queue is nearly full";
    finds(&host, cause, "Make room", &[], &["nearly full"]).await.close().await;
}
