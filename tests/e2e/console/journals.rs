//! The journal of a job: found on its page, its steps for every role, its
//! content for operators.

use reqwest::StatusCode;

use super::cookie;
use super::host;
use super::logged_in;
use crate::harness::client;
use crate::harness::eventually;
use crate::harness::job;

#[tokio::test]
async fn a_journal_is_read_from_the_page_of_its_job() {
    let (host, _csp) = host().await;
    let snow = super::servicenow(&host);
    let mut posted = job("told-1", "CSP_TEST", "ADD_PORTFOLIO");
    posted["payload"]["name"] = "<b>bold</b>".into();
    snow.provision(&posted).await;
    snow.outcome().await;
    let name = eventually("the journal", || async {
        let job = host.admin_json("/jobs/told-1").await;
        job["journal"]["name"].as_str().map(str::to_owned)
    })
    .await;
    let viewer = logged_in(&host, "viewer").await;
    viewer.open("/console/jobs/told-1").await;
    viewer.follow("step by step").await;
    viewer.sees("Journal of told-1").await;
    viewer.shows(&["begin", "POST /portfolios", "done 200", "hidden from the role viewer"]).await;
    assert!(viewer.all("main form").await.is_empty(), "viewers read no content");
    viewer.is_accessible().await;
    viewer.follow("of atat").await;
    viewer.sees("Journals of atat").await;
    viewer.is_accessible().await;
    viewer.console_is_clean().await;
    viewer.close().await;

    let path = format!("/console/journals/atat/{name}");
    let operator = logged_in(&host, "operator").await;
    operator.open(&path).await;
    operator.shows(&["hoth adapter run", "Leaves an audit line."]).await;
    operator.click("Show input and responses").await;
    operator.sees("Input of the job").await;
    operator.shows(&["Response before call 2", "\"jobId\":\"told-1\""]).await;
    operator.is_accessible().await;
    operator.console_is_clean().await;
    operator.close().await;
    host.logged("read-journal", |line| {
        line["act"] == "read-journal" && line["by"] == "operator-key" && line["journal"] == name
    })
    .await;

    for (role, expected) in [("viewer", StatusCode::FORBIDDEN), ("operator", StatusCode::OK)] {
        let file = client()
            .post(format!("{}{path}/file", host.admin()))
            .header("sec-fetch-site", "same-origin")
            .header("cookie", cookie(&host, &format!("{role}-token")).await);
        let file = file.send().await.expect("HOTH answers");
        assert_eq!(file.status(), expected, "{role}");
        let text = file.text().await.expect("text");
        assert_eq!(text.contains("\"told-1\""), role == "operator", "{text}");
    }
}
