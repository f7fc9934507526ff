//! Messages that no host should get, and jobs that make a host panic: each ends
//! alone, and in a message.

use serde_json::Value;
use serde_json::json;

use hoth_platform::failpoint;

use crate::csp;
use crate::harness::Outcome;
use crate::harness::Setup;
use crate::harness::job;

const REQUESTS: &str = "provisioning-requests-CSP_TEST";

/// Returns the message of a job as HOTH stores it.
fn stored(id: &str, csp: &str, payload: &str) -> String {
    let request = format!(
        r#"{{"jobId":"{id}","operationType":"ADD_PORTFOLIO","targetCspName":"{csp}","payload":{payload}}}"#
    );
    let job = format!(
        r#"{{"id":"{id}","kind":"provisioning","operation":"add-portfolio","csp":"{csp}","request":{request}}}"#
    );
    format!(r#"{{"v":1,"job":{job},"accepted_at":1700000000000}}"#)
}

fn response_details(outcome: &Outcome) -> &str {
    outcome["content"]["response"]["details"].as_str().expect("a text")
}

#[tokio::test]
async fn messages_of_another_program_end_in_one_message_each_without_a_call() {
    let csp = csp::sync().await;
    let mut host = Setup::new().csp("CSP_TEST", &csp).csp("CSP_OTHER", &csp).start().await;
    host.leaves_work("the messages become dead letters");
    // Makes the row of the queue.
    host.servicenow().provision(&job("first", "CSP_TEST", "ADD_PORTFOLIO")).await;
    assert_eq!(host.servicenow().outcome().await.code(), 200);
    host.emptied().await;
    let calls = csp::calls(&csp).len();
    assert_eq!(host.terminate().await, Some(0));

    let file = host.directory().join("data/hoth.db");
    let sql = rusqlite::Connection::open(file).expect("the queue is a database");
    for (id, body) in [
        ("no-json", "no job".to_owned()),
        ("half-pair", stored("half-pair", "CSP_TEST", r#"{"\ud800":1}"#)),
        ("other-csp", stored("other-csp", "CSP_OTHER", r#"{"name":"a"}"#)),
    ] {
        let inserted = sql.execute(
            "INSERT INTO messages (queue, grp, key, sent_at, visible_at, head)
             SELECT id, ?1, ?1, 0, 0, 1 FROM queues WHERE name = ?2",
            [id, REQUESTS],
        );
        assert_eq!(inserted.expect("it can be written"), 1);
        sql.execute("INSERT INTO bodies VALUES (last_insert_rowid(), ?1)", [&body])
            .expect("it can be written");
    }
    drop(sql);
    host.restart().await;
    let mut outcomes = host.servicenow().collect_all("/provisioning-jobs", 3).await;
    outcomes.sort_by_key(|outcome| outcome.job_id().to_owned());
    let told: Vec<_> =
        outcomes.iter().map(|one| (one.job_id(), one.code(), response_details(one))).collect();
    assert_eq!(told[0].0, "half-pair");
    assert!(told[0].2.contains("a queued message whose request the API does not accept"));
    assert_eq!(told[1].0, "no-json");
    assert_eq!(
        told[2],
        (
            "other-csp",
            500,
            "the stored job belongs on the queue provisioning-requests-CSP_OTHER, and was found \
             on provisioning-requests-CSP_TEST"
        )
    );
    assert!(told.iter().all(|(_, code, _)| *code == 500), "{told:?}");
    assert_eq!(csp::calls(&csp).len(), calls, "no call was made");
    let letters = host.admin_json(&format!("/queues/{REQUESTS}/dead-letters")).await;
    let letters = letters["deadLetters"].as_array().expect("a list");
    assert_eq!(letters.len(), 3);
    for letter in letters {
        assert_eq!(letter["receiveCount"], 1, "{letter}");
    }
    let panicked = |line: &Value| line.to_string().contains("panicked");
    assert!(!host.log().iter().any(panicked), "a message made the host panic");
}

#[tokio::test]
async fn a_panic_in_one_job_ends_that_job_alone_in_a_message() {
    let csp = csp::sync().await;
    let host = Setup::new()
        .csp("CSP_TEST", &csp)
        .environment(failpoint::VARIABLE, "job-received:panic")
        .start()
        .await;
    host.leaves_work("the job that panics becomes a dead letter");
    let snow = host.servicenow();
    // One portfolio: the first job panics, and the second one follows.
    for id in ["panics", "follows"] {
        let mut job = job(id, "CSP_TEST", "ADD_TASK_ORDER");
        job["portfolioId"] = json!("p");
        snow.provision(&job).await;
    }
    let outcomes = snow.collect_all("/provisioning-jobs", 2).await;
    assert_eq!((outcomes[0].job_id(), outcomes[0].code()), ("panics", 500));
    assert_eq!(
        response_details(&outcomes[0]),
        "HOTH failed while it processed the job; its log has the reason"
    );
    assert_eq!(outcomes[0].status(), "FAILURE");
    assert_eq!((outcomes[1].job_id(), outcomes[1].code()), ("follows", 200));
    assert_eq!(csp::calls(&csp).len(), 1, "the job that panicked made no call");
}
