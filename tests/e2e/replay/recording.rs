//! Recording of jobs in journals, without secrets and personal data.

use std::path::Path;

use base64::Engine as _;
use serde_json::json;

use mock_csp::MockCsp;

use super::OPERATIONS;
use super::journals;
use super::journals_of;
use super::run_all;
use crate::csp;
use crate::harness::Setup;
use crate::harness::eventually;
use crate::harness::job;

/// Returns every encoding of a text that is searched for.
fn spellings(text: &str) -> Vec<String> {
    let base64 = base64::engine::general_purpose::STANDARD_NO_PAD.encode(text);
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    vec![
        text.to_owned(),
        text.replace('@', "%40").replace(' ', "%20"),
        text.replace(' ', "+"),
        base64.replace(['+', '/'], "-"),
        base64,
        hex,
    ]
}

/// Returns the first of `texts` that a file below `folder` holds, in any
/// encoding.
fn found_below(folder: &Path, texts: &[String]) -> Option<String> {
    for entry in std::fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("a folder entry can be read").path();
        let found = if path.is_dir() {
            found_below(&path, texts)
        } else {
            let bytes = std::fs::read(&path).expect("a file can be read");
            let content = String::from_utf8_lossy(&bytes).to_lowercase();
            let is_there = |text: &&String| {
                spellings(text).iter().any(|s| content.contains(&s.to_lowercase()))
            };
            texts.iter().find(is_there).map(|text| format!("`{text}` in {}", path.display()))
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Returns the personal data in the jobs of these tests.
pub(super) fn personal() -> Vec<String> {
    let about = [
        "admin1@mail.mil",
        "1122334455",
        "21d18790-bf3e-4529-a361-460ee6d16e0b",
        "Sample Portfolio",
        "Sample Environment",
    ];
    about.map(str::to_owned).to_vec()
}

/// Returns the client's secret, and every token that was used.
fn secrets(csp: &MockCsp) -> Vec<String> {
    let tokens = csp::calls(csp).into_iter().filter_map(|call| {
        let header = csp::header(&call, "authorization")?;
        Some(header.trim_start_matches("Bearer ").to_owned())
    });
    let mut secrets: Vec<_> = tokens.chain([csp.client_secret().to_owned()]).collect();
    secrets.sort();
    secrets.dedup();
    assert!(secrets.len() > 1 && secrets.iter().all(|secret| secret.len() >= 8), "{secrets:?}");
    secrets
}

#[tokio::test]
async fn a_journal_holds_the_adapters_input_without_personal_data() {
    let csp = csp::sync().await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    run_all(&host).await;
    let journals = journals(&host, OPERATIONS.len() + 1).await;
    let environment = journals
        .iter()
        .find(|journal| journal["facts"]["operation"] == "add-environment")
        .expect("every operation has its journal");
    assert_eq!(environment["facts"]["input"]["portfolioId"], "p-1");
    assert_eq!(environment["csp"], "CSP_TEST");
    let calls = environment["calls"].as_array().expect("a list");
    assert_eq!(calls.len(), 2, "{environment:#}");
    assert_eq!(calls[0]["told"], "begin");
    assert_eq!(
        calls[0]["took"]["send"],
        json!({"method": "POST", "target": "/portfolios/p-1/environments"})
    );
    assert_eq!(calls[1]["told"]["response"]["status"], 200);
    assert_eq!(calls[1]["took"]["done"], json!({"code": 200}));
    let operator = &environment["facts"]["input"]["payload"]["administrators"][0];
    assert!(operator["email"].as_str().expect("an address").ends_with(".mil"), "{operator}");
    assert_eq!(operator["dodId"].as_str().expect("a number").len(), 10, "{operator}");

    let folder = host.directory().join("data/journals");
    assert_eq!(found_below(&folder, &personal()), None);
    assert_eq!(found_below(&folder, &secrets(&csp)), None);
    // The same search finds them in the queue's archive, where they must be.
    for text in personal() {
        let alone = [text.clone()];
        assert!(found_below(&host.directory().join("data"), &alone).is_some(), "{text}");
    }
}

#[tokio::test]
async fn a_journal_spans_the_waits_of_its_job() {
    let csp = csp::asynchronous(5).await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    host.servicenow().provision(&job("job-1", "CSP_TEST", "ADD_ENVIRONMENT")).await;
    assert_eq!(host.servicenow().outcome().await.code(), 200);
    let journal = journals(&host, 1).await.remove(0);
    let calls = journal["calls"].as_array().expect("a list");
    let told: Vec<_> = calls.iter().map(|call| &call["told"]).collect();
    let timers = told.iter().filter(|told| **told == "timer").count();
    assert_eq!(timers, 3, "of polls that are alike the first and the last: {journal:#}");
    assert_eq!(calls[1]["took"], json!({"wait": {"purpose": "poll"}}));
    assert_eq!(calls.last().expect("some calls")["took"]["done"]["code"], 200);
    assert!(!journal.to_string().contains("\"state\""), "states are opaque: {journal:#}");
}

#[tokio::test]
async fn journals_have_a_bound_that_keeps_one_of_each_kind() {
    let csp = csp::sync().await;
    let host = Setup::new().csp("CSP_TEST", &csp).with("[replay]\nmax_jobs = 3\n").start().await;
    let snow = host.servicenow();
    snow.provision(&job("job-0", "CSP_TEST", "ADD_PORTFOLIO")).await;
    snow.outcome().await;
    journals(&host, 1).await;
    for n in 1..8 {
        snow.provision(&job(&format!("job-{n}"), "CSP_TEST", "ADD_TASK_ORDER")).await;
    }
    snow.collect_all("/provisioning-jobs", 7).await;
    let kept = eventually("the last journal to be written", || async {
        let names: Vec<_> = journals_of(&host, "atat")
            .iter()
            .map(|file| std::fs::read_to_string(file).unwrap_or_default())
            .collect();
        let all = names.len() == 3 && names.iter().any(|text| text.contains("\"job-7\""));
        all.then_some(names)
    })
    .await;
    assert!(kept.iter().any(|text| text.contains("\"job-0\"")), "the only one of its kind");
    // A journal is there before it is counted.
    eventually("the journals to be counted", || async {
        let metrics = crate::harness::client().get(format!("{}/metrics", host.admin())).send();
        let metrics = metrics.await.expect("an answer").text().await.expect("a text");
        metrics.contains("hoth_journals_written_total{adapter=\"atat\"} 8").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_host_with_recording_off_writes_no_journal() {
    let csp = csp::sync().await;
    let mut host = Setup::new()
        .csp("CSP_TEST", &csp)
        .environment("HOTH__REPLAY__RECORD", "false")
        .start()
        .await;
    run_all(&host).await;
    host.leaves_work("the host is stopped");
    host.terminate().await;
    assert!(!host.directory().join("data/journals").exists());
}
