//! Faults of Azure and of the network, at every call.

use serde_json::Value;
use serde_json::json;

use super::add_environment;
use super::add_portfolio;
use super::azure;
use super::cost;
use super::costs_of;
use super::count;
use super::operations;
use super::outcome_of;
use super::provisioned;
use super::setup;
use super::state;

const MAIL: &str = "a.b@example.mil";

/// The operations of Azure that an environment with an operator takes.
const CALLS: [&str; 5] =
    ["aliases.put", "aliases.get", "users.list", "invitations.post", "roleAssignments.put"];

#[tokio::test]
async fn an_environment_survives_faults_that_pass_at_every_call() {
    let azure = azure().await;
    let host = setup(&azure).start().await;
    let portfolio = provisioned(&host, &add_portfolio("job-0"), "portfolio").await;
    let mut environments = 0;
    for kind in ["throttle-429", "503", "drop-before", "drop-after", "expired-token"] {
        let faults: Vec<Value> =
            CALLS.iter().map(|call| json!({"operation": call, "kind": kind})).collect();
        azure.fault(&json!(faults)).await.expect("faults");
        environments += 1;
        let mail = format!("{kind}@example.mil");
        let job = add_environment(&format!("job-{environments}"), &portfolio, &[&mail]);
        let outcome = outcome_of(&host, &job).await;
        assert_eq!(outcome.code(), 200, "{kind}: {outcome}");
        let left = azure.faults_left().await.expect("faults");
        assert!(left.is_empty(), "{kind}: {left:?}");
        let state = state(&azure).await;
        assert_eq!(count(&state, "subscriptions"), environments, "{kind}");
    }
    let state = state(&azure).await;
    assert_eq!((count(&state, "users"), count(&state, "roleAssignments")), (5, 5));
}

#[tokio::test]
async fn a_refusal_is_reported_with_its_code_and_with_what_was_created() {
    let azure = azure().await;
    let host = setup(&azure).start().await;
    let portfolio = provisioned(&host, &add_portfolio("job-0"), "portfolio").await;
    for (nth, (call, kinds)) in [
        ("aliases.put", &[][..]),
        ("users.list", &["subscription"][..]),
        ("invitations.post", &["subscription"][..]),
    ]
    .into_iter()
    .enumerate()
    {
        let fault = json!({"operation": call, "kind": "access-denied"});
        azure.fault(&fault).await.expect("a fault");
        let job = add_environment(&format!("job-{nth}-denied"), &portfolio, &[MAIL]);
        let outcome = outcome_of(&host, &job).await;
        assert_eq!(outcome.code(), 403, "{outcome}");
        let made = outcome.response()["made"].as_array().cloned().unwrap_or_default();
        let made: Vec<_> = made.iter().map(|one| one["kind"].clone()).collect();
        assert_eq!(made, *kinds, "{outcome}");
    }
}

#[tokio::test]
async fn work_that_azure_accepts_and_then_fails_is_a_failed_job() {
    let azure = azure().await;
    let host = setup(&azure).start().await;
    let outcome = json!({"code": "QuotaExceeded", "message": "no room"});
    for form in ["async-operation", "location", "resource"] {
        let rules = json!({"managementGroups.put": {"form": form, "outcome": outcome}});
        azure.settings(&json!({"operations": rules})).await.expect("settings");
        let outcome = outcome_of(&host, &add_portfolio(&format!("job-{form}"))).await;
        assert_eq!(outcome.code(), 500, "{form}: {outcome}");
        let details = outcome.response()["details"].as_str().unwrap_or_default();
        let expected = if form == "resource" { "Failed" } else { "QuotaExceeded" };
        assert!(details.starts_with(expected), "{form}: {outcome}");
        assert_eq!(outcome.response()["made"][0]["kind"], "management-group", "{outcome}");
    }
}

#[tokio::test]
async fn a_throttled_query_of_costs_is_asked_again_once_after_the_longest_pause() {
    let azure = azure().await;
    let host = setup(&azure).start().await;
    let portfolio = provisioned(&host, &add_portfolio("job-1"), "portfolio").await;
    provisioned(&host, &add_environment("job-2", &portfolio, &[]), "environment").await;
    let families = json!({"qpu": 1, "entity": 2, "client": 1});
    azure
        .fault(&json!([
            {"operation": "costs.query", "kind": "throttle-429", "families": families},
            {"operation": "costs.query", "kind": "503"},
            {"operation": "costs.query", "kind": "drop-before"},
            {"operation": "costs.query", "kind": "no-content"}
        ]))
        .await
        .expect("faults");
    let outcome = costs_of(&host, &cost("cost-1", &portfolio)).await;
    assert_eq!(outcome.code(), 200, "{outcome}");
    let clins = &outcome.response()["taskOrders"][0]["clins"];
    assert_eq!(clins[0]["actual"], json!({"total": "0.00", "results": []}), "{outcome}");
    let queries = operations(&azure).await.iter().filter(|call| *call == "costs.query").count();
    assert_eq!(queries, 4, "the host repeats no query by itself");
}
