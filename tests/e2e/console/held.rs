//! Lists say that a job is held, as its own page does.

use super::logged_in;
use super::servicenow;
use super::setup_with;
use crate::csp;
use crate::harness::eventually;
use crate::harness::job;

#[tokio::test]
async fn a_list_says_which_jobs_are_held_and_why() {
    let csp = csp::sync().await;
    let host = setup_with(&csp, "paused = true", "").start().await;
    let snow = servicenow(&host);
    snow.provision(&job("held-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    let row = async || {
        let jobs = host.admin_json("/jobs?id=held-1").await;
        jobs["jobs"].as_array().and_then(|jobs| jobs.first().cloned())
    };
    let listed = eventually("the job in the trail", row).await;
    assert_eq!(
        (listed["state"].as_str(), listed["held"].as_str()),
        (Some("QUEUED"), Some("paused"))
    );
    let list = async || {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_hoth"))
            .args(["jobs", "list", "--admin", &host.admin()])
            .env("HOTH_ADMIN_TOKEN", "viewer-token")
            .output();
        String::from_utf8(output.await.expect("the program can be started").stdout).expect("text")
    };
    let printed = list().await;
    assert!(printed.contains("HELD") && printed.contains("the CSP is paused"), "{printed}");
    let browser = logged_in(&host, "operator").await;
    browser.open("/console/jobs").await;
    browser.shows(&["held", "CSP paused"]).await;
    browser.is_accessible().await;
    browser.open("/console/csps/CSP_TEST").await;
    browser.act("Resume").await;
    browser.sees("The CSP is resumed").await;
    assert_eq!(snow.outcome().await.code(), 200);
    browser.open("/console/jobs").await;
    browser.sees("collected").await;
    assert!(!browser.text().await.contains("CSP paused"));
    browser.close().await;
    assert!(!list().await.contains("HELD"));
}
