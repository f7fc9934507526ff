//! The adapter for AWS against a local AWS that verifies every signature,
//! parameter and right, and that has the faults and delays of the real one.

mod kills;
mod mock;

use hoth_testkit::AwsPartition;
use hoth_testkit::MockAws;
use serde_json::Value;
use serde_json::json;

use crate::harness::Outcome;
use crate::harness::Setup;
use crate::harness::TestHost;

async fn mock() -> MockAws {
    MockAws::start().await.expect("a local AWS starts")
}

/// Sets up a host with the CSP `AWS`.
fn setup(aws: &MockAws, partition: AwsPartition) -> Setup {
    Setup::new().aws("AWS", aws, partition, "")
}

/// A task order whose CLINs last for many years.
fn task_order(number: &str, clins: &[&str]) -> Value {
    let clin = |clin: &&str| {
        json!({
            "clinNumber": clin, "type": "CLOUD", "classificationLevel": "UNCLASSIFIED",
            "popStartDate": "2020-01", "popEndDate": "2099-12"
        })
    };
    json!({
        "taskOrderNumber": number, "popStartDate": "2020-01", "popEndDate": "2099-12",
        "clins": clins.iter().map(clin).collect::<Vec<_>>()
    })
}

fn operator(email: &str) -> Value {
    json!({"email": email, "dodId": "1122334455"})
}

fn job(id: &str, operation: &str, portfolio: Option<&str>, payload: Value) -> Value {
    let mut job = json!({
        "jobId": id, "userId": "u-1", "targetCspName": "AWS", "operationType": operation,
        "payload": payload
    });
    if let Some(portfolio) = portfolio {
        job["portfolioId"] = json!(portfolio);
    }
    job
}

fn portfolio(id: &str, name: &str) -> Value {
    let payload = json!({"name": name, "taskOrders": [task_order("T1", &["0001"])]});
    job(id, "ADD_PORTFOLIO", None, payload)
}

fn environment(id: &str, portfolio: &str, operators: &[&str]) -> Value {
    let operators: Vec<Value> = operators.iter().map(|email| operator(email)).collect();
    let payload = json!({
        "name": "Dev", "administrators": operators, "classificationLevel": "UNCLASSIFIED"
    });
    job(id, "ADD_ENVIRONMENT", Some(portfolio), payload)
}

async fn outcome(host: &TestHost, job: &Value) -> Outcome {
    let snow = host.servicenow();
    snow.provision(job).await;
    snow.outcome().await
}

/// Runs a job that must succeed, and returns its response.
async fn succeed(host: &TestHost, job: &Value) -> Value {
    let outcome = outcome(host, job).await;
    assert_eq!(outcome.code(), 200, "{outcome}");
    outcome.response().clone()
}

/// Runs the job `id`, which creates a portfolio, and returns its unit.
async fn new_portfolio(host: &TestHost, id: &str) -> String {
    let response = succeed(host, &portfolio(id, "P1")).await;
    response["portfolio"]["id"].as_str().expect("an id").to_owned()
}

/// Returns what stands in a partition.
async fn state(aws: &MockAws, partition: AwsPartition) -> Value {
    aws.state().await.expect("the state")["partitions"][partition.name()].clone()
}

/// Returns the members of a list of the state that match.
fn find<'a>(state: &'a Value, list: &str, matches: impl Fn(&Value) -> bool) -> Vec<&'a Value> {
    let list = state[list].as_array().expect("a list of the state");
    list.iter().filter(|item| matches(item)).collect()
}

#[tokio::test]
async fn every_operation_succeeds_in_the_commercial_partition() {
    let aws = mock().await;
    let host = setup(&aws, AwsPartition::Commercial).start().await;
    let unit = new_portfolio(&host, "p").await;

    let made = succeed(&host, &environment("e", &unit, &["ada@example.mil"])).await;
    let account = made["environment"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(made["environment"]["clinNumber"], "0001");

    let payload = json!({
        "administrators": [operator("bob@example.mil"), operator("ada@example.mil")],
        "environmentId": account
    });
    succeed(&host, &job("o", "ADD_OPERATORS", Some(&unit), payload)).await;

    let payload = json!({"taskOrder": task_order("T2", &["0001", "0002"])});
    succeed(&host, &job("t", "ADD_TASK_ORDER", Some(&unit), payload)).await;
    let payload = json!({"taskOrderId": "T2", "taskOrder": task_order("T2", &["0002"])});
    succeed(&host, &job("u", "UPDATE_TASK_ORDER", Some(&unit), payload)).await;

    let read = succeed(&host, &job("g", "GET_PORTFOLIO", Some(&unit), json!({}))).await;
    let orders = read["portfolio"]["taskOrders"].as_array().expect("task orders");
    let clins = |order: &Value| order["clins"].as_array().map(Vec::len);
    let shown: Vec<_> =
        orders.iter().map(|order| (order["taskOrderNumber"].clone(), clins(order))).collect();
    assert_eq!(shown, [(json!("T1"), Some(1)), (json!("T2"), Some(1))], "{read}");
    assert_eq!(read["portfolio"]["environments"][0]["id"], account, "{read}");

    let state = state(&aws, AwsPartition::Commercial).await;
    let accounts = find(&state, "accounts", |one| one["id"] == account);
    assert_eq!(accounts.len(), 1, "{state:#}");
    assert_eq!(accounts[0]["parent"], unit, "{state:#}");
    assert_eq!(state["users"].as_array().map(Vec::len), Some(2), "{state:#}");
    assert_eq!(state["memberships"].as_array().map(Vec::len), Some(2), "{state:#}");
    assert_eq!(state["assignments"].as_array().map(Vec::len), Some(1), "{state:#}");
    assert_no_refusals(&aws, &["ResourceNotFoundException", "ConflictException"]).await;
}

/// Checks that AWS has refused no call, but with errors that adapters expect.
async fn assert_no_refusals(aws: &MockAws, expected: &[&str]) {
    for call in aws.calls().await.expect("calls") {
        let error = call["error"].as_str().unwrap_or_default();
        let known = expected.iter().any(|known| error.contains(known));
        assert!(call["accepted"] == true || known, "{call:#}");
    }
}

#[tokio::test]
async fn a_govcloud_environment_is_a_pair_that_joins_with_its_own_role() {
    let aws = mock().await;
    let host = setup(&aws, AwsPartition::GovCloud).start().await;
    let unit = new_portfolio(&host, "p").await;
    let made = succeed(&host, &environment("e", &unit, &["ada@example.mil"])).await;
    let (id, pair) = (&made["environment"]["id"], &made["environment"]["commercialAccountId"]);
    let gov = state(&aws, AwsPartition::GovCloud).await;
    let joined = find(&gov, "accounts", |one| one["id"] == *id);
    assert_eq!(joined.len(), 1, "{gov:#}");
    assert_eq!(joined[0]["parent"], unit, "{gov:#}");
    let commercial = state(&aws, AwsPartition::Commercial).await;
    assert_eq!(find(&commercial, "accounts", |one| one["id"] == *pair).len(), 1, "{commercial:#}");
    let accept = aws.calls().await.expect("calls");
    let accept = accept.iter().find(|call| call["operation"] == "AcceptHandshake");
    assert_eq!(accept.expect("a call")["account"], *id);
}

#[tokio::test]
async fn costs_come_from_the_accounts_of_a_clin() {
    let aws = mock().await;
    let host = setup(&aws, AwsPartition::Commercial).start().await;
    let unit = new_portfolio(&host, "p").await;
    let made = succeed(&host, &environment("e", &unit, &[])).await;
    let account = made["environment"]["id"].as_str().expect("an id");
    aws.settings(&json!({"page_size": 1})).await.expect("settings");
    let months = json!({"2026-01": "10.10", "2026-02": "0.0000000001"});
    aws.costs(&json!({"costs": {account: months, "999999999999": {"2026-01": "7"}}}))
        .await
        .expect("costs");
    let snow = host.servicenow();
    let request = json!({
        "requestId": "c", "portfolioId": unit, "targetCspName": "AWS",
        "taskOrderNumber": "T1", "clin": "0001", "startDate": "2026-01", "endDate": "2026-02"
    });
    snow.ask_cost(&request).await;
    let outcome = snow.cost_outcome().await;
    assert_eq!(outcome.code(), 200, "{outcome}");
    let clin = &outcome.response()["taskOrders"][0]["clins"][0];
    assert_eq!(
        clin["actual"],
        json!({"total": "10.1000000001", "results": [
            {"month": "2026-01", "value": "10.10"}, {"month": "2026-02", "value": "0.0000000001"}
        ]}),
        "{outcome}"
    );
}

/// Faults of one call of an environment after which the job still succeeds.
#[tokio::test]
async fn throttles_lost_responses_and_delays_do_not_fail_an_environment() {
    let aws = mock().await;
    aws.settings(&json!({"creation_polls": 3, "activation_polls": 2, "assignment_polls": 3}))
        .await
        .expect("settings");
    let host = setup(&aws, AwsPartition::Commercial).start().await;
    let unit = new_portfolio(&host, "p").await;
    for (operation, kind) in [
        ("ListTagsForResource", "throttle-400"),
        ("ListCreateAccountStatus", "503"),
        ("CreateAccount", "concurrent"),
        ("DescribeCreateAccountStatus", "drop-after"),
        ("MoveAccount", "drop-after"),
        ("DescribeAccount", "500"),
        ("GetGroupId", "throttle-400"),
        ("CreateGroup", "drop-after"),
        ("CreateAccountAssignment", "conflict"),
        ("CreateUser", "drop-after"),
        ("CreateGroupMembership", "drop-after"),
        ("GetUserId", "throttle-400"),
    ] {
        aws.fault(&json!({"kind": kind, "operation": operation})).await.expect("a fault");
    }
    let made = succeed(&host, &environment("e", &unit, &["ada@example.mil"])).await;
    assert!(aws.faults_left().await.expect("faults").is_empty());
    let id = &made["environment"]["id"];
    let state = state(&aws, AwsPartition::Commercial).await;
    assert_eq!(find(&state, "accounts", |one| one["id"] == *id).len(), 1, "{state:#}");
    assert_eq!(find(&state, "accounts", |one| one["parent"] == unit).len(), 1, "{state:#}");
    assert_eq!(state["users"].as_array().map(Vec::len), Some(1), "{state:#}");
    assert_eq!(state["assignments"].as_array().map(Vec::len), Some(1), "{state:#}");
}

#[tokio::test]
async fn refusals_of_aws_are_reported_with_what_was_created() {
    let aws = mock().await;
    let host = setup(&aws, AwsPartition::Commercial).start().await;
    let unit = new_portfolio(&host, "p").await;
    let fault = |operation: &str, more: Value| {
        let mut fault = json!({"operation": operation});
        let more = more.as_object().expect("an object").clone();
        fault.as_object_mut().expect("an object").extend(more);
        fault
    };
    for (number, (operation, more, code, made)) in [
        ("ListCreateAccountStatus", json!({"kind": "access-denied"}), 403, None),
        (
            "CreateAccount",
            json!({"kind": "error", "type": "ConstraintViolationException", "status": 400,
                   "reason": "ACCOUNT_NUMBER_LIMIT_EXCEEDED"}),
            400,
            None,
        ),
        (
            "CreateAccount",
            json!({"kind": "creation-fails", "reason": "ACCOUNT_LIMIT_EXCEEDED"}),
            500,
            Some("account-request"),
        ),
        ("MoveAccount", json!({"kind": "access-denied"}), 403, Some("account")),
    ]
    .into_iter()
    .enumerate()
    {
        aws.fault(&fault(operation, more)).await.expect("a fault");
        let outcome = outcome(&host, &environment(&format!("e-{number}"), &unit, &[])).await;
        assert_eq!(outcome.code(), code, "{operation}: {outcome}");
        let kind = outcome.response()["made"][0]["kind"].as_str();
        assert_eq!(kind, made, "{operation}: {outcome}");
    }
}
