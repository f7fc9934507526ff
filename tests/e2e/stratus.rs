//! A CSP of another kind than ATAT: calls that build on one another, operations
//! with ids, "try again" inside a 200, pages, faults in envelopes, a key.

use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use mock_csp::Matching;
use mock_csp::Stratus;
use mock_csp::stratus;
use mock_csp::stratus::KEY;
use mock_csp::stratus::Options;

use crate::csp;
use crate::csp::Answer;
use crate::csp::Gate;
use crate::harness::Outcome;
use crate::harness::PATIENCE;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::cost;
use crate::harness::job;

async fn start(options: Options) -> Stratus {
    Stratus::start(options).await.expect("a port is free")
}

async fn host(csp: &Stratus) -> TestHost {
    Setup::new().stratus("CSP_S", csp).start().await
}

async fn outcome_of(host: &TestHost, job: &Value) -> Outcome {
    let snow = host.servicenow();
    snow.provision(job).await;
    snow.outcome().await
}

/// Returns the lines of the calls that contain `part`.
fn lines_with(csp: &Stratus, part: &str) -> Vec<String> {
    let lines = csp.server().calls().into_iter().map(|call| call.line());
    lines.filter(|line| line.contains(part)).collect()
}

/// Waits for a call whose line contains `part`.
async fn wait_for_call(csp: &Stratus, part: &str) {
    let mut count = 0;
    let come = async {
        while lines_with(csp, part).is_empty() {
            count += 1;
            csp.server().wait_for_calls(count).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, come).await;
    assert!(waited.is_ok(), "no call {part} after {PATIENCE:?}");
}

#[track_caller]
fn assert_no_violations(csp: &Stratus) {
    let violations = csp.server().violations();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[tokio::test]
async fn every_supported_operation_succeeds() {
    let csp = start(Options::default()).await;
    let host = host(&csp).await;

    let message = outcome_of(&host, &job("job-1", "CSP_S", "ADD_PORTFOLIO")).await;
    assert_eq!(message.code(), 200, "{message}");
    let portfolio = &message.response()["portfolio"];
    assert_eq!(portfolio["label"], "Sample Portfolio");
    assert!(portfolio["id"].is_string(), "{portfolio}");

    let message = outcome_of(&host, &job("job-2", "CSP_S", "GET_PORTFOLIO")).await;
    assert_eq!(message.response()["portfolio"]["id"], "p-1", "{message}");

    let environment = job("job-3", "CSP_S", "ADD_ENVIRONMENT");
    let message = outcome_of(&host, &environment).await;
    assert_eq!(message.code(), 200, "{message}");
    let response = message.response();
    let account = response["status"]["environmentId"].as_str().expect("an id");
    assert_eq!(response["environment"]["id"], account);
    assert_eq!(
        response["environment"]["contacts"],
        json!([{"mail": "admin1@mail.mil", "person": "1122334455", "mustReset": false}])
    );
    assert_eq!(message.request()["environment"], environment["payload"]);

    let message = outcome_of(&host, &job("job-4", "CSP_S", "ADD_TASK_ORDER")).await;
    assert_eq!(message.code(), 200, "{message}");
    assert!(message.response()["taskOrder"]["id"].is_string(), "{message}");

    let mut operators = job("job-5", "CSP_S", "ADD_OPERATORS");
    operators["payload"] = json!({
        "administrators": [{"email": "second@mail.mil", "dodId": "2"}], "environmentId": account
    });
    let message = outcome_of(&host, &operators).await;
    assert_eq!(message.code(), 200, "{message}");
    let contacts = &message.response()["operators"]["contacts"];
    assert_eq!(contacts.as_array().map(Vec::len), Some(2), "{message}");
    assert_no_violations(&csp);
}

#[tokio::test]
async fn an_operation_that_the_csp_does_not_have_is_refused_without_a_call() {
    let csp = start(Options::default()).await;
    let host = host(&csp).await;
    let posted = job("job-1", "CSP_S", "UPDATE_TASK_ORDER");
    let answer = host.servicenow().send(Method::POST, "/provisioning-jobs", Some(&posted)).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    let problem = answer.json()["errorMap"]["operationType"].clone();
    let problem = problem.as_str().expect("a sentence");
    assert!(problem.starts_with("CSP_S does not offer UPDATE_TASK_ORDER; it"), "{problem}");
    assert_eq!(csp.server().call_count(), 0);
}

#[tokio::test]
async fn costs_are_gathered_from_all_pages() {
    let csp = start(Options::default()).await;
    let host = host(&csp).await;
    let snow = host.servicenow();
    snow.ask_cost(&cost("r-1", "CSP_S")).await;
    let message = snow.cost_outcome().await;
    assert_eq!(message.code(), 200, "{message}");
    let orders = &message.response()["taskOrders"];
    assert_eq!(
        orders[0],
        json!({"taskOrderNumber": "F-1", "clins": [
            {
                "clinNumber": "0001",
                "actual": {"total": "49.50", "results": [
                    {"month": "2022-01", "value": "20.00"}, {"month": "2022-02", "value": "29.50"}
                ]},
                "forecast": {"total": "40.00", "results": [{"month": "2022-03", "value": "40.00"}]}
            },
            {
                "clinNumber": "0002",
                "actual": {"total": "1.244567", "results": [
                    {"month": "2022-01", "value": "1.234567"}, {"month": "2022-02", "value": "0.01"}
                ]}
            }
        ]})
    );
    assert_eq!(orders[1]["clins"][0]["forecast"]["total"], "20.00");
    assert_eq!(lines_with(&csp, "/charges").len(), 3);

    let mut by_clin = cost("r-2", "CSP_S");
    by_clin["taskOrderNumber"] = json!("F-1");
    by_clin["clin"] = json!("0002");
    snow.ask_cost(&by_clin).await;
    let message = snow.cost_outcome().await;
    let orders = message.response()["taskOrders"].as_array().expect("a list").clone();
    assert_eq!(orders.len(), 1, "{message}");
    assert_eq!(orders[0]["clins"].as_array().map(Vec::len), Some(1), "{message}");
    assert_no_violations(&csp);
}

#[tokio::test]
async fn a_job_killed_between_calls_resumes_at_the_checkpoint() {
    let csp = start(Options::default()).await;
    let attach = Matching::path("/contacts").and_method("PUT");
    csp.server().script_for(attach, [Answer::hang(), Answer::behave()]);
    let mut host = host(&csp).await;
    host.servicenow().provision(&job("job-1", "CSP_S", "ADD_ENVIRONMENT")).await;
    wait_for_call(&csp, "/contacts").await;
    host.kill().await;
    host.restart().await;
    let message = host.servicenow().outcome().await;
    assert_eq!(message.code(), 200, "{message}");
    assert_eq!(csp.accounts(), 1);
    assert_eq!(lines_with(&csp, "POST").len(), 1, "the account was ordered again");
    assert_eq!(lines_with(&csp, "PUT").len(), 2);
    assert_no_violations(&csp);
}

#[tokio::test]
async fn a_kill_before_the_first_checkpoint_makes_no_second_account() {
    let csp = start(Options::default()).await;
    let order = Matching::method("POST");
    let held = Answer::behave().held_by(&Gate::closed());
    csp.server().script_for(order, [held, Answer::behave()]);
    let mut host = host(&csp).await;
    host.servicenow().provision(&job("job-1", "CSP_S", "ADD_ENVIRONMENT")).await;
    // The account is made, but the host does not get the answer.
    wait_for_call(&csp, "POST").await;
    host.kill().await;
    host.restart().await;
    let message = host.servicenow().outcome().await;
    assert_eq!(message.code(), 200, "{message}");
    assert_eq!(lines_with(&csp, "POST").len(), 2);
    assert_eq!(csp.accounts(), 1);
    assert_no_violations(&csp);
}

#[tokio::test]
async fn a_retry_request_inside_a_200_is_honoured() {
    let csp = start(Options { busy: 2, ..Options::default() }).await;
    let host = host(&csp).await;
    let snow = host.servicenow();
    let message = outcome_of(&host, &job("job-1", "CSP_S", "ADD_ENVIRONMENT")).await;
    assert_eq!(message.code(), 200, "{message}");
    assert_eq!(lines_with(&csp, "POST").len(), 3);
    assert_eq!(csp.accounts(), 1);
    snow.ask_cost(&cost("r-1", "CSP_S")).await;
    let message = snow.cost_outcome().await;
    assert_eq!(message.response()["taskOrders"][0]["taskOrderNumber"], "F-1");
    assert_eq!(lines_with(&csp, "/charges").len(), 9, "three pages, each put off twice");
    assert_no_violations(&csp);
}

#[tokio::test]
async fn a_csp_that_was_busy_and_then_fails_is_not_polled_for_ever() {
    let csp = start(Options::default()).await;
    let refused = Answer::text(503, "the gateway is down");
    csp.server().script([stratus::busy(100), refused]);
    let host = host(&csp).await;
    let message = outcome_of(&host, &job("job-1", "CSP_S", "ADD_TASK_ORDER")).await;
    assert_eq!(message.code(), 503, "{message}");
    assert_eq!(csp.server().call_count(), 1 + 3);
}

#[tokio::test]
async fn faults_in_an_envelope_reach_servicenow() {
    for (kind, code) in [("malformed", 400), ("denied", 403), ("absent", 404), ("taken", 409)] {
        let csp = start(Options::default()).await;
        csp.server().script([stratus::fault(kind, "that will not do")]);
        let host = host(&csp).await;
        let message = outcome_of(&host, &job("job-1", "CSP_S", "ADD_ENVIRONMENT")).await;
        assert_eq!(message.code(), code, "{message}");
        let response = message.response();
        assert_eq!(response["details"], "that will not do");
        assert_eq!(response["fault"]["kind"], kind);
        assert_eq!(csp.server().call_count(), 1);
    }
}

#[tokio::test]
async fn an_operation_that_breaks_fails_the_job() {
    let csp = start(Options::default()).await;
    let host = host(&csp).await;
    let mut environment = job("job-1", "CSP_S", "ADD_ENVIRONMENT");
    environment["payload"]["name"] = json!(stratus::BROKEN_ALIAS);
    let message = outcome_of(&host, &environment).await;
    assert_eq!(message.code(), 500, "{message}");
    let response = message.response();
    assert_eq!(response["status"]["status"], "FAILURE");
    assert_eq!(response["operation"]["reason"], "the account cannot be made");
}

#[tokio::test]
async fn two_kinds_of_csp_are_served_by_one_host() {
    let (atat, other) = (csp::asynchronous(1).await, start(Options::default()).await);
    let host = Setup::new().csp("CSP_A", &atat).stratus("CSP_S", &other).start().await;
    let snow = host.servicenow();
    for nth in 0..4 {
        for name in ["CSP_A", "CSP_S"] {
            let mut job = job(&format!("{name}-{nth}"), name, "ADD_ENVIRONMENT");
            job["portfolioId"] = json!(format!("p-{nth}"));
            snow.provision(&job).await;
        }
    }
    for message in snow.collect_all("/provisioning-jobs", 8).await {
        assert_eq!(message.code(), 200, "{message}");
    }
    csp::assert_no_violations(&atat);
    assert_no_violations(&other);
    assert_eq!(other.accounts(), 4);
    for call in csp::calls(&atat) {
        assert!(!format!("{:?}", call.headers).contains(KEY), "{}", call.line());
    }
    assert!(!format!("{:?}", host.log()).contains(KEY));
}
