//! Acts: each of them with confirmation, by role, and with an audit line.

use hoth_platform::failpoint;
use reqwest::StatusCode;

use super::browser::Browser;
use super::browser::Script;
use super::cookie;
use super::host;
use super::logged_in;
use super::setup;
use crate::csp;
use crate::harness::client;
use crate::harness::guest;
use crate::harness::job;

#[tokio::test]
async fn a_csp_is_paused_and_resumed() {
    let (host, _csp) = host().await;
    let browser = logged_in(&host, "operator").await;
    browser.follow("CSP_TEST").await;
    browser.act("Pause").await;
    browser.sees("The CSP is paused").await;
    browser.is_accessible().await;
    let snow = super::servicenow(&host);
    snow.provision(&job("held", "CSP_TEST", "ADD_PORTFOLIO")).await;
    browser.open("/console").await;
    browser.sees("CSP_TEST is paused for").await;
    browser.follow("CSP_TEST is paused for").await;
    browser.act("Resume").await;
    browser.sees("The CSP is resumed").await;
    assert_eq!(snow.outcome().await.code(), 200);
    for act in ["pause", "resume"] {
        host.logged(act, |line| line["act"] == act && line["by"] == "operator-key").await;
    }
    browser.console_is_clean().await;
    browser.close().await;
}

#[tokio::test]
async fn a_host_is_drained_and_resumed() {
    let (host, _csp) = host().await;
    let browser = logged_in(&host, "operator").await;
    browser.open("/console/hosts").await;
    browser.act("Drain").await;
    browser.sees("The host takes no more jobs").await;
    browser.sees("drained").await;
    browser.is_accessible().await;
    let snow = super::servicenow(&host);
    snow.provision(&job("held", "CSP_TEST", "ADD_PORTFOLIO")).await;
    browser.open("/console").await;
    browser.sees("This host is drained for").await;
    browser.follow("This host is drained for").await;
    browser.act("Resume").await;
    browser.sees("The host takes jobs again").await;
    assert_eq!(snow.outcome().await.code(), 200);
    for act in ["drain", "resume-host"] {
        host.logged(act, |line| line["act"] == act && line["by"] == "operator-key").await;
    }
    browser.console_is_clean().await;
    browser.close().await;
}

#[tokio::test]
async fn acts_work_without_script() {
    let (host, _csp) = host().await;
    let browser = Browser::start(&host, Script::Off).await;
    browser.log_in("operator-token").await;
    browser.open("/console/csps/CSP_TEST").await;
    browser.act("Pause").await;
    browser.sees("The CSP is paused").await;
    browser.act("Resume").await;
    browser.sees("The CSP is resumed").await;
    browser.close().await;
}

#[tokio::test]
async fn a_viewer_sees_no_acts_and_may_do_none() {
    let (host, _csp) = host().await;
    let browser = logged_in(&host, "viewer").await;
    for path in ["/console/csps/CSP_TEST", "/console/adapters/atat", "/console/hosts"] {
        browser.open(path).await;
        assert!(browser.all("details.act").await.is_empty(), "{path}");
    }
    // A form that a page of the console could have.
    let post = "const done = arguments[arguments.length - 1];
        const form = document.createElement('form');
        form.method = 'post'; form.action = '/console/csps/CSP_TEST/pause';
        document.body.append(form); form.submit();";
    browser.evaluate(post).await;
    browser.sees("The role viewer may not do this").await;
    browser.close().await;
    let operator = logged_in(&host, "operator").await;
    operator.open("/console/adapters/atat").await;
    assert!(operator.all("details.act").await.is_empty(), "operators deploy nothing");
    operator.close().await;
}

#[tokio::test]
async fn a_version_is_tried_deployed_and_rolled_back() {
    let (host, _csp) = host().await;
    let browser = logged_in(&host, "admin").await;
    let path = "/console/adapters/atat";
    let candidate = guest("varies");
    browser.open(path).await;
    browser.open_act("Deploy a version").await;
    browser.attach("component", &candidate).await;
    browser.choose("dry-run", "yes").await;
    browser.click("Deploy").await;
    browser.sees("Dry run").await;
    browser.shows(&["untested", "Candidate"]).await;
    browser.is_accessible().await;
    browser.open(path).await;
    // Each version is in two tables.
    assert_eq!(browser.all("tbody tr").await.len(), 2, "a dry run changes nothing");
    // What is no component is refused, and the version before serves on.
    let directory = tempfile::tempdir().expect("a temporary folder can be made");
    let bad = directory.path().join("bad.wasm");
    std::fs::write(&bad, "not a component").expect("a file can be written");
    browser.open_act("Deploy a version").await;
    browser.attach("component", &bad).await;
    browser.click("Deploy").await;
    browser.sees("Back to the first page").await;
    browser.is_accessible().await;
    browser.forget_console().await;
    browser.open(path).await;
    browser.open_act("Deploy a version").await;
    browser.attach("component", &candidate).await;
    browser.click("Deploy").await;
    browser.sees("The version is active").await;
    assert_eq!(browser.all("tbody tr").await.len(), 4);
    browser.act("Activate").await;
    browser.sees("The earlier version is active again").await;
    for act in ["deploy", "roll-back"] {
        host.logged(act, |line| line["act"] == act && line["by"] == "admin-key").await;
    }
    browser.console_is_clean().await;
    browser.close().await;
}

#[tokio::test]
async fn a_dead_letter_is_redriven() {
    let csp = csp::sync().await;
    let setup = setup(&csp, "").environment(failpoint::VARIABLE, "job-received:panic");
    let host = setup.start().await;
    let snow = super::servicenow(&host);
    snow.provision(&job("panics", "CSP_TEST", "ADD_PORTFOLIO")).await;
    assert_eq!(snow.outcome().await.code(), 500);
    let browser = logged_in(&host, "operator").await;
    browser.sees("has 1 dead letter").await;
    browser.follow("has 1 dead letter").await;
    browser.shows(&["HOTH failed while it processed the job", "panics"]).await;
    browser.is_accessible().await;
    browser.open_row().await;
    browser.sees("Dead since").await;
    browser.shows(&["The payload is hidden.", "CSP_TEST", "add-portfolio"]).await;
    browser.is_accessible().await;
    browser.act("Redrive").await;
    browser.sees("1 dead letter went back to the queue").await;
    assert_eq!(snow.outcome().await.code(), 200);
    host.logged("redrive", |line| line["act"] == "redrive" && line["by"] == "operator-key").await;
    browser.console_is_clean().await;
    browser.close().await;
}

#[tokio::test]
async fn dead_letters_are_read_and_deleted() {
    let csp = csp::sync().await;
    let mut host = setup(&csp, "[console]\npayloads = true").start().await;
    super::add_garbage(&mut host, &["garbage-1", "garbage-2"]).await;
    let snow = super::servicenow(&host);
    snow.collect_all("/provisioning-jobs", 2).await;
    let browser = logged_in(&host, "admin").await;
    browser.open("/console/dead-letters").await;
    browser.shows(&["2 dead letters", "garbage-1", "garbage-2"]).await;
    browser.open_row().await;
    browser.shows(&["It cannot be read as a job"]).await;
    browser.click("Show the payload").await;
    browser.sees("<script>garbage-1</script>").await;
    browser.is_accessible().await;
    let read =
        |line: &serde_json::Value| line["act"] == "read-payload" && line["by"] == "admin-key";
    host.logged("the payload was read", read).await;
    browser.open("/console/dead-letters").await;
    browser.open_act("Delete").await;
    browser.fill("confirm", "another-queue").await;
    browser.click("Delete").await;
    browser.sees("Nothing was deleted").await;
    // The refusal is in the browser's console as well.
    browser.forget_console().await;
    browser.open("/console/dead-letters").await;
    browser.open_act("Delete").await;
    browser.fill("confirm", super::REQUESTS).await;
    browser.click("Delete").await;
    browser.sees("2 dead letters deleted").await;
    browser.shows(&["There are no dead letters."]).await;
    browser.is_accessible().await;
    browser.console_is_clean().await;
    host.logged("purge", |line| line["act"] == "purge" && line["by"] == "admin-key").await;
    browser.close().await;
}

#[tokio::test]
async fn a_payload_is_for_admins_and_only_where_the_configuration_says_so() {
    let csp = csp::sync().await;
    for (payloads, roles) in [
        (true, &[("viewer", StatusCode::FORBIDDEN), ("operator", StatusCode::FORBIDDEN)][..]),
        // The admin is refused nothing; there is no such dead letter.
        (true, &[("admin", StatusCode::NOT_FOUND)]),
        (false, &[("admin", StatusCode::FORBIDDEN)]),
    ] {
        let host = setup(&csp, &format!("[console]\npayloads = {payloads}")).start().await;
        for (role, expected) in roles {
            let url = format!("{}/console/dead-letters/{}/1/body", host.admin(), super::REQUESTS);
            let read = client()
                .post(url)
                .header("sec-fetch-site", "same-origin")
                .header("cookie", cookie(&host, &format!("{role}-token")).await);
            let answer = read.send().await.expect("HOTH answers");
            assert_eq!(answer.status(), *expected, "{role}, payloads = {payloads}");
        }
    }
}
