//! The acts of operators on one job: look now, cancel, settle by hand.

use hoth_platform::failpoint;
use mock_csp::MockCsp;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::auth::bearer_keys;
use crate::csp;
use crate::csp::Answer;
use crate::csp::Gate;
use crate::harness::PATIENCE;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::cost;
use crate::harness::job;
use crate::operating::done;
use crate::operating::hoth;
use crate::several;
use crate::trail::events;
use crate::trail::reaches;
use crate::trail::told;

const STATUS: &str = "/atat/api/v1/provisioning/9/status";

/// Returns the answer of a CSP that asks to be polled in an hour.
fn accepted() -> Answer {
    let answer = Answer::json(202, &json!({"status": "NOT_STARTED"}));
    answer.header("location", STATUS).header("retry-after", "3600")
}

fn status(word: &str) -> Answer {
    let body = json!({"provisioning_job_id": "9", "portfolio_id": "p-1", "status": word});
    Answer::json(200, &body)
}

/// Starts a host with a job that waits for its CSP for an hour.
async fn waiting(then: impl IntoIterator<Item = Answer>) -> (TestHost, MockCsp) {
    let csp = csp::scripted([accepted()].into_iter().chain(then)).await;
    let setup = Setup::new().csp("CSP_TEST", &csp);
    // A pause as long as the hour is not longer than HOTH waits.
    let host = setup.environment("HOTH__RETRY__MAX_RETRY_AFTER_MS", "3600000").start().await;
    host.servicenow().provision(&job("job-1", "CSP_TEST", "ADD_ENVIRONMENT")).await;
    reaches(&host, "job-1", "WAITING").await;
    (host, csp)
}

/// Starts a host that holds the jobs of its CSP back.
async fn paused() -> (TestHost, MockCsp) {
    let csp = csp::sync().await;
    let host = Setup::new().csp_with("CSP_TEST", &csp, "paused = true").start().await;
    (host, csp)
}

/// Does an act on a job, as the holder of a key or of none. Returns the status
/// and the answer.
async fn act(host: &TestHost, path: &str, body: &Value, key: Option<&str>) -> (u16, Value) {
    let mut request = client().post(format!("{}/jobs/{path}", host.admin()));
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    let request = request.header("content-type", "application/json").body(body.to_string());
    let answer = request.send().await.expect("the admin API answers");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a text");
    (status, serde_json::from_str(&text).unwrap_or_else(|_| json!(text)))
}

async fn cancel(host: &TestHost, id: &str) -> (u16, Value) {
    act(host, &format!("{id}/cancel"), &json!({"reason": "posted twice"}), None).await
}

/// Checks that an act was refused as a conflict, with these words.
#[track_caller]
fn assert_conflict((status, answer): (u16, Value), words: &str) {
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(status == 409 && message.contains(words), "{status} {answer}");
}

fn by_hand(code: u16, response: &Value) -> Value {
    json!({"reason": "the CSP says so by phone", "code": code, "response": response})
}

async fn resume(host: &TestHost) {
    let url = format!("{}/csps/CSP_TEST/resume", host.admin());
    assert_eq!(client().post(url).send().await.expect("HOTH answers").status(), 200);
}

#[tokio::test]
async fn a_job_of_a_paused_csp_is_cancelled() {
    let (host, csp) = paused().await;
    let (snow, posted) = (host.servicenow(), job("job-1", "CSP_TEST", "ADD_ENVIRONMENT"));
    snow.provision(&posted).await;
    reaches(&host, "job-1", "HELD").await;
    let (status, answer) = cancel(&host, "job-1").await;
    assert_eq!((status, &answer["act"], &answer["code"]), (200, &json!("cancel"), &json!(500)));
    let details = "an operator of HOTH cancelled the job before anything was sent to CSP_TEST";
    assert_eq!(answer["detail"], details);
    let found = told(&host, "job-1", "cancelled").await;
    // Read once more: the answer above may have a status from before the event.
    let failed = reaches(&host, "job-1", "FAILED").await;
    assert!(failed["detail"].as_str().is_some_and(|text| text.contains(details)), "{failed}");
    assert_conflict(cancel(&host, "job-1").await, "the job has ended: It failed ");
    let outcome = snow.outcome().await;
    assert_eq!((outcome.code(), &outcome.response()["details"]), (500, &json!(details)));
    assert_eq!(outcome["initialSnowRequest"], posted);
    assert_eq!(
        outcome.response()["status"],
        json!({"provisioningJobId": "job-1", "portfolioId": "p-1", "status": "FAILURE"})
    );
    // Posted again, it is a repetition of a job that has ended.
    let again = snow.send(Method::POST, "/provisioning-jobs", Some(&posted)).await;
    assert!(again.status < 300, "{}", again.text);
    resume(&host).await;
    snow.provision(&job("job-2", "CSP_TEST", "ADD_TASK_ORDER")).await;
    assert_eq!(snow.outcome().await.job_id(), "job-2");
    assert_eq!(csp::calls(&csp).len(), 1, "the cancelled job was sent");
    reaches(&host, "job-1", "COLLECTED").await;

    let events: Vec<&Value> = found["events"].as_array().into_iter().flatten().collect();
    let cancelled = events.iter().find(|event| event["event"] == "cancelled").expect("an event");
    assert_eq!(
        (&cancelled["by"], &cancelled["reason"]),
        (&json!("anyone"), &json!("posted twice"))
    );
    assert_eq!((&found["job"]["class"], &found["job"]["code"]), (&json!("cancelled"), &json!(500)));
    let line = |line: &Value| line["act"] == "cancel" && line["job.id"] == "job-1";
    let line = host.logged("the audit line", line).await;
    assert_eq!((&line["by"], &line["reason"]), (&json!("anyone"), &json!("posted twice")));
    let acts = host.admin_json("/audit?object=job-1").await;
    assert_eq!(acts["acts"][0]["act"], "cancel", "{acts}");
}

#[tokio::test]
async fn a_job_that_its_csp_works_on_is_cancelled() {
    let (host, csp) = waiting([]).await;
    assert_eq!(cancel(&host, "job-1").await.0, 200);
    let outcome = host.servicenow().outcome().await;
    assert_eq!(outcome.code(), 500);
    let details = "an operator of HOTH cancelled the job, which CSP_TEST had accepted; CSP_TEST \
                   is not told, and may go on with it";
    assert_eq!(outcome.response()["details"], details);
    let location = outcome.request()["location"].as_str().unwrap_or_default();
    assert!(location.ends_with(STATUS), "{outcome}");
    assert_eq!(csp::calls(&csp).len(), 1, "the CSP was told");
}

#[tokio::test]
async fn a_portfolio_keeps_its_order_when_jobs_of_it_are_cancelled() {
    let (host, csp) = paused().await;
    let snow = host.servicenow();
    for number in 1..=4 {
        let mut job = job(&format!("job-{number}"), "CSP_TEST", "ADD_ENVIRONMENT");
        job["payload"]["name"] = json!(format!("environment {number}"));
        snow.provision(&job).await;
    }
    reaches(&host, "job-4", "HELD").await;
    for id in ["job-3", "job-1"] {
        assert_eq!(cancel(&host, id).await.0, 200, "{id}");
    }
    resume(&host).await;
    let outcomes = snow.collect_all("/provisioning-jobs", 4).await;
    let mut ends: Vec<_> = outcomes.iter().map(|one| (one.job_id(), one.code())).collect();
    ends.sort_unstable();
    assert_eq!(ends, [("job-1", 500), ("job-2", 200), ("job-3", 500), ("job-4", 200)]);
    let names: Vec<Value> =
        csp::calls(&csp).iter().map(|call| csp::body(call)["name"].clone()).collect();
    assert_eq!(names, ["environment 2", "environment 4"]);
}

#[tokio::test]
async fn a_job_in_hand_is_left_alone() {
    let gate = Gate::closed();
    let csp = csp::scripted([Answer::behave().held_by(&gate)]).await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    host.servicenow().provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    csp::wait_for_calls(&csp, 1).await;
    let in_hand = "a worker has the job in hand";
    assert_conflict(cancel(&host, "job-1").await, in_hand);
    assert_conflict(act(&host, "job-1/look-now", &json!({}), None).await, in_hand);
    let settle = act(&host, "job-1/settle", &by_hand(200, &json!({})), None).await;
    assert_conflict(settle, in_hand);
    gate.open();
    assert_eq!(host.servicenow().outcome().await.code(), 200);
    let (status, answer) = cancel(&host, "no-such-job").await;
    assert_eq!(status, 404, "{answer}");
    for act in ["cancel", "settle-by-hand", "look-now"] {
        assert!(host.log().iter().all(|line| line["act"] != act), "{act} left a line");
    }
}

#[tokio::test]
async fn looking_now_polls_a_csp_that_would_be_polled_in_an_hour() {
    let (host, csp) =
        waiting([status("IN_PROGRESS").header("retry-after", "3600"), status("SUCCESS")]).await;
    let look = async || act(&host, "job-1/look-now", &json!({}), None).await;
    let (code, answer) = look().await;
    assert_eq!((code, &answer["act"]), (200, &json!("look-now")), "{answer}");
    csp::wait_for_calls(&csp, 2).await;
    let waits = reaches(&host, "job-1", "WAITING").await;
    assert_eq!(waits["progress"]["note"], "IN_PROGRESS");
    // A pause of the CSP holds the look back, too, and the answer says so.
    let pause = format!("{}/csps/CSP_TEST/pause", host.admin());
    client().post(pause).send().await.expect("HOTH answers");
    let because = "looking now changes nothing: Operators have paused CSP_TEST";
    assert_conflict(look().await, because);
    resume(&host).await;
    // The job may be in hand for a moment.
    let started_at = std::time::Instant::now();
    while look().await.0 != 200 {
        assert!(started_at.elapsed() < PATIENCE, "no look was possible");
    }
    let outcome = host.servicenow().outcome().await;
    assert_eq!((outcome.code(), outcome.status()), (200, &json!("SUCCESS")));
    assert_eq!(csp::calls(&csp).len(), 3);
    let found = told(&host, "job-1", "collected").await;
    let looks = events(&found).iter().filter(|event| *event == "looked-now").count();
    assert_eq!(looks, 2);
    assert_eq!(found["job"]["attempt"], 1, "a look counts as no delivery: {found}");
    host.logged("the audit line", |line| line["act"] == "look-now" && line["job.id"] == "job-1")
        .await;
    assert_conflict(look().await, "the job has ended");
}

#[tokio::test]
async fn looking_now_changes_nothing_for_a_job_that_waits_for_no_time() {
    let (host, _csp) = paused().await;
    host.servicenow().ask_cost(&cost("r-1", "CSP_TEST")).await;
    let look = act(&host, "r-1/look-now?kind=cost", &json!({}), None).await;
    assert_conflict(look, "looking now changes nothing: Operators have paused CSP_TEST");
    let (status, answer) =
        act(&host, "r-1/cancel?kind=provisioning", &json!({"reason": "x"}), None).await;
    assert_eq!(status, 404, "{answer}");
    assert_eq!(act(&host, "r-1/cancel?kind=cost", &json!({"reason": "x"}), None).await.0, 200);
    let outcome = host.servicenow().cost_outcome().await;
    assert_eq!((outcome.code(), outcome.request()), (500, &cost("r-1", "CSP_TEST")));
}

#[tokio::test]
async fn an_operator_settles_jobs_whose_end_the_csp_cannot_tell() {
    let (host, csp) = waiting([]).await;
    // Digit for digit.
    let response = r#"{"environment":{"id":12345678901234567890.10},"text":"ü"}"#;
    let body = format!(r#"{{"reason": " by phone ", "code": 200, "response": {response}}}"#);
    let posted = client()
        .post(format!("{}/jobs/job-1/settle", host.admin()))
        .header("content-type", "application/json")
        .body(body);
    let answer = posted.send().await.expect("HOTH answers");
    assert_eq!(answer.status(), 200);
    let snow = host.servicenow();
    let collected = snow.send(Method::GET, "/provisioning-jobs?wait=5", None).await;
    assert!(collected.text.contains(response), "{}", collected.text);
    let outcome = &collected.messages()[0];
    assert_eq!(outcome.code(), 200);
    assert!(outcome.request()["location"].as_str().is_some_and(|at| at.ends_with(STATUS)));
    let found = told(&host, "job-1", "settled-by-hand").await;
    assert_eq!((&found["job"]["class"], &found["job"]["code"]), (&Value::Null, &json!(200)));
    let line = |line: &Value| line["act"] == "settle-by-hand" && line["reason"] == "by phone";
    assert_eq!(host.logged("the audit line", line).await["code"], 200);
    assert_eq!(csp::calls(&csp).len(), 1, "the CSP was asked again");

    snow.provision(&job("job-2", "CSP_TEST", "ADD_ENVIRONMENT")).await;
    reaches(&host, "job-2", "WAITING").await;
    let details = json!({"details": "rejected"});
    let failure = json!({
        "reason": "ticket 17", "code": 409, "response": details, "request": {"by": "hand"}
    });
    assert_eq!(act(&host, "job-2/settle", &failure, None).await.0, 200);
    let outcome = snow.outcome().await;
    assert_eq!(
        (outcome.code(), outcome.request(), outcome.response()),
        (409, &json!({"by": "hand"}), &details)
    );
    let found = told(&host, "job-2", "settled-by-hand").await;
    assert_eq!(found["job"]["class"], "settled-by-hand");
}

#[tokio::test]
async fn an_outcome_by_hand_has_the_bounds_of_an_outcome_of_an_adapter() {
    let (host, _csp) = paused().await;
    host.servicenow().provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    let with = |name: &str, value: Value| {
        let mut body = by_hand(200, &json!({}));
        body[name] = value;
        body
    };
    for (body, problem) in [
        (with("code", json!(199)), "the outcome's code is 199, not 200 to 599"),
        (with("code", json!(600)), "the outcome's code is 600, not 200 to 599"),
        (with("response", json!([1])), "the outcome's response is not a JSON object"),
        (with("request", json!("x")), "the outcome's request is not a JSON object"),
        (with("response", json!({"x": "y".repeat(1 << 20)})), "the outcome's response has"),
        (with("response", json!({"x": "y".repeat((1 << 20) - 2_100)})), "does not fit a message"),
        (with("reason", json!("  ")), "reason: must say why"),
        (with("reason", json!("x".repeat(501))), "reason: has 501 bytes, and may have 500"),
        (with("unknown", json!(1)), "unknown field `unknown`"),
        (json!({"code": 200, "response": {}}), "missing field `reason`"),
        (json!({"reason": "x", "code": 200}), "missing field `response`"),
    ] {
        let (status, answer) = act(&host, "job-1/settle", &body, None).await;
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(status == 400 && message.contains(problem), "{problem}: {status} {answer}");
    }
    let none = client().post(format!("{}/jobs/job-1/cancel", host.admin())).send().await;
    assert_eq!(none.expect("HOTH answers").status(), 400, "a reason is required");
    reaches(&host, "job-1", "HELD").await;
    resume(&host).await;
    assert_eq!(host.servicenow().outcome().await.code(), 200, "a refused act changed the job");
}

#[tokio::test]
async fn a_viewer_acts_on_no_job() {
    let csp = csp::sync().await;
    let setup = Setup::new().csp_with("CSP_TEST", &csp, "paused = true");
    let keys = bearer_keys(&["write", "viewer", "operator", "admin"]);
    let host = setup.with(&keys).admin_token("admin-token").start().await;
    let snow = crate::harness::ServiceNow::at(client(), host.api(), Some("write-token"));
    snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    for (path, body) in [
        ("job-1/look-now", json!({})),
        ("job-1/cancel", json!({"reason": "x"})),
        ("job-1/settle", by_hand(200, &json!({}))),
    ] {
        for (key, expected) in
            [(None, 401), (Some("write-token"), 403), (Some("viewer-token"), 403)]
        {
            assert_eq!(act(&host, path, &body, key).await.0, expected, "{path} with {key:?}");
        }
    }
    let operator = Some("operator-token");
    let (status, answer) = act(&host, "job-1/cancel", &json!({"reason": "x"}), operator).await;
    assert_eq!(status, 200, "{answer}");
    host.logged("the audit line", |line| line["act"] == "cancel" && line["by"] == "operator-key")
        .await;
    assert_eq!(snow.outcome().await.code(), 500);
}

#[tokio::test]
async fn a_host_that_is_killed_during_a_cancellation_loses_no_job() {
    let csp = csp::sync().await;
    let setup = Setup::new().csp_with("CSP_TEST", &csp, "paused = true");
    let setup = setup.environment(failpoint::VARIABLE, "after-send-before-delete");
    let mut host = setup.start().await;
    host.servicenow().provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    let url = format!("{}/jobs/job-1/cancel", host.admin());
    let cancelling = client().post(url).header("content-type", "application/json");
    let died = cancelling.body(r#"{"reason": "x"}"#).send().await;
    assert!(died.is_err(), "the host was not killed");
    host.died().await;
    host.restart().await;
    // The lease of the act ended with its process.
    reaches(&host, "job-1", "HELD").await;
    assert_eq!(cancel(&host, "job-1").await.0, 200);
    let snow = host.servicenow();
    assert_eq!(snow.outcome().await.code(), 500);
    resume(&host).await;
    host.emptied().await;
    assert_eq!(snow.collect("/provisioning-jobs").await.len(), 0);
    assert_eq!(csp::calls(&csp).len(), 0);
}

#[tokio::test]
async fn an_operator_acts_on_jobs_from_the_command_line() {
    let (host, csp) = waiting([status("SUCCESS")]).await;
    let snow = host.servicenow();
    let said = done(&host, &["jobs", "look-now", "job-1"]).await;
    assert_eq!(said, "job-1: the next free worker asks CSP_TEST\n");
    assert_eq!(snow.outcome().await.code(), 200);
    assert_eq!(csp::calls(&csp).len(), 2);

    client()
        .post(format!("{}/csps/CSP_TEST/pause", host.admin()))
        .send()
        .await
        .expect("it answers");
    for id in ["job-2", "job-3"] {
        snow.provision(&job(id, "CSP_TEST", "ADD_PORTFOLIO")).await;
    }
    let (code, said) = hoth(&host, &["jobs", "cancel", "job-2", "--reason", "x"]).await;
    assert!(code == Some(1) && said.contains("add `--yes`"), "{said}");
    let (code, said) = hoth(&host, &["jobs", "cancel", "job-2", "--yes"]).await;
    assert!(code == Some(2) && said.contains("--reason"), "{said}");
    let cancel = ["jobs", "cancel", "job-2", "--reason", "x", "--yes", "--json"];
    let said: Value = serde_json::from_str(&done(&host, &cancel).await).expect("it prints JSON");
    assert_eq!((&said["act"], &said["code"]), (&json!("cancel"), &json!(500)));
    let (code, said) = hoth(&host, &cancel).await;
    assert!(code == Some(1) && said.contains("the job has ended"), "{said}");
    assert_eq!(snow.outcome().await.code(), 500);

    let file = host.directory().join("response.json");
    std::fs::write(&file, r#"{"portfolio": {"id": 1.10}}"#).expect("a file can be written");
    let file = file.to_str().expect("a name in UTF-8");
    let settle = ["jobs", "settle", "job-3", "--code", "200", "--response", file, "--reason", "x"];
    let (code, said) = hoth(&host, &settle).await;
    assert!(code == Some(1) && said.contains("add `--yes`"), "{said}");
    let said = done(&host, &[&settle[..], &["--yes"]].concat()).await;
    assert_eq!(said, "job-3: the outcome with code 200 is ready to be collected\n");
    let collected = snow.send(Method::GET, "/provisioning-jobs?wait=5", None).await;
    assert!(collected.text.contains(r#"{"portfolio": {"id": 1.10}}"#), "{}", collected.text);
    let (code, said) = hoth(&host, &["jobs", "look-now", "nowhere"]).await;
    assert!(code == Some(1) && said.contains("no queue holds the job"), "{said}");
}

#[tokio::test]
async fn a_queue_that_cannot_be_looked_into_offers_no_act_on_one_job() {
    let csp = csp::sync().await;
    let host = several::on_sqs().csp("CSP_TEST", &csp).start().await;
    host.servicenow().provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    for (path, body) in [
        ("job-1/look-now", json!({})),
        ("job-1/cancel", json!({"reason": "x"})),
        ("job-1/settle", by_hand(200, &json!({}))),
    ] {
        let (status, answer) = act(&host, path, &body, None).await;
        assert_eq!((status, &answer["reason"]), (501, &json!("NOT_SUPPORTED")), "{answer}");
    }
    assert_eq!(host.servicenow().outcome().await.code(), 200);
}
