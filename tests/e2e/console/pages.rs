//! Every page, with data: complete, accessible, with a clean console, in both
//! color schemes, and without script.

use std::path::PathBuf;

use mock_csp::MockCsp;
use serde_json::json;

use super::browser::Browser;
use super::browser::Script;
use super::logged_in;
use super::servicenow;
use super::setup;
use crate::csp;
use crate::csp::Answer;
use crate::harness::TestHost;
use crate::harness::cost;
use crate::harness::eventually;
use crate::harness::guest;
use crate::harness::job;

/// Environment variable with the folder for pictures of the pages, which
/// `cargo xtask screenshots` sets.
const PICTURES: &str = "HOTH_SCREENSHOTS";

/// The pages and what each of them shows on a host with [`work`] behind it.
const PAGES: [(&str, &str, &[&str]); 15] = [
    ("now", "/console", &["CSP_TEST", "Outcomes for ServiceNow", "Last acts"]),
    ("jobs", "/console/jobs", &["done-1", "asked-1", "refused-1", "collected"]),
    (
        "job",
        "/console/jobs/refused-1",
        &["failed, not collected", "Request", "404", "Ended", "Timeline"],
    ),
    ("job-cost", "/console/jobs/asked-1?kind=cost", &["code 200", "Ended"]),
    ("jobs-none", "/console/jobs?q=unknown", &["No job matches."]),
    ("queues", "/console/queues", &["provisioning-requests-CSP_TEST", "Dead letters"]),
    ("queue", "/console/queues/provisioning-jobs", &["Why it does not move", "Waiting"]),
    ("dead-letters", "/console/dead-letters", &["There are no dead letters."]),
    ("csps", "/console/csps", &["CSP_TEST", "responds"]),
    (
        "csp",
        "/console/csps/CSP_TEST",
        &["The last 24 hours", "Origins", "Calls to the CSP", "GET_PORTFOLIO"],
    ),
    ("adapters", "/console/adapters", &["atat", "works"]),
    ("adapter", "/console/adapters/atat", &["Versions", "active", "retained", "Replay gate"]),
    ("journals", "/console/journals/atat", &["Journals of atat", "get-portfolio", "done"]),
    ("audit", "/console/audit", &["deploy", "admin-key"]),
    ("hosts", "/console/hosts", &["Version", "api, worker, watcher", "Disk"]),
];

/// Has the host do work of every kind.
async fn work(host: &TestHost, csp: &MockCsp) {
    let snow = servicenow(host);
    for id in ["done-1", "done-2", "done-3"] {
        snow.provision(&job(id, "CSP_TEST", "ADD_PORTFOLIO")).await;
    }
    snow.collect_all("/provisioning-jobs", 3).await;
    snow.ask_cost(&cost("asked-1", "CSP_TEST")).await;
    snow.cost_outcome().await;
    csp.script([Answer::json(404, &json!({"message": "no such portfolio"}))]);
    snow.provision(&job("refused-1", "CSP_TEST", "GET_PORTFOLIO")).await;
    let url = format!("{}/adapters/atat?replay=warn", host.admin());
    let other = std::fs::read(guest("varies")).expect("the component can be read");
    let put = crate::harness::client().put(url).bearer_auth("admin-token").body(other);
    assert!(put.send().await.expect("HOTH answers").status().is_success());
    let roll_back = format!("{}/adapters/atat/rollback", host.admin());
    let roll_back = crate::harness::client().post(roll_back).bearer_auth("admin-token");
    assert!(roll_back.send().await.expect("HOTH answers").status().is_success());
    // The trail is written once a second.
    eventually("the last job in the trail", || async {
        let jobs = host.admin_json("/jobs?id=refused-1&state=FAILED").await;
        (jobs["jobs"].as_array()?.len() == 1).then_some(())
    })
    .await;
    // A thread of its own writes the journals.
    eventually("the journal of the last job", || async {
        let job = host.admin_json("/jobs/refused-1").await;
        (!job["journal"].is_null()).then_some(())
    })
    .await;
}

fn save(name: &str, picture: &[u8]) {
    if let Some(folder) = std::env::var_os(PICTURES) {
        let path = PathBuf::from(folder).join(format!("{name}.png"));
        std::fs::write(path, picture).expect("the picture can be written");
    }
}

#[tokio::test]
async fn every_page_is_complete_accessible_and_obeys_the_policy() {
    let csp = csp::sync().await;
    let host = setup(&csp, "").start().await;
    host.leaves_work("one outcome is not collected");
    work(&host, &csp).await;
    let browser = logged_in(&host, "admin").await;
    for (name, path, shown) in PAGES {
        browser.open(path).await;
        browser.shows_any_case(shown).await;
        browser.is_accessible().await;
        browser.console_is_clean().await;
        save(name, &browser.picture().await);
    }
    browser.open("/console/jobs/refused-1").await;
    browser.follow("step by step").await;
    browser.shows(&["Journal of refused-1", "response 404"]).await;
    browser.is_accessible().await;
    save("journal", &browser.picture().await);
    browser.open("/console/errors").await;
    browser.shows(&["Codes of outcomes", "TOO_MANY_REQUESTS"]).await;
    browser.is_accessible().await;
    save("errors", &browser.picture().await);
    browser.open("/console/nowhere").await;
    browser.shows(&["There is no such page."]).await;
    browser.is_accessible().await;
    browser.resize(420, 900).await;
    browser.open("/console").await;
    browser.is_accessible().await;
    save("narrow", &browser.picture().await);
    for path in ["/console/queues", "/console/csps/CSP_TEST", "/console/adapters/atat"] {
        browser.open(path).await;
        browser.is_accessible().await;
        // Tables scroll by themselves; the page does not.
        let wide = "return document.documentElement.scrollWidth > window.innerWidth";
        assert_eq!(browser.evaluate(wide).await, false, "{path} is wider than the window");
    }
    save("narrow-adapter", &browser.picture().await);
    browser.close().await;
}

#[tokio::test]
async fn every_page_works_without_script_and_in_the_dark() {
    let csp = csp::sync().await;
    let host = setup(&csp, "").start().await;
    host.leaves_work("one outcome is not collected");
    work(&host, &csp).await;
    let plain = Browser::start(&host, Script::Off).await;
    plain.log_in("viewer-token").await;
    for (_, path, shown) in PAGES {
        plain.open(path).await;
        plain.shows_any_case(shown).await;
    }
    plain.open("/console/jobs").await;
    plain.fill("q", "asked-1").await;
    plain.click("Show").await;
    plain.sees("asked-1").await;
    assert!(!plain.text().await.contains("done-1"), "the filter selects");
    assert!(plain.path().await.contains("q=asked-1"), "the filter can be bookmarked");
    plain.close().await;
    let dark = Browser::start_dark(&host).await;
    dark.log_in("viewer-token").await;
    for path in [
        "/console",
        "/console/jobs/refused-1",
        "/console/queues",
        "/console/queues/provisioning-jobs",
        "/console/csps/CSP_TEST",
        "/console/adapters/atat",
        "/console/journals/atat",
    ] {
        dark.open(path).await;
        dark.is_accessible().await;
    }
    dark.open("/console/queues").await;
    save("dark-queues", &dark.picture().await);
    dark.open("/console").await;
    save("dark", &dark.picture().await);
    dark.close().await;
}

#[tokio::test]
async fn a_page_stays_fresh_unless_it_is_paused_or_a_form_is_open() {
    let csp = csp::sync().await;
    let host = setup(&csp, "").start().await;
    let browser = logged_in(&host, "operator").await;
    let snow = servicenow(&host);
    browser.open("/console/jobs").await;
    snow.provision(&job("fresh-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    snow.outcome().await;
    browser.sees("fresh-1").await;
    browser.open("/console/csps/CSP_TEST").await;
    browser.open_act("Pause").await;
    let requests = "return performance.getEntriesByType('resource')
        .filter(one => one.initiatorType === 'fetch').length";
    eventually("two refreshes", || async {
        (browser.evaluate(requests).await.as_u64()? >= 2).then_some(())
    })
    .await;
    assert!(!browser.all("details.act[open]").await.is_empty(), "a refresh closed the form");
    browser.click("Pause refresh").await;
    let before = browser.evaluate(requests).await;
    // Longer than the interval of the script.
    let waited = "const done = arguments[arguments.length - 1]; setTimeout(() => done(1), 6000)";
    browser.evaluate_later(waited).await;
    assert_eq!(browser.evaluate(requests).await, before, "a paused page was refreshed");
    // The local time is beside UTC.
    browser.open("/console/audit").await;
    let times = browser.all("time[data-local] .utc").await;
    assert!(!times.is_empty(), "no local time on the page");
    browser.console_is_clean().await;
    browser.close().await;
}

#[tokio::test]
async fn an_export_has_the_jobs_of_the_filter() {
    let csp = csp::sync().await;
    let host = setup(&csp, "").start().await;
    host.leaves_work("one outcome is not collected");
    work(&host, &csp).await;
    let client = super::session(&host, "viewer-token").await;
    let csv = client("/console/jobs.csv?state=FAILED").await;
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 2, "{csv}");
    assert!(
        lines[1].starts_with("\"refused-1\",\"provisioning\",\"CSP_TEST\",\"get-portfolio\""),
        "{csv}"
    );
}
