//! Polling of jobs that a CSP works on.

use std::time::Duration;

use serde_json::json;

use mock_csp::MockCsp;

use crate::csp;
use crate::csp::Answer;
use crate::harness::Outcome;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::job;

const STATUS: &str = "/atat/api/v1/provisioning/9/status";

fn accepted() -> Answer {
    Answer::json(202, &json!({"status": "NOT_STARTED"})).header("location", STATUS)
}

fn status(word: &str) -> Answer {
    Answer::json(
        200,
        &json!({
            "provisioning_job_id": "9", "portfolio_id": "p-1", "environment_id": "e-9", "status": word
        }),
    )
}

async fn host(csp: &MockCsp) -> TestHost {
    Setup::new().csp("CSP_TEST", csp).start().await
}

/// Returns the outcome of an ADD_ENVIRONMENT that is accepted and whose polls
/// get these answers, and the number of polls.
async fn message_after(polls: impl IntoIterator<Item = Answer>) -> (Outcome, usize) {
    let csp = csp::scripted([accepted()].into_iter().chain(polls)).await;
    let message =
        Setup::new().csp("CSP_TEST", &csp).run(&job("job-1", "CSP_TEST", "ADD_ENVIRONMENT")).await;
    assert_eq!(message["initialSnowRequest"], job("job-1", "CSP_TEST", "ADD_ENVIRONMENT"));
    (message, csp::calls(&csp).len() - 1)
}

#[tokio::test]
async fn both_success_states_end_a_job() {
    for word in ["SUCCESS", "COMPLETE"] {
        let (message, polls) =
            message_after([status("NOT_STARTED"), status("IN_PROGRESS"), status(word)]).await;
        let location = message.request()["location"].as_str().expect("a location").to_owned();
        assert!(location.ends_with(STATUS), "{location}");
        assert_eq!(message.code(), 200);
        assert_eq!(
            *message.response(),
            json!({
                "status": {"provisioningJobId": "9", "portfolioId": "p-1", "environmentId": "e-9", "status": word},
                "location": location,
                "$metadata": {"status": 200, "request": {"location": location}}
            })
        );
        assert_eq!(polls, 3);
    }
}

#[tokio::test]
async fn both_failure_states_end_a_job_with_a_failure_code() {
    for word in ["FAILURE", "FAILED"] {
        let (message, polls) = message_after([status(word)]).await;
        assert_eq!(message.code(), 500);
        assert_eq!(message.status(), word);
        assert_eq!(polls, 1);
    }
}

#[tokio::test]
async fn the_code_of_a_failed_job_can_be_that_of_the_predecessor() {
    let csp = csp::scripted([accepted(), status("FAILED")]).await;
    let outcome = Setup::new()
        .csp("CSP_TEST", &csp)
        .with("[provisioning]\nasync_failure_code = 200")
        .run(&job("job-1", "CSP_TEST", "ADD_ENVIRONMENT"))
        .await;
    assert_eq!(outcome.code(), 200);
}

#[tokio::test]
async fn failed_polls_are_repeated_at_the_next_interval() {
    let (message, polls) = message_after([
        Answer::text(503, ""),
        Answer::reset_after_read(),
        Answer::text(404, ""),
        Answer::text(200, "not json"),
        status("WONDERING"),
        Answer::text(429, ""),
        // Polled once more with a fresh token, in the same interval.
        Answer::text(401, ""),
        Answer::text(401, ""),
        status("SUCCESS"),
    ])
    .await;
    assert_eq!(message.code(), 200, "{message}");
    assert_eq!(polls, 9);
}

#[tokio::test]
async fn five_404_in_a_row_end_a_job() {
    let unknown = || Answer::json(404, &json!({"not_here": 1}));
    let (message, polls) = message_after(
        [unknown(), unknown(), unknown(), unknown(), status("IN_PROGRESS")]
            .into_iter()
            .chain(std::iter::once(unknown())),
    )
    .await;
    assert_eq!(message.code(), 404);
    assert_eq!(*message.response(), json!({"notHere": 1}));
    assert_eq!(polls, 4 + 1 + 5);
}

#[tokio::test]
async fn a_job_that_never_ends_fails_at_the_deadline() {
    let csp = csp::scripted([accepted(), status("IN_PROGRESS")]).await;
    let message = Setup::new()
        .csp("CSP_TEST", &csp)
        .with("[polling]\ninitial_ms = 20\nmax_ms = 100\ndeadline_hours = 0.0002")
        .run(&job("job-1", "CSP_TEST", "ADD_ENVIRONMENT"))
        .await;
    assert_eq!(message.code(), 504, "{message}");
    assert_eq!(message.response()["status"]["portfolioId"], "p-1");
}

#[tokio::test]
async fn locations_may_be_absolute_or_relative_to_the_url_that_was_called() {
    for (location, path) in [
        ("/else/where?x=1", "/else/where?x=1"),
        ("status/7", "/atat/api/v1/portfolios/p-1/status/7"),
        ("../../jobs/7", "/atat/api/v1/jobs/7"),
    ] {
        let first = Answer::json(202, &json!({})).header("location", location);
        let csp = csp::scripted([first, status("IN_PROGRESS"), status("SUCCESS")]).await;
        let outcome = Setup::new()
            .csp("CSP_TEST", &csp)
            .run(&job("job-1", "CSP_TEST", "ADD_ENVIRONMENT"))
            .await;
        assert_eq!(outcome.code(), 200);
        for call in &csp::calls(&csp)[1..] {
            assert_eq!(csp::line(call), format!("GET {path}"));
        }
    }
}

#[tokio::test]
async fn a_foreign_location_is_followed_only_if_the_operator_names_its_origin() {
    let elsewhere = csp::scripted([status("SUCCESS")]).await;
    let location = format!("{}/jobs/1", csp::origin(&elsewhere));
    let first = Answer::json(202, &json!({})).header("location", &location);

    let csp = csp::scripted([first.clone()]).await;
    let refusing = host(&csp).await;
    let snow = refusing.servicenow();
    snow.provision(&job("job-1", "CSP_TEST", "ADD_ENVIRONMENT")).await;
    assert_eq!(snow.outcome().await.code(), 500);
    assert_eq!(csp::calls(&elsewhere).len(), 0);

    let csp = csp::scripted([first]).await;
    let allowed = format!("allowed_origins = [\"{}\"]", csp::origin(&elsewhere));
    let following = Setup::new().csp_with("CSP_TEST", &csp, &allowed).start().await;
    let snow = following.servicenow();
    snow.provision(&job("job-1", "CSP_TEST", "ADD_ENVIRONMENT")).await;
    assert_eq!(snow.outcome().await.code(), 200);
    assert_eq!(csp::calls(&elsewhere).len(), 1);
}

#[tokio::test]
async fn polls_honour_retry_after() {
    let csp = csp::scripted([
        accepted(),
        status("IN_PROGRESS").header("retry-after", "1"),
        status("SUCCESS"),
    ])
    .await;
    let outcome =
        Setup::new().csp("CSP_TEST", &csp).run(&job("job-1", "CSP_TEST", "ADD_ENVIRONMENT")).await;
    assert_eq!(outcome.code(), 200);
    let calls = csp::calls(&csp);
    let apart = csp::apart(&calls[1], &calls[2]);
    assert!(apart >= Duration::from_millis(990), "{apart:?}");
}

#[tokio::test]
async fn every_operation_succeeds_at_an_asynchronous_csp() {
    let csp = csp::asynchronous(2).await;
    let host = host(&csp).await;
    let snow = host.servicenow();
    let operations = [
        "ADD_PORTFOLIO",
        "ADD_ENVIRONMENT",
        "ADD_TASK_ORDER",
        "UPDATE_TASK_ORDER",
        "ADD_OPERATORS",
    ];
    for operation in operations {
        snow.provision(&job(operation, "CSP_TEST", operation)).await;
    }
    for message in snow.collect_all("/provisioning-jobs", operations.len()).await {
        assert_eq!(message.code(), 200, "{message}");
        assert!(message.response()["location"].is_string(), "{message}");
    }
    csp::assert_no_violations(&csp);
}
