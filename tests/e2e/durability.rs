//! Durability across kills, restarts and stops.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use serde_json::json;

use crate::auth::bearer_keys;
use crate::csp;
use crate::csp::Answer;
use crate::csp::Gate;
use crate::harness::Outcome;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::cost;
use crate::harness::eventually;
use crate::harness::job;
use crate::harness::queue_counts;

fn numbered(count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| {
            let mut job = job(&format!("job-{n}"), "CSP_TEST", "ADD_TASK_ORDER");
            job["portfolioId"] = json!(format!("p-{}", n % 7));
            job
        })
        .collect()
}

fn ids(messages: &[Outcome]) -> BTreeSet<String> {
    messages.iter().map(|message| message.job_id().to_owned()).collect()
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
        assert_eq!(message.code(), 200, "{message}");
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
    assert_eq!(message.code(), 200, "{message}");
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
    assert_eq!(host.servicenow().collect("/provisioning-jobs").await.len(), 0);
    assert_eq!(csp::calls(&csp).len(), 1);
}

#[tokio::test]
async fn a_stopping_host_finishes_its_running_jobs() {
    let gate = Gate::closed();
    let csp = csp::scripted([Answer::behave().held_by(&gate)]).await;
    let mut host = Setup::new().csp("CSP_TEST", &csp).with(PATIENT_DRAIN).start().await;
    for job in numbered(7) {
        host.servicenow().provision(&job).await;
    }
    csp::wait_for_calls(&csp, 7).await;
    let status = readiness(&host);
    let (stopped, ()) = tokio::join!(host.terminate(), async {
        // No call is answered before the host has begun to stop.
        eventually("the host to drain", async || (status().await == 503).then_some(())).await;
        gate.open();
    });
    assert_eq!(stopped, Some(0));
    host.restart().await;
    let messages = host.servicenow().collect_all("/provisioning-jobs", 7).await;
    assert_eq!(ids(&messages).len(), 7);
    assert_eq!(csp::calls(&csp).len(), 7, "a running job was cut off and run again");
}

#[tokio::test]
async fn a_hangup_changes_nothing_and_a_second_interrupt_ends_the_drain() {
    let csp = csp::scripted([Answer::hang(), Answer::behave()]).await;
    let mut host = Setup::new().csp("CSP_TEST", &csp).with(PATIENT_DRAIN).start().await;
    host.hang_up();
    host.servicenow().provision(&job("job-1", "CSP_TEST", "ADD_TASK_ORDER")).await;
    csp::wait_for_calls(&csp, 1).await;
    let status = readiness(&host);
    assert_eq!(status().await, 200);
    host.interrupt();
    eventually("the host to drain", async || (status().await == 503).then_some(())).await;
    host.interrupt();
    assert_eq!(host.ended().await, Some(1));
    host.restart().await;
    assert_eq!(host.servicenow().outcome().await.code(), 200);
}

#[tokio::test]
async fn a_draining_host_reports_that_it_is_not_ready() {
    let gate = Gate::closed();
    let csp = csp::scripted([Answer::behave().held_by(&gate)]).await;
    let mut host = Setup::new().csp("CSP_TEST", &csp).with(PATIENT_DRAIN).start().await;
    let status = readiness(&host);
    assert_eq!(status().await, 200);
    host.servicenow().provision(&job("job-1", "CSP_TEST", "ADD_TASK_ORDER")).await;
    csp::wait_for_calls(&csp, 1).await;
    let (stopped, ()) = tokio::join!(host.terminate(), async {
        eventually("the host to drain", async || (status().await == 503).then_some(())).await;
        // The running job has kept the host alive.
        gate.open();
    });
    assert_eq!(stopped, Some(0));
    host.restart().await;
    assert_eq!(host.servicenow().outcome().await.code(), 200);
}

#[tokio::test]
async fn a_stopping_host_is_not_ready_before_it_closes_its_listeners() {
    let csp = csp::sync().await;
    let mut host = Setup::new()
        .csp("CSP_TEST", &csp)
        // Longer than the test waits, so that the listeners stay open.
        .environment("HOTH__SHUTDOWN__DELAY_MS", "600000")
        .start()
        .await;
    let (api, admin) = (host.api(), host.admin());
    let snow = host.servicenow();
    let check = async {
        for base in [api, admin] {
            let ready = format!("{base}/readyz");
            eventually("the host to be not ready", async || {
                let answer = client().get(&ready).send().await.expect("the listener is open");
                (answer.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(())
            })
            .await;
            let alive = client().get(format!("{base}/healthz")).send().await;
            assert_eq!(alive.expect("the listener is open").status(), StatusCode::OK);
        }
        snow.provision(&job("job-1", "CSP_TEST", "ADD_TASK_ORDER")).await;
    };
    let id = host.process_id().to_string();
    let asked = tokio::process::Command::new("kill").args(["-TERM", &id]).status().await;
    assert!(asked.expect("it can be run").success());
    check.await;
    host.kill().await;
    host.restart().await;
    assert_eq!(host.servicenow().outcome().await.code(), 200);
}

#[tokio::test]
async fn both_listeners_have_open_health_paths() {
    let csp = csp::sync().await;
    let keys = bearer_keys(&["admin"]);
    let setup = Setup::new().csp("CSP_TEST", &csp).with(&keys).admin_token("admin-token");
    let host = setup.start().await;
    for base in [host.api(), host.admin()] {
        for (path, text) in [("/healthz", "alive\n"), ("/readyz", "ready\n")] {
            let url = format!("{base}{path}");
            let got = client().get(&url).send().await.expect("HOTH answers");
            assert_eq!(got.status(), StatusCode::OK, "{url}");
            assert_eq!(got.text().await.expect("a text"), text);
            let head = client().head(&url).send().await.expect("HOTH answers");
            assert_eq!(head.status(), StatusCode::OK, "HEAD {url}");
            let posted = client().post(&url).send().await.expect("HOTH answers");
            assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED, "POST {url}");
            let allow = posted.headers()["allow"].to_str().expect("a text");
            assert_eq!(allow.replace(' ', ""), "GET,HEAD", "POST {url}");
        }
    }
}

/// A drain limit that is longer than a test holds back an answer.
const PATIENT_DRAIN: &str = "[worker]\ndrain_ms = 120000";

/// Returns a function that requests the readiness of the host.
fn readiness(host: &TestHost) -> impl AsyncFn() -> StatusCode + use<> {
    let ready = format!("{}/readyz", host.admin());
    async move || client().get(&ready).send().await.expect("HOTH answers").status()
}

#[tokio::test]
async fn jobs_of_a_csp_that_was_removed_end_with_a_message() {
    let (stays, goes) = (csp::sync().await, csp::scripted([Answer::hang()]).await);
    let location = "/atat/api/v1/provisioning/1/status";
    let working = csp::scripted([
        Answer::json(202, &json!({})).header("location", location),
        Answer::json(200, &json!({"status": "IN_PROGRESS"})),
    ])
    .await;
    let mut host = Setup::new()
        .csp("CSP_STAYS", &stays)
        .csp("CSP_GOES", &goes)
        .csp("CSP_WORKS", &working)
        .with("[worker]\ndrain_ms = 100")
        .start()
        .await;
    let snow = host.servicenow();
    snow.provision(&job("in-hand", "CSP_GOES", "ADD_TASK_ORDER")).await;
    snow.provision(&job("waits-its-turn", "CSP_GOES", "ADD_TASK_ORDER")).await;
    snow.ask_cost(&cost("asked", "CSP_GOES")).await;
    snow.provision(&job("accepted", "CSP_WORKS", "ADD_ENVIRONMENT")).await;
    csp::wait_for_calls(&working, 2).await;
    assert_eq!(host.terminate().await, Some(0));

    let file = host.directory().join("hoth.toml");
    let text = std::fs::read_to_string(&file).expect("the configuration can be read");
    let tables: Vec<&str> = text.split("\n[csp.").collect();
    let kept = |table: &&&str| !table.starts_with("CSP_GOES") && !table.starts_with("CSP_WORKS");
    let kept: Vec<&str> = tables.iter().filter(kept).copied().collect();
    std::fs::write(&file, kept.join("\n[csp.")).expect("the configuration can be written");
    host.restart().await;
    let snow = host.servicenow();

    let queues = host.admin_json("/queues").await;
    let orphaned = queue_counts(&queues).of_csp("CSP_GOES");
    assert_eq!(orphaned, 3, "operators see them: {queues}");
    let warned = |line: &Value| line["csp"] == "CSP_GOES" && line["level"] == "WARN";
    host.logged("a warning", warned).await;
    let ended = snow.collect_all("/provisioning-jobs", 3).await;
    assert_eq!(ids(&ended).len(), 3);
    for message in &ended {
        let response = message.response();
        assert_eq!(
            (&message["code"], &response["status"]["status"]),
            (&json!(500), &json!("FAILURE"))
        );
        let details = response["details"].as_str().expect("a sentence");
        assert!(details.contains("no longer in the configuration"), "{details}");
    }
    let order = ended.iter().map(|m| &m["initialSnowRequest"]["jobId"]);
    let order: Vec<_> = order.filter(|id| *id != "accepted").collect();
    assert_eq!(order, ["in-hand", "waits-its-turn"]);
    assert_eq!(snow.cost_outcome().await.code(), 500);
    host.emptied().await;
}

#[tokio::test]
async fn a_csp_that_is_configured_as_paused_waits_for_its_operator() {
    let csp = csp::sync().await;
    let mut host = Setup::new().csp_with("CSP_TEST", &csp, "paused = true").start().await;
    host.servicenow().provision(&job("job-1", "CSP_TEST", "ADD_TASK_ORDER")).await;
    host.kill().await;
    host.restart().await;
    assert_eq!(host.admin_json("/csps/CSP_TEST").await["paused"], true);
    let explained = host.admin_json("/queues/provisioning-requests-CSP_TEST/explain").await;
    assert_eq!((&explained["depth"], csp::calls(&csp).len()), (&json!(1), 0), "{explained}");
    let resume = client().post(format!("{}/csps/CSP_TEST/resume", host.admin()));
    assert_eq!(resume.send().await.expect("HOTH answers").status(), 200);
    assert_eq!(host.servicenow().outcome().await.code(), 200);
}

#[tokio::test]
async fn a_host_that_must_stop_at_once_returns_its_leased_messages() {
    let csp = csp::scripted([Answer::hang(), Answer::json(200, &json!({"id": "t"}))]).await;
    let mut host =
        Setup::new().csp("CSP_TEST", &csp).with("[worker]\ndrain_ms = 100").start().await;
    host.servicenow().provision(&job("job-1", "CSP_TEST", "ADD_TASK_ORDER")).await;
    csp::wait_for_calls(&csp, 1).await;
    assert_eq!(host.terminate().await, Some(0));
    host.restart().await;
    assert_eq!(host.servicenow().outcome().await.code(), 200);
}

#[tokio::test]
async fn a_host_whose_queue_file_is_removed_ends_and_loses_nothing() {
    let gate = Gate::closed();
    let csp = csp::scripted([Answer::behave().held_by(&gate)]).await;
    let mut host = Setup::new().csp("CSP_TEST", &csp).start().await;
    for job in numbered(7) {
        host.servicenow().provision(&job).await;
    }
    csp::wait_for_calls(&csp, 7).await;
    std::fs::remove_file(host.directory().join("data/hoth.db")).expect("the file can be removed");
    assert_eq!(host.ended().await, Some(1));
    let said = host.log().iter().any(|line| {
        let text = line.to_string();
        text.contains("was removed or moved while the host was running")
    });
    assert!(said, "{:?}", host.log());
    gate.open();
    host.restart().await;
    let messages = host.servicenow().collect_all("/provisioning-jobs", 7).await;
    assert_eq!(ids(&messages).len(), 7);
}

#[tokio::test]
async fn a_stopped_host_leaves_one_file_that_holds_every_job() {
    let csp = csp::sync().await;
    let mut host = Setup::new().csp_with("CSP_TEST", &csp, "paused = true").start().await;
    for job in numbered(20) {
        host.servicenow().provision(&job).await;
    }
    assert_eq!(host.terminate().await, Some(0));
    let data = host.directory().join("data");
    assert!(!data.join("hoth.db-wal").exists(), "a copy of the database holds everything");
    let copy = std::fs::read(data.join("hoth.db")).expect("the file can be read");
    std::fs::remove_dir_all(&data).expect("the directory can be removed");
    std::fs::create_dir(&data).expect("the directory can be made");
    std::fs::write(data.join("hoth.db"), copy).expect("the file can be written");
    host.restart().await;
    let resume = client().post(format!("{}/csps/CSP_TEST/resume", host.admin()));
    assert_eq!(resume.send().await.expect("HOTH answers").status(), 200);
    let messages = host.servicenow().collect_all("/provisioning-jobs", 20).await;
    assert_eq!(ids(&messages).len(), 20);
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
    let output = String::from_utf8_lossy(&second.stderr);
    assert!(output.contains(&host.process_id().to_string()), "{output}");
}
