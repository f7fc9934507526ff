//! Hostile text of clients, CSPs and adapters.

use serde_json::json;

use super::browser::Browser;
use super::logged_in;
use super::servicenow;
use super::setup;
use crate::csp;
use crate::csp::Answer;
use crate::harness::eventually;
use crate::harness::job;

/// Text that would run a script, break out of an attribute, or reverse the
/// line.
const HOSTILE: &str = "<img src=x onerror=\"document.title='owned'\">'\"></td></table><script>document.title='owned'</script>\u{202e}";

#[tokio::test]
async fn hostile_text_is_shown_and_does_nothing() {
    let csp = csp::scripted([Answer::json(422, &json!({"message": HOSTILE}))]).await;
    let host = setup(&csp, "").start().await;
    host.leaves_work("outcomes are not collected");
    let snow = servicenow(&host);
    let id = "x<script>document.title='owned'</script>";
    let mut hostile = job(id, "CSP_TEST", "ADD_TASK_ORDER");
    hostile["portfolioId"] = json!(HOSTILE);
    snow.provision(&hostile).await;
    let path = format!("/jobs?state=FAILED&limit={}", 10);
    eventually("the job in the trail", || async {
        let jobs = host.try_admin_json(&path).await.ok()?;
        (jobs["jobs"].as_array()?.len() == 1).then_some(())
    })
    .await;
    let browser = logged_in(&host, "admin").await;
    let segment: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
    let query: String = url::form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    for path in [
        "/console".to_owned(),
        "/console/jobs".to_owned(),
        format!("/console/jobs/{segment}"),
        format!("/console/jobs?q={query}"),
        format!("/console/jobs?csp={query}"),
        format!("/console/audit?act={query}&by={query}&object={query}"),
        format!("/console/dead-letters?queue={query}"),
        format!("/console/queues/{query}"),
        format!("/console/csps/{query}"),
        format!("/console/adapters/{query}"),
        format!("/console/dead-letters/provisioning-jobs/{query}"),
        format!("/console?done={query}"),
        format!("/console/adapters/{query}/replay"),
        format!("/console/journals/{query}"),
        format!("/console/journals/atat/{query}"),
    ] {
        browser.open(&path).await;
        is_harmless(&browser, &path).await;
    }
    let name = eventually("the journal", || async {
        let job = host.admin_json(&format!("/jobs/{segment}")).await;
        job["journal"]["name"].as_str().map(str::to_owned)
    })
    .await;
    browser.open(&format!("/console/journals/atat/{name}")).await;
    is_harmless(&browser, "the journal").await;
    browser.click("Show input and responses").await;
    browser.sees("Input of the job").await;
    is_harmless(&browser, "the content of the journal").await;
    browser.shows(&["<img src=x onerror="]).await;
    browser.open("/console/jobs").await;
    browser.shows(&[id]).await;
    browser.close().await;
}

/// Asserts that the page shows text, and that no text has become a part of it.
async fn is_harmless(browser: &Browser, page: &str) {
    assert!(browser.text().await.len() > 10, "{page} is empty");
    let title = browser.evaluate("return document.title").await;
    assert_ne!(title, "owned", "{page}");
    let elements = browser.all("main script, main img").await;
    assert!(elements.is_empty(), "{page} has an element of the text");
    browser.is_accessible().await;
}
