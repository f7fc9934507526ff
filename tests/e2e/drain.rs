//! A host that its operator drains, as before maintenance.

use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::csp;
use crate::csp::Answer;
use crate::csp::Gate;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::eventually;
use crate::harness::job;
use crate::operating::done;
use crate::trail::reaches;
use crate::trail::told;

/// Waits until the host has this many jobs in hand, and returns its view.
async fn has_in_hand(host: &TestHost, jobs: u64) -> Value {
    eventually(&format!("{jobs} jobs in hand"), async || {
        let view = host.admin_json("/host").await;
        (view["jobsInHand"] == jobs).then_some(view)
    })
    .await
}

async fn text(url: String) -> (u16, String) {
    let answer = client().get(url).send().await.expect("HOTH answers");
    (answer.status().as_u16(), answer.text().await.expect("a text"))
}

#[tokio::test]
async fn a_drained_host_ends_its_jobs_takes_no_more_and_goes_on_when_it_is_resumed() {
    let gate = Gate::closed();
    let csp = csp::scripted([Answer::behave().held_by(&gate), Answer::behave()]).await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let snow = host.servicenow();
    snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    csp::wait_for_calls(&csp, 1).await;
    let said = done(&host, &["host", "drain"]).await;
    assert!(said.ends_with(" drained; jobs in hand: 1\n"), "{said}");
    let view = has_in_hand(&host, 1).await;
    assert!(view["drainedSince"].is_string() && view["ready"] == true, "{view}");

    // The API goes on: it accepts, says why nothing happens, and delivers.
    snow.provision(&job("job-2", "CSP_TEST", "ADD_PORTFOLIO")).await;
    let held = reaches(&host, "job-2", "HELD").await;
    assert_eq!(
        held["detail"],
        "Operators have stopped HOTH from taking jobs; the job goes on when they resume it."
    );
    assert_eq!(text(format!("{}/readyz", host.admin())).await, (200, "ready\n".to_owned()));
    gate.open();
    assert_eq!(snow.outcome().await.job_id(), "job-1");
    has_in_hand(&host, 0).await;
    let explained = done(&host, &["queues", "explain", "provisioning-requests-CSP_TEST"]).await;
    assert!(explained.contains("this host is drained since"), "{explained}");
    let (_, metrics) = text(format!("{}/metrics", host.admin())).await;
    for series in ["hoth_drained 1\n", "hoth_drained_timestamp_seconds ", "hoth_ready 1\n"] {
        assert!(metrics.contains(series), "{series}");
    }
    // Once more changes nothing.
    let again = done(&host, &["host", "drain", "--json"]).await;
    let again: Value = serde_json::from_str(&again).expect("it prints JSON");
    assert_eq!(again["drainedSince"], view["drainedSince"]);
    let shown = done(&host, &["host", "show"]).await;
    assert!(shown.contains("drained"), "{shown}");
    assert_eq!(csp::calls(&csp).len(), 1, "a job was taken");

    let said = done(&host, &["host", "resume"]).await;
    assert!(said.contains(" resumed; "), "{said}");
    assert_eq!(snow.outcome().await.job_id(), "job-2");
    assert_eq!(host.admin_json("/host").await["drainedSince"], Value::Null);
    // What was held back cost no delivery.
    let found = told(&host, "job-2", "collected").await;
    assert_eq!(found["job"]["attempt"], 1, "{found}");
    for act in ["drain", "resume-host"] {
        host.logged(act, |line| line["act"] == act && line["host"] == view["name"]).await;
        let acts = host.admin_json(&format!("/audit?act={act}")).await;
        assert_eq!(acts["acts"][0]["object"], view["name"], "{acts}");
    }
}

#[tokio::test]
async fn a_restart_ends_the_drain() {
    let csp = csp::asynchronous(1).await;
    let mut host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let drained = client().post(format!("{}/host/drain", host.admin())).send().await;
    assert_eq!(drained.expect("HOTH answers").status(), 200);
    let snow = host.servicenow();
    snow.provision(&job("job-1", "CSP_TEST", "ADD_ENVIRONMENT")).await;
    reaches(&host, "job-1", "HELD").await;
    assert_eq!(host.terminate().await, Some(0));
    host.restart().await;
    assert_eq!(host.servicenow().outcome().await.code(), 200);
    let put = host.servicenow_at(&host.admin());
    assert_eq!(put.send(Method::POST, "/host/nap", Some(&json!({}))).await.status, 404);
}
