//! The same operations with Microsoft's SDK, at another local Azure: the calls
//! and what stands in the tenant afterwards must be the same.

use hoth_testkit::MockAzure;
use serde_json::Value;
use serde_json::json;

use super::ROOT;
use super::add_environment;
use super::add_portfolio;
use super::azure;
use super::cost;
use super::costs_of;
use super::job;
use super::operators;
use super::outcome_of;
use super::provisioned;
use super::setup;
use super::state;

const MAIL: &str = "o'brien@example.mil";

/// The ids of the only portfolio and the only subscription.
async fn ids(azure: &MockAzure) -> (String, String) {
    let state = state(azure).await;
    let groups = state["managementGroups"].as_array().expect("management groups");
    let portfolio = groups.iter().find(|group| group["name"] != ROOT).expect("a portfolio");
    let id = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (id(&portfolio["name"]), id(&state["subscriptions"][0]["id"]))
}

async fn add_costs(azure: &MockAzure, subscription: &str) {
    let day = |date| json!({"subscriptionId": subscription, "date": date, "cost": "1.5"});
    let lines = json!([day("2026-01-05"), day("2026-02-05"), day("2026-03-05")]);
    azure.costs(&lines).await.expect("costs");
    azure.settings(&json!({"cost_page_rows": 2})).await.expect("settings");
}

/// Does every operation with HOTH, and returns the tags of the subscription.
async fn with_hoth(azure: &MockAzure) -> Value {
    let host = setup(azure).start().await;
    let portfolio = provisioned(&host, &add_portfolio("job-1"), "portfolio").await;
    let environment = add_environment("job-2", &portfolio, &[MAIL]);
    let environment = provisioned(&host, &environment, "environment").await;
    let more = json!({"administrators": operators(&[MAIL, "second@example.mil"])});
    for job in [
        job("job-3", "ADD_OPERATORS", Some(&portfolio), &more),
        job("job-4", "GET_PORTFOLIO", Some(&portfolio), &json!({})),
    ] {
        let outcome = outcome_of(&host, &job).await;
        assert_eq!(outcome.code(), 200, "{outcome}");
    }
    add_costs(azure, &environment).await;
    let mut by_clin = cost("cost-2", &portfolio);
    (by_clin["taskOrderNumber"], by_clin["clin"]) = (json!("TO-1"), json!("0001"));
    for request in [cost("cost-1", &portfolio), by_clin] {
        let outcome = costs_of(&host, &request).await;
        assert_eq!(outcome.code(), 200, "{outcome}");
    }
    state(azure).await["subscriptions"][0]["tags"].clone()
}

/// Does the same with the SDK.
async fn with_sdk(azure: &MockAzure, tags: &Value) {
    let run = async |operation: &str, input: Value| {
        let done = azure.twin(operation, &input, &json!({"parent": ROOT})).await;
        done.unwrap_or_else(|error| panic!("{operation}: {error:#}"));
    };
    run("ADD_PORTFOLIO", json!({})).await;
    let (portfolio, _) = ids(azure).await;
    let administrators = operators(&[MAIL]);
    let environment = json!({"portfolioId": portfolio, "tags": tags, "payload": {"administrators": administrators}});
    run("ADD_ENVIRONMENT", environment).await;
    let administrators = operators(&[MAIL, "second@example.mil"]);
    let more = json!({"portfolioId": portfolio, "payload": {"administrators": administrators}});
    run("ADD_OPERATORS", more).await;
    run("GET_PORTFOLIO", json!({"portfolioId": portfolio})).await;
    add_costs(azure, &ids(azure).await.1).await;
    for operation in ["COST_BY_PORTFOLIO", "COST_BY_CLIN"] {
        run(operation, json!({"portfolioId": portfolio})).await;
    }
}

#[tokio::test]
async fn hoth_calls_azure_as_microsofts_sdk_does() {
    let (ours, theirs) = (azure().await, azure().await);
    let tags = with_hoth(&ours).await;
    for call in ours.calls().await.expect("calls") {
        assert!(call["headers"]["idempotency-key"].is_null(), "Azure does not know it: {call}");
    }
    with_sdk(&theirs, &tags).await;
    for what in ["RECORDED", "STATE"] {
        let of = async |azure: &MockAzure| {
            azure.twin(what, &json!({}), &json!({})).await.expect("the SDK reads the tenant")
        };
        let (ours, theirs) = (of(&ours).await, of(&theirs).await);
        if let (Some(ours), Some(theirs)) = (ours.as_array(), theirs.as_array()) {
            for (ours, theirs) in ours.iter().zip(theirs) {
                assert_eq!(ours, theirs);
            }
        }
        assert_eq!(ours, theirs, "{what}");
    }
}
