//! Several hosts on one set of queues, on SQS.
//!
//! `cargo xtask test` starts a local SQS and passes its address. With
//! `HOTH_TEST_SQS=aws` these tests run on AWS, and leave queues there whose
//! names begin with `hoth-e2e-`.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::csp;
use crate::csp::Answer;
use crate::harness::Outcome;
use crate::harness::PATIENCE;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::eventually;
use crate::harness::job;
use crate::sqs_wire::Wire;
use crate::supervision::ends_and_loses_nothing;

/// A short lease, and still one that a busy machine extends in time.
const LEASE: &str = "[worker]\nlease_seconds = 15\n";

fn set(wanted: &str) -> Option<String> {
    std::env::vars().find_map(|(name, value)| (name == wanted).then_some(value))
}

/// Returns the address of the local SQS, or `None` if the tests run on AWS.
pub fn endpoint() -> Option<String> {
    if set("HOTH_TEST_SQS").as_deref() == Some("aws") {
        return None;
    }
    let endpoint = set("HOTH_TEST_SQS_ENDPOINT");
    Some(endpoint.expect(
        "these tests need SQS: `cargo xtask test` starts a local one and sets \
         HOTH_TEST_SQS_ENDPOINT; HOTH_TEST_SQS=aws runs them on AWS",
    ))
}

/// Returns the configuration of queues at `endpoint` that no other test uses.
pub fn queues_at(endpoint: Option<&str>) -> String {
    let unique = uuid::Uuid::new_v4().simple().to_string();
    let queue = format!("backend = \"sqs\"\nprefix = \"hoth-e2e-{}-\"\n", &unique[..8]);
    match endpoint {
        None => queue,
        Some(url) => format!("{queue}region = \"us-east-1\"\nendpoint_url = \"{url}\"\n"),
    }
}

/// Returns a setup with queues on SQS that no other test uses.
pub fn on_sqs() -> Setup {
    Setup::new().queue(&queues_at(endpoint().as_deref()))
}

fn in_portfolio(id: &str, portfolio: &str) -> Value {
    let mut job = job(id, "CSP_TEST", "ADD_TASK_ORDER");
    job["portfolioId"] = json!(portfolio);
    job
}

fn id(message: &Outcome) -> String {
    message.job_id().to_owned()
}

#[tokio::test]
async fn a_background_task_of_the_queue_that_panics_ends_the_process_and_loses_no_job() {
    let queue = queues_at(endpoint().as_deref());
    let sentence = "a background task of the queue ended without a request to stop";
    ends_and_loses_nothing("queue-poll:panic", |setup| setup.queue(&queue), sentence).await;
}

#[tokio::test]
async fn hosts_share_the_work_and_each_portfolio_keeps_its_order() {
    const DELAY: Duration = Duration::from_millis(200);
    let csp = csp::slow(DELAY).await;
    let api = on_sqs().csp("CSP_TEST", &csp).roles("api").start().await;
    let snow = api.servicenow();
    let workers = [api.another("worker").await, api.another("worker,watcher").await];
    // At least thirty jobs, and as many as it takes for each worker to have
    // one: a worker that starts slowly finds the first ones taken.
    let (started_at, mut jobs) = (Instant::now(), 0);
    while jobs < 30 || !workers.iter().all(has_begun_a_job) {
        assert!(started_at.elapsed() < PATIENCE, "a worker has no job of {jobs}");
        let (id, portfolio) = (format!("job-{jobs:04}"), format!("p-{}", jobs % 6));
        snow.provision(&in_portfolio(&id, &portfolio)).await;
        jobs += 1;
    }
    let messages = snow.collect_all("/provisioning-jobs", jobs).await;

    let mut collected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for message in &messages {
        assert_eq!(message.code(), 200, "{message}");
        let portfolio = message["initialSnowRequest"]["portfolioId"].as_str().expect("an id");
        collected.entry(portfolio.to_owned()).or_default().push(id(message));
    }
    for (portfolio, ids) in collected {
        assert!(ids.is_sorted(), "{portfolio}: {ids:?}");
        let path = format!("/portfolios/{portfolio}/");
        let calls: Vec<_> =
            csp::calls(&csp).into_iter().filter(|call| csp::line(call).contains(&path)).collect();
        assert_eq!(calls.len(), ids.len(), "{portfolio}");
        for pair in calls.windows(2) {
            let apart = csp::apart(&pair[0], &pair[1]);
            assert!(apart >= DELAY, "two jobs of {portfolio} ran at once: {apart:?}");
        }
    }
}

fn has_begun_a_job(worker: &TestHost) -> bool {
    worker.log().iter().any(|line| line["event"] == "begin")
}

/// Checks two jobs with one id. SQS cannot tell that an id was used before with
/// other content, so the second one is another job with an outcome of its own.
#[tokio::test]
async fn an_id_that_is_used_for_two_jobs_has_two_outcomes() {
    let location = "/atat/api/v1/provisioning/1/status";
    let csp = csp::scripted([
        Answer::json(200, &json!({"id": "t"})),
        Answer::json(200, &json!({"id": "t"})),
        Answer::json(202, &json!({})).header("location", location),
        Answer::json(200, &json!({"status": "SUCCESS"})),
        Answer::json(202, &json!({})).header("location", location),
        Answer::json(200, &json!({"status": "SUCCESS"})),
    ])
    .await;
    let host = on_sqs().csp("CSP_TEST", &csp).start().await;
    let snow = host.servicenow();
    for operation in ["ADD_TASK_ORDER", "ADD_ENVIRONMENT"] {
        for portfolio in ["p-1", "p-2"] {
            let mut job = job(operation, "CSP_TEST", operation);
            job["portfolioId"] = json!(portfolio);
            snow.provision(&job).await;
            let outcome = snow.outcome().await;
            assert_eq!((&outcome["code"], &outcome["initialSnowRequest"]), (&json!(200), &job));
        }
    }
    let mut keys: Vec<_> = csp::calls(&csp)
        .into_iter()
        .filter(|call| csp::line(call).starts_with("POST"))
        .map(|call| csp::header(&call, "idempotency-key"))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 4, "a CSP sees four different requests");
}

#[tokio::test]
async fn another_host_takes_over_from_one_that_was_killed() {
    let csp = csp::scripted([Answer::hang(), Answer::json(200, &json!({"id": "t"}))]).await;
    let api = on_sqs().csp("CSP_TEST", &csp).with(LEASE).roles("api").start().await;
    let mut first = api.another("worker").await;
    let second_job = in_portfolio("job-2", "p-1");
    api.servicenow().provision(&in_portfolio("job-1", "p-1")).await;
    csp::wait_for_calls(&csp, 1).await;
    api.servicenow().provision(&second_job).await;
    let _second = api.another("worker").await;
    first.leaves_work("the host is killed");
    first.kill().await;
    let messages = api.servicenow().collect_all("/provisioning-jobs", 2).await;
    assert_eq!(messages.iter().map(id).collect::<Vec<_>>(), ["job-1", "job-2"]);
    let keys: Vec<_> =
        csp::calls(&csp).iter().map(|call| csp::header(call, "idempotency-key")).collect();
    assert_eq!(keys.len(), 3, "{keys:?}");
    assert!(keys[0].is_some() && keys[0] == keys[1] && keys[1] != keys[2], "{keys:?}");
}

#[tokio::test]
async fn a_waiting_job_is_polled_by_any_host_with_the_watcher_role() {
    let csp = csp::asynchronous(2).await;
    let api = on_sqs().csp("CSP_TEST", &csp).roles("api").start().await;
    let worker = api.another("worker").await;
    api.servicenow().provision(&job("job-1", "CSP_TEST", "ADD_ENVIRONMENT")).await;
    csp::wait_for_calls(&csp, 1).await;
    worker.logged("a job that waits", |line| line["event"] == "wait").await;
    let _watcher = api.another("watcher").await;
    assert_eq!(api.servicenow().outcome().await.code(), 200);
    csp::assert_no_violations(&csp);
}

#[tokio::test]
async fn a_batch_leased_from_one_host_is_acknowledged_at_another() {
    let csp = csp::sync().await;
    let here = on_sqs().csp("CSP_TEST", &csp).start().await;
    let there = here.another("api").await;
    let (at_first, at_second) = (here.servicenow(), there.servicenow());
    at_first.provision(&in_portfolio("job-1", "p-1")).await;
    let lease = async |seconds: u32| {
        let path = format!("/provisioning-jobs?wait=20&lease={seconds}");
        let answer = at_first.send(Method::GET, &path, None).await;
        assert_eq!(answer.json().as_array().map(Vec::len), Some(1), "{}", answer.text);
        let batch = answer.headers.get("hoth-batch").expect("a leased batch has a name");
        json!({"batch": batch.to_str().expect("letters")})
    };
    let settle = async |act: &str, batch: &Value| {
        let path = format!("/provisioning-jobs/{act}");
        at_second.send(Method::POST, &path, Some(batch)).await.status
    };
    let batch = lease(60).await;
    assert_eq!(settle("release", &batch).await, 200);
    let batch = lease(1).await;
    // An acknowledgement before the end would be taken.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(settle("ack", &batch).await, 409);
    let batch = lease(60).await;
    for _ in 0..2 {
        assert_eq!(settle("ack", &batch).await, 200);
    }
    assert_eq!(at_second.collect("/provisioning-jobs").await.len(), 0);
    let again = json!({"jobIds": ["job-1"]});
    assert_eq!(settle("redeliver", &again).await, 501);
}

// The connection to SQS must be served while the drop of the host blocks this
// thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_sqs_refuses_posts_and_recovers_by_itself() {
    let csp = csp::sync().await;
    let Some(endpoint) = endpoint() else {
        // AWS cannot be disconnected; the local server shows the same
        // behaviour.
        return;
    };
    let wire = Wire::to(&endpoint).await;
    // A receive that is cut off may still get the next job, which then waits
    // for the end of that lease.
    let setup = Setup::new().queue(&queues_at(Some(&wire.url))).with(LEASE);
    let host = setup.csp("CSP_TEST", &csp).start().await;
    let snow = host.servicenow();
    snow.provision(&in_portfolio("job-1", "p-1")).await;
    assert_eq!(snow.outcome().await.job_id(), "job-1");
    // An outcome that was collected and not deleted would block its group.
    host.emptied().await;

    wire.cut();
    let body = in_portfolio("job-2", "p-1");
    let refused = snow.send(Method::POST, "/provisioning-jobs", Some(&body)).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(snow.send(Method::GET, "/provisioning-jobs", None).await.status, 503);
    host.logged("workers that try again", |line| line["event"] == "receive-failed").await;

    wire.mend();
    eventually("a job to be accepted", || async {
        let answer = snow.send(Method::POST, "/provisioning-jobs", Some(&body)).await;
        (answer.status == 201).then_some(())
    })
    .await;
    assert_eq!(snow.outcome().await.job_id(), "job-2");
}
