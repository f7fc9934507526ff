//! What a kill, a restart and a stop leave behind: everything.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use crate::csp;
use crate::csp::Answer;
use crate::harness::Setup;
use crate::harness::job;

fn numbered(count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| {
            let mut job = job(&format!("job-{n}"), "CSP_TEST", "ADD_TASK_ORDER");
            job["portfolioId"] = json!(format!("p-{}", n % 7));
            job
        })
        .collect()
}

fn ids(messages: &[Value]) -> BTreeSet<String> {
    let id = |m: &Value| m["initialSnowRequest"]["jobId"].as_str().expect("an id").to_owned();
    messages.iter().map(id).collect()
}

#[tokio::test]
async fn a_kill_in_the_middle_of_work_loses_no_acknowledged_job() {
    let csp = csp::slow(Duration::from_millis(20)).await;
    let mut host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let jobs = numbered(60);
    let mut collected = Vec::new();
    for batch in jobs.chunks(20) {
        let snow = host.servicenow();
        let before = csp::calls(&csp).len();
        for job in batch {
            snow.provision(job).await;
        }
        csp::wait_for_calls(&csp, before + 3).await;
        collected.extend(snow.collect("/provisioning-jobs").await);
        host.kill().await;
        host.restart().await;
    }
    let snow = host.servicenow();
    host.settled().await;
    loop {
        let batch = snow.collect("/provisioning-jobs").await;
        if batch.is_empty() {
            break;
        }
        collected.extend(batch);
    }
    let expected: BTreeSet<String> = (0..60).map(|n| format!("job-{n}")).collect();
    assert_eq!(ids(&collected), expected);
    for message in &collected {
        assert_eq!(message["code"], 200, "{message}");
    }
}

#[tokio::test]
async fn a_kill_between_two_polls_goes_on_polling() {
    let location = "/atat/api/v1/provisioning/1/status";
    let status = |word: &str| Answer::json(200, &json!({"status": word}));
    let csp = csp::scripted([
        Answer::json(202, &json!({})).header("location", location),
        status("IN_PROGRESS"),
        status("IN_PROGRESS"),
        status("SUCCESS"),
    ])
    .await;
    let mut host = Setup::new()
        .csp("CSP_TEST", &csp)
        .with("[polling]\ninitial_ms = 300\nmax_ms = 300")
        .start()
        .await;
    host.servicenow().provision(&job("job-1", "CSP_TEST", "ADD_ENVIRONMENT")).await;
    csp::wait_for_calls(&csp, 2).await;
    host.kill().await;
    host.restart().await;
    let message = host.servicenow().outcome().await;
    assert_eq!(message["code"], 200, "{message}");
    let posts = csp::calls(&csp).iter().filter(|c| csp::line(c).starts_with("POST")).count();
    assert_eq!(posts, 1, "the environment was ordered again");
}

#[tokio::test]
async fn uncollected_outcomes_survive_a_kill() {
    let csp = csp::sync().await;
    let mut host = Setup::new().csp("CSP_TEST", &csp).start().await;
    for job in numbered(15) {
        host.servicenow().provision(&job).await;
    }
    host.settled().await;
    host.kill().await;
    host.restart().await;
    let messages = host.servicenow().collect_all("/provisioning-jobs", 15).await;
    assert_eq!(ids(&messages).len(), 15);
    assert_eq!(csp::calls(&csp).len(), 15);
}

#[tokio::test]
async fn a_repetition_is_recognised_after_a_restart() {
    let csp = csp::sync().await;
    let mut host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let job = job("job-1", "CSP_TEST", "ADD_PORTFOLIO");
    host.servicenow().provision(&job).await;
    host.servicenow().outcome().await;
    host.emptied().await;
    host.kill().await;
    host.restart().await;
    host.servicenow().provision(&job).await;
    host.settled().await;
    assert_eq!(host.servicenow().collect("/provisioning-jobs").await, Vec::<Value>::new());
    assert_eq!(csp::calls(&csp).len(), 1);
}

#[tokio::test]
async fn a_host_that_is_told_to_stop_finishes_what_is_in_hand() {
    let csp = csp::slow(Duration::from_millis(400)).await;
    let mut host = Setup::new().csp("CSP_TEST", &csp).start().await;
    for job in numbered(7) {
        host.servicenow().provision(&job).await;
    }
    csp::wait_for_calls(&csp, 7).await;
    assert_eq!(host.terminate().await, Some(0));
    host.restart().await;
    let messages = host.servicenow().collect_all("/provisioning-jobs", 7).await;
    assert_eq!(ids(&messages).len(), 7);
    assert_eq!(csp::calls(&csp).len(), 7, "a job in hand was cut off and made again");
}

#[tokio::test]
async fn a_host_that_must_stop_at_once_gives_back_what_is_in_hand() {
    let csp = csp::scripted([Answer::hang(), Answer::json(200, &json!({"id": "t"}))]).await;
    let mut host =
        Setup::new().csp("CSP_TEST", &csp).with("[worker]\ndrain_ms = 100").start().await;
    host.servicenow().provision(&job("job-1", "CSP_TEST", "ADD_TASK_ORDER")).await;
    csp::wait_for_calls(&csp, 1).await;
    assert_eq!(host.terminate().await, Some(0));
    host.restart().await;
    assert_eq!(host.servicenow().outcome().await["code"], 200);
}

#[tokio::test]
async fn a_second_host_on_the_same_file_refuses_to_start() {
    let csp = csp::sync().await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let second = tokio::process::Command::new(env!("CARGO_BIN_EXE_hoth"))
        .args(["serve", "--config", "hoth.toml"])
        .current_dir(host.directory())
        .env("CSP_TEST_CLIENT_SECRET", "x")
        .output()
        .await
        .expect("the program can be started");
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains(&host.process_id().to_string()), "{said}");
}
