//! The traffic of queues and CSPs, the history of a breaker, and its reset.

use serde_json::json;

use super::logged_in;
use super::servicenow;
use super::setup_with;
use crate::csp;
use crate::csp::Answer;
use crate::harness::eventually;
use crate::harness::job;

/// A breaker that opens at the second failing job, and is not probed before a
/// minute has passed.
const BREAKER: &str = "breaker = { failures = 2, over_ms = 1, open_ms = 60000, max_open_ms = 60000, max_hold_ms = 3600000 }";

#[tokio::test]
async fn a_breaker_is_reset_and_its_history_is_shown() {
    let csp = csp::scripted([Answer::reset_after_read()]).await;
    let host = setup_with(&csp, BREAKER, "").start().await;
    let snow = servicenow(&host);
    let ids = ["job-0", "job-1", "job-2"];
    for id in ids {
        let mut job = job(id, "CSP_TEST", "ADD_TASK_ORDER");
        job["portfolioId"] = json!(format!("p-{id}"));
        snow.provision(&job).await;
    }
    eventually("the breaker to open", || async {
        let csp = host.admin_json("/csps/CSP_TEST").await;
        (csp["breaker"]["state"] == "open").then_some(())
    })
    .await;
    csp.script([]);
    let browser = logged_in(&host, "operator").await;
    browser.open("/console/csps/CSP_TEST").await;
    browser
        .shows(&["History of the breaker", "opened", "2 jobs failed in a row, last: reset"])
        .await;
    browser.act("Reset the breaker").await;
    browser.sees("The breaker is closed").await;
    browser.shows(&["by an operator, after"]).await;
    browser.is_accessible().await;
    snow.collect_all("/provisioning-jobs", ids.len()).await;
    browser.open("/console/csps/CSP_TEST").await;
    browser.shows(&["oauth2", "present", "left", "Calls by status", "no answer"]).await;
    let acts = browser.text().await;
    assert!(!acts.contains("Reset the breaker"), "a closed breaker needs no reset: {acts}");
    browser.console_is_clean().await;
    browser.close().await;
    host.logged("reset-breaker", |line| {
        line["act"] == "reset-breaker" && line["by"] == "operator-key" && line["csp"] == "CSP_TEST"
    })
    .await;

    let told = host.admin_json("/csps/CSP_TEST").await;
    let changes: Vec<_> = told["breakerHistory"].as_array().expect("a list").iter().collect();
    assert_eq!(changes.len(), 2, "{told}");
    assert_eq!(changes[0]["change"], "reset");
    assert_eq!((&changes[1]["change"], &changes[1]["jobs"]), (&json!("opened"), &json!(2)));
    assert_eq!(told["credentials"][0]["token"]["usable"], 1, "{told}");
    assert!(told["calls"]["lastHour"]["byStatus"]["no answer"].as_u64() >= Some(2), "{told}");
    assert!(told["calls"]["lastHour"]["p99Ms"].as_f64() > Some(0.0), "{told}");

    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_hoth"))
        .args(["csps", "show", "CSP_TEST", "--admin", &host.admin()])
        .env("HOTH_ADMIN_TOKEN", "viewer-token")
        .output();
    let output = output.await.expect("the program can be started");
    let printed = String::from_utf8(output.stdout).expect("text");
    for part in ["operations: ADD_PORTFOLIO", "no answer: ", "opened", "reset", "oauth2"] {
        assert!(printed.contains(part), "no {part:?} in\n{printed}");
    }

    // The counts of a queue follow its messages.
    let queues = host.admin_json("/queues").await;
    let queues = queues["queues"].as_array().expect("a list");
    let find = |name: &str| queues.iter().find(|queue| queue["name"] == name).expect("a queue");
    let requests = &find(super::REQUESTS)["lastHour"];
    assert!(requests["inPerMinute"].as_f64() > Some(0.0), "{requests}");
    assert!(requests["waitP99Ms"].as_f64() > Some(0.0), "{requests}");
    let explained = host.admin_json(&format!("/queues/{}/explain", super::REQUESTS)).await;
    let quarters = explained["quarters"].as_array().expect("a list");
    let came: u64 = quarters.iter().filter_map(|quarter| quarter[0].as_u64()).sum();
    assert_eq!((quarters.len(), came), (96, 3), "{explained}");
    let viewer = logged_in(&host, "viewer").await;
    viewer.open(&format!("/console/queues/{}", super::REQUESTS)).await;
    viewer.shows(&["Wait p50"]).await;
    let chart = viewer.all("svg.chart[aria-label*='3 in']").await;
    assert_eq!(chart.len(), 1, "the chart says its numbers");
    viewer.is_accessible().await;
    viewer.close().await;
}

#[tokio::test]
async fn a_reset_from_the_command_line_says_what_it_did() {
    let (host, _csp) = super::host().await;
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_hoth"))
        .args(["csps", "reset-breaker", "CSP_TEST", "--admin", &host.admin()])
        .env("HOTH_ADMIN_TOKEN", "operator-token")
        .output();
    let output = output.await.expect("the program can be started");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "no breaker of CSP_TEST was open\n");
    let refused = crate::harness::client()
        .post(format!("{}/csps/CSP_TEST/reset-breaker", host.admin()))
        .bearer_auth("viewer-token");
    assert_eq!(refused.send().await.expect("HOTH answers").status(), 403);
}
