//! A kill at every named step of a job, which must end in one message.

use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use hoth_platform::failpoint;
use hoth_platform::failpoint::FailPoint;

use crate::csp;
use crate::csp::Answer;
use crate::harness::Answer as HothAnswer;
use crate::harness::PATIENCE;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::job;
use crate::harness::queue_counts;

/// The number of hosts that run at the same time.
const HOSTS_AT_ONCE: usize = 3;

/// Steps that only a client with leases reaches.
const LEASED: &[FailPoint] =
    &[FailPoint::AcknowledgementReceived, FailPoint::BatchAcknowledged, FailPoint::BatchReleased];

/// Steps that only an unreadable job reaches.
const DEAD_LETTERED: &[FailPoint] = &[FailPoint::BeforeDeadLetter, FailPoint::AfterDeadLetter];

/// A client that acts as ServiceNow and restarts the host when it dies. A
/// request without an answer is sent again.
struct Persistent {
    host: TestHost,
    deaths: u32,
}

impl Persistent {
    async fn ask(&mut self, method: Method, path: &str, body: Option<&Value>) -> HothAnswer {
        loop {
            let snow = self.host.servicenow();
            match snow.try_send(method.clone(), path, body).await {
                Ok(answer) => return answer,
                Err(_) => self.revive().await,
            }
        }
    }

    /// Waits until the host has died at its fail point, and starts it again.
    async fn revive(&mut self) {
        self.host.died().await;
        self.deaths += 1;
        self.host.restart().await;
    }

    async fn submit(&mut self) {
        let answer = self.ask(Method::POST, "/provisioning-jobs", Some(&the_job())).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }

    async fn get(&mut self, query: &str) -> HothAnswer {
        let path = format!("/provisioning-jobs?{query}");
        let answer = self.ask(Method::GET, &path, None).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer
    }

    /// Sends a `GET` with this query until an outcome comes.
    async fn first(&mut self, query: &str) -> HothAnswer {
        let started_at = std::time::Instant::now();
        loop {
            let answer = self.get(query).await;
            if answer.text != "[]" {
                return answer;
            }
            assert!(started_at.elapsed() < PATIENCE, "no outcome came");
        }
    }

    /// Consumes until the queues are empty, and returns every message that
    /// came.
    async fn consume(&mut self) -> Vec<Value> {
        let mut got = array(&self.first("wait=1").await);
        // A consumed message has been deleted, unless the host died before.
        while self.left().await > 0 {
            got.extend(array(&self.get("wait=0").await));
        }
        got
    }

    /// Returns the number of messages on all queues together.
    async fn left(&mut self) -> u64 {
        loop {
            match self.host.try_admin_json("/queues").await {
                Ok(answer) => return queue_counts(&answer).messages(),
                Err(_) => self.revive().await,
            }
        }
    }

    async fn settle(&mut self, how: &str, batch: &str) {
        let path = format!("/provisioning-jobs/{how}");
        let answer = self.ask(Method::POST, &path, Some(&json!({"batch": batch}))).await;
        // A release that took effect before the host died finds its lease
        // ended.
        let done = answer.status == 200 || how == "release" && answer.status == 409;
        assert!(done, "{how}: {} {}", answer.status, answer.text);
    }
}

fn the_job() -> Value {
    job("job-1", "CSP_TEST", "ADD_ENVIRONMENT")
}

fn array(answer: &HothAnswer) -> Vec<Value> {
    answer.json().as_array().expect("a list of messages").clone()
}

fn batch(answer: &HothAnswer) -> String {
    answer.headers["hoth-batch"].to_str().expect("a batch has a name").to_owned()
}

/// Starts a host that dies at `point`, at the `time`th pass, with a CSP that
/// refuses the first call and works on the job for two polls.
async fn start(point: FailPoint, time: u32) -> (Persistent, mock_csp::MockCsp) {
    let csp = csp::asynchronous(2).await;
    csp.script([Answer::json(503, &json!({})), Answer::behave()]);
    let host = Setup::new()
        .csp("CSP_TEST", &csp)
        .environment(failpoint::VARIABLE, &format!("{}@{time}", point.name()))
        .start()
        .await;
    (Persistent { host, deaths: 0 }, csp)
}

/// Runs a job for a client that consumes. Returns the messages, and the number
/// of deaths.
async fn consuming(point: FailPoint, time: u32) -> (Vec<Value>, u32) {
    let (mut snow, _csp) = start(point, time).await;
    snow.submit().await;
    let mut got = snow.consume().await;
    if point == FailPoint::OutcomesDeleted && snow.deaths == 0 {
        // The client had the whole answer when the host died.
        snow.revive().await;
        got.extend(array(&snow.get("wait=0").await));
    }
    if point == FailPoint::OutcomesRedelivered {
        let first = got;
        let ids = json!({"jobIds": ["job-1"]});
        let path = "/provisioning-jobs/redeliver";
        let answer = snow.ask(Method::POST, path, Some(&ids)).await;
        assert_eq!(answer.json()["redelivered"], 0, "it was put back before the host died");
        got = snow.consume().await;
        assert_eq!(got, first);
    }
    (got, snow.deaths)
}

/// Runs a job for a client that leases, returns the batch once, leases again
/// and acknowledges. Returns the messages that it acknowledged, and the number
/// of deaths.
async fn leasing(point: FailPoint) -> (Vec<Value>, u32) {
    let (mut snow, _csp) = start(point, 1).await;
    snow.submit().await;
    let returned = snow.first("lease=600&wait=1").await;
    snow.settle("release", &batch(&returned)).await;
    let kept = snow.first("lease=600&wait=1").await;
    assert_eq!(kept.text, returned.text);
    snow.settle("ack", &batch(&kept)).await;
    assert_eq!(snow.left().await, 0);
    (array(&kept), snow.deaths)
}

/// Runs a job whose message becomes unreadable in its queue. Returns the
/// messages, and the number of deaths.
async fn unreadable(point: FailPoint) -> (Vec<Value>, u32) {
    let (mut snow, _csp) = start(FailPoint::JobReceived, 1).await;
    snow.host.leaves_work("the unreadable job becomes a dead letter");
    // The host may die before it answers the POST.
    let (servicenow, body) = (snow.host.servicenow(), the_job());
    let _ = servicenow.try_send(Method::POST, "/provisioning-jobs", Some(&body)).await;
    snow.host.died().await;
    let file = snow.host.directory().join("data/hoth.db");
    let sql = rusqlite::Connection::open(file).expect("the queue is a database");
    sql.execute("UPDATE bodies SET body = 'no job'", []).expect("it can be written");
    drop(sql);
    snow.host.set_environment(failpoint::VARIABLE, point.name());
    snow.host.restart().await;
    let got = snow.consume().await;
    let letters = snow.host.admin_json("/queues/provisioning-requests-CSP_TEST/dead-letters").await;
    assert_eq!(letters["deadLetters"].as_array().map(Vec::len), Some(1), "{letters}");
    (got, snow.deaths)
}

async fn run_with_kill(point: FailPoint) {
    let (got, deaths) = if LEASED.contains(&point) {
        leasing(point).await
    } else if DEAD_LETTERED.contains(&point) {
        unreadable(point).await
    } else {
        consuming(point, 1).await
    };
    let name = point.name();
    assert_eq!(deaths, 1, "{name}: no job comes to this step, or the build has no fail points");
    // The client had the whole answer when the host died, and the host could
    // not know: the outcome comes again, unchanged. The same may happen where
    // the outcome had just been stored, as a waiting client gets it at once.
    let had = point == FailPoint::OutcomesLeft;
    let may_have_had =
        had || [FailPoint::AfterOutcome, FailPoint::AfterDeadLetter].contains(&point);
    let copies = 1 + usize::from(had)..=1 + usize::from(may_have_had);
    assert!(copies.contains(&got.len()), "{name}: {got:#?}");
    assert!(got.iter().all(|message| *message == got[0]), "{name}: {got:#?}");
    let code = if DEAD_LETTERED.contains(&point) { 500 } else { 200 };
    assert_eq!(got[0]["code"], code, "{name}: {got:#?}");
}

#[tokio::test]
async fn a_kill_at_any_step_of_a_job_leaves_one_message() {
    let runs = futures_util::stream::iter(FailPoint::JOB.iter().map(|point| run_with_kill(*point)));
    runs.buffer_unordered(HOSTS_AT_ONCE).collect::<()>().await;
}

/// Kills a host before and after every commit of a job, named step or not: one
/// host after the other, until a job ends before its host reaches the fail
/// point.
#[tokio::test]
async fn a_kill_at_any_commit_leaves_one_message() {
    for point in [FailPoint::BeforeCommit, FailPoint::AfterCommit] {
        for time in 1.. {
            let (got, deaths) = consuming(point, time).await;
            let copies = got.len();
            assert!(copies == 1 || copies == 2 && deaths == 1, "{point:?}@{time}: {got:#?}");
            assert!(got.iter().all(|message| message["code"] == 200), "{got:#?}");
            if deaths == 0 {
                assert!(time > 8, "a job has more commits than {time}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn an_unknown_fail_point_is_refused_with_the_list_of_all() {
    let csp = csp::sync().await;
    let mut host = Setup::new().csp("CSP_TEST", &csp).start().await;
    host.leaves_work("the host is stopped");
    assert_eq!(host.terminate().await, Some(0));
    let refused = tokio::process::Command::new(env!("CARGO_BIN_EXE_hoth"))
        .args(["serve", "--config", "hoth.toml"])
        .current_dir(host.directory())
        .env(failpoint::VARIABLE, "somewhere")
        .output();
    let refused = tokio::time::timeout(Duration::from_secs(30), refused).await;
    let refused = refused.expect("it ends").expect("the program can be started");
    assert_eq!(refused.status.code(), Some(2));
    let output = String::from_utf8_lossy(&refused.stderr);
    for point in FailPoint::ALL {
        assert!(output.contains(point.name()), "{output}");
    }
}
