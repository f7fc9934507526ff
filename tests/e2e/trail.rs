//! The trail and the status of jobs, on a real host.

use std::path::PathBuf;

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

const STATUS: &str = "/atat/api/v1/provisioning/9/status";

pub fn accepted() -> Answer {
    let answer = Answer::json(202, &json!({"status": "NOT_STARTED"}));
    // Long enough to be seen.
    answer.header("location", STATUS).header("retry-after", "2")
}

pub fn status(word: &str) -> Answer {
    Answer::json(
        200,
        &json!({
            "provisioning_job_id": "9", "portfolio_id": "p-1", "environment_id": "e-9",
            "status": word
        }),
    )
}

async fn pause(host: &TestHost, act: &str) {
    let url = format!("{}/csps/CSP_TEST/{act}", host.admin());
    let answer = client().post(url).send().await.expect("the admin API answers");
    assert_eq!(answer.status(), 200);
}

/// Waits until a job is in this state, and returns its status.
pub async fn reaches(host: &TestHost, id: &str, state: &str) -> Value {
    let what = format!("{id} is {state}");
    eventually(&what, || async {
        let path = format!("/provisioning-jobs/{id}");
        let answer = host.servicenow().send(Method::GET, &path, None).await;
        let status = (answer.status == 200).then(|| answer.json())?;
        (status["state"] == state).then_some(status)
    })
    .await
}

/// Waits until the trail has an event, and returns the job.
pub async fn told(host: &TestHost, id: &str, event: &str) -> Value {
    eventually(&format!("{event} of {id} in the trail"), || async {
        let job = host.try_admin_json(&format!("/jobs/{id}")).await.ok()?;
        events(&job).iter().any(|one| one == event).then_some(job)
    })
    .await
}

pub fn events(job: &Value) -> Vec<String> {
    let events = job["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    events.iter().map(|event| event["event"].as_str().unwrap_or_default().to_owned()).collect()
}

fn file(host: &TestHost) -> PathBuf {
    host.directory().join("data/trail.db")
}

#[tokio::test]
async fn a_job_is_followed_from_its_acceptance_to_its_collection() {
    let csp = csp::scripted([Answer::json(503, &json!({})), accepted(), status("SUCCESS")]).await;
    let mut host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let snow = host.servicenow();
    assert_eq!(snow.send(Method::GET, "/provisioning-jobs/job-1", None).await.status, 404);

    pause(&host, "pause").await;
    snow.provision(&job("job-1", "CSP_TEST", "ADD_ENVIRONMENT")).await;
    let held = reaches(&host, "job-1", "HELD").await;
    assert_eq!(
        held["detail"],
        "Operators have paused CSP_TEST; the job goes on when they resume it."
    );
    pause(&host, "resume").await;
    let waiting = reaches(&host, "job-1", "WAITING").await;
    assert_eq!((&waiting["targetCspName"], &waiting["requests"]), (&json!("CSP_TEST"), &json!(1)));
    assert!(waiting["nextLookAt"].is_string() && waiting["deadlineAt"].is_string(), "{waiting}");
    let succeeded = reaches(&host, "job-1", "SUCCEEDED").await;
    assert_eq!(succeeded["outcome"]["code"], 200);
    assert_eq!(snow.outcome().await.code(), 200);
    let collected = reaches(&host, "job-1", "COLLECTED").await;
    assert!(collected["outcome"]["collectedAt"].is_string(), "{collected}");
    told(&host, "job-1", "collected").await;

    host.terminate().await;
    host.restart_at_once().await;
    let found = host.admin_json("/jobs/job-1").await;
    let row = &found["job"];
    assert_eq!((&row["state"], &row["code"]), (&json!("COLLECTED"), &json!(200)));
    let mut seen = events(&found);
    assert!(seen.iter().any(|event| event == "credential-obtained"), "{seen:?}");
    // A token may be fetched once more, and runs may have ids of traces.
    seen.retain(|event| !["credential-obtained", "traced"].contains(&event.as_str()));
    let expected = [
        "accepted",
        "received",
        "adapter-called",
        "request-tried",
        "request-tried",
        "adapter-called",
        "waits",
        "received",
        "adapter-called",
        "request-tried",
        "adapter-called",
        "ended",
        "collected",
    ];
    assert_eq!(seen, expected);
    let tried: Vec<&Value> = found["events"].as_array().into_iter().flatten().collect();
    let tried: Vec<&&Value> =
        tried.iter().filter(|event| event["event"] == "request-tried").collect();
    assert_eq!((&tried[0]["status"], &tried[1]["status"]), (&json!(503), &json!(202)));
    assert!(tried[0]["nextMs"].is_number() && tried[0]["tookUs"].is_number(), "{}", tried[0]);
    let list = host.admin_json("/jobs?id=job-1&state=COLLECTED").await;
    assert_eq!(list["jobs"].as_array().map(Vec::len), Some(1));
    let acts = host.admin_json("/audit?object=CSP_TEST").await;
    let act = |n: usize| acts["acts"][n]["act"].clone();
    assert_eq!((act(0), act(1)), (json!("resume"), json!("pause")));

    // Neither the payload nor the operators' addresses are in it.
    host.terminate().await;
    let mut text = std::fs::read(file(&host)).expect("the trail is a file");
    // Its log is copied to it later.
    text.extend(std::fs::read(file(&host).with_file_name("trail.db-wal")).unwrap_or_default());
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("job-1"));
    for secret in ["administrators", "dodId", "classificationLevel"] {
        assert!(!text.contains(secret), "{secret}");
    }
    host.restart_at_once().await;
}

#[tokio::test]
async fn the_status_of_a_job_in_hand_is_running() {
    let gate = Gate::closed();
    let csp = csp::scripted([Answer::behave().held_by(&gate)]).await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let snow = host.servicenow();
    snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    csp::wait_for_calls(&csp, 1).await;
    let running = reaches(&host, "job-1", "RUNNING").await;
    let detail = running["detail"].as_str().expect("a sentence");
    assert!(detail.starts_with("HOTH works on it with CSP_TEST since "), "{detail}");
    assert_eq!((&running["outcome"], &running["nextLookAt"]), (&Value::Null, &Value::Null));
    gate.open();
    reaches(&host, "job-1", "SUCCEEDED").await;
    snow.outcome().await;
}

#[tokio::test]
async fn the_status_of_a_dead_letter_is_dead_until_it_is_sent_again() {
    let csp = csp::sync().await;
    let mut host = Setup::new().csp("CSP_TEST", &csp).start().await;
    pause(&host, "pause").await;
    host.servicenow().provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    assert_eq!(host.terminate().await, Some(0));
    // As if each delivery so far had ended the process.
    let queue = host.directory().join("data/hoth.db");
    let sql = rusqlite::Connection::open(queue).expect("the queue is a database");
    let changed = sql.execute("UPDATE messages SET receive_count = 20", []);
    assert_eq!(changed.expect("it can be written"), 1);
    drop(sql);
    host.restart().await;
    let snow = host.servicenow();
    let dead = reaches(&host, "job-1", "DEAD").await;
    let detail = dead["detail"].as_str().expect("a sentence");
    assert!(detail.contains("started 20 times"), "{detail}");
    assert_eq!(
        (&dead["outcome"]["code"], &dead["targetCspName"]),
        (&json!(500), &json!("CSP_TEST"))
    );
    // Its failure message is an outcome like others, and it stays dead.
    assert_eq!(snow.outcome().await.code(), 500);
    eventually("the collection in the status", || async {
        let dead = reaches(&host, "job-1", "DEAD").await;
        dead["outcome"]["collectedAt"].is_string().then_some(())
    })
    .await;
    let queue = "provisioning-requests-CSP_TEST";
    let url = format!("{}/queues/{queue}/redrive", host.admin());
    let redriven = client().post(url).json(&json!({})).send().await.expect("HOTH answers");
    assert_eq!(redriven.status(), 200);
    let succeeded = reaches(&host, "job-1", "SUCCEEDED").await;
    assert_eq!(succeeded["outcome"]["code"], 200);
    assert_eq!(snow.outcome().await.code(), 200);
}

#[tokio::test]
async fn without_a_trail_the_queue_tells() {
    let csp = csp::scripted([accepted(), status("SUCCESS")]).await;
    let host = Setup::new().csp("CSP_TEST", &csp).with("[trail]\nenabled = false\n").start().await;
    let snow = host.servicenow();
    snow.provision(&job("job-1", "CSP_TEST", "ADD_ENVIRONMENT")).await;
    reaches(&host, "job-1", "WAITING").await;
    reaches(&host, "job-1", "SUCCEEDED").await;
    assert_eq!(snow.outcome().await.code(), 200);
    let collected = reaches(&host, "job-1", "COLLECTED").await;
    assert_eq!(collected["outcome"]["code"], 200);
    assert!(!file(&host).exists());
    let found = host.admin_json("/jobs/job-1").await;
    assert_eq!((&found["status"]["state"], &found["job"]), (&json!("COLLECTED"), &Value::Null));
}

#[tokio::test]
async fn a_trail_that_is_damaged_deleted_or_unusable_stops_no_job() {
    let csp = csp::scripted([status("SUCCESS"), status("SUCCESS"), status("SUCCESS")]).await;
    let mut host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let run = async |host: &TestHost, id: &str| {
        host.servicenow().provision(&job(id, "CSP_TEST", "ADD_ENVIRONMENT")).await;
        host.servicenow().outcome().await;
    };
    run(&host, "job-1").await;
    told(&host, "job-1", "collected").await;
    host.terminate().await;
    let path = file(&host);
    std::fs::write(&path, vec![b'x'; 8_192]).expect("the trail is a file");
    // The log may hold all of it.
    for beside in ["trail.db-wal", "trail.db-shm"] {
        drop(std::fs::remove_file(path.with_file_name(beside)));
    }
    host.restart_at_once().await;
    run(&host, "job-2").await;
    told(&host, "job-2", "collected").await;
    assert!(path.with_file_name("trail.db.damaged").exists());

    std::fs::remove_file(&path).expect("the trail is a file");
    std::fs::create_dir(&path).expect("a directory in its place");
    run(&host, "job-3").await;
    host.logged("the warning", |line| line["event"] == "trail-failed").await;
    assert_eq!(reaches(&host, "job-3", "COLLECTED").await["state"], "COLLECTED");
}
