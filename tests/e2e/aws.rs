//! The local AWS that adapters are tried against.

use hoth_testkit::MockAws;
use serde_json::Value;
use serde_json::json;

use crate::harness::client;
use crate::harness::eventually;

/// Sends a call without a signature to an endpoint.
async fn unsigned(url: &str) -> reqwest::Result<Value> {
    let request = client().post(url).body("{}");
    let request = request.header("x-amz-target", "AWSOrganizationsV20161128.ListRoots");
    request.send().await?.json().await
}

#[tokio::test]
async fn a_local_aws_serves_with_its_keys_records_calls_and_stops_when_it_is_dropped() {
    let aws = MockAws::start().await.expect("a local AWS starts");
    let url = aws.url("organizations-gov").expect("an endpoint").to_owned();
    let refused = unsigned(&url).await.expect("the local AWS answers");
    assert_eq!(refused["__type"], "com.amazon.coral.service#MissingAuthenticationTokenException");
    let calls = aws.calls().await.expect("calls");
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!(calls[0]["operation"], "ListRoots");
    assert_eq!(calls[0]["accepted"], false);

    let key = aws.key("management-gov").expect("a key");
    let state = aws.state().await.expect("the state");
    let gov = &state["partitions"]["aws-us-gov"];
    assert_eq!(gov["accounts"][0]["id"], key.account);
    assert_eq!(gov["root"], aws.id("aws-us-gov", "root").expect("an id"));

    drop(aws);
    eventually("the local AWS to stop", async || {
        unsigned(&url).await.is_err_and(|error| error.is_connect()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_local_aws_takes_faults_settings_and_costs_and_explains_wrong_ones() {
    let aws = MockAws::start().await.expect("a local AWS starts");
    aws.fault(&json!({"kind": "drop-before"})).await.expect("a fault");
    aws.settings(&json!({"creation_polls": 0})).await.expect("settings");
    aws.costs(&json!({"costs": {"111122223333": {"2026-01": "1.5"}}})).await.expect("costs");
    aws.expire().await.expect("keys expire");
    aws.settle().await.expect("work ends");
    assert_eq!(aws.faults_left().await.expect("faults").len(), 1);
    let url = aws.url("organizations").expect("an endpoint");
    let error = unsigned(url).await.expect_err("the connection is cut");
    assert!(!error.is_connect(), "{error}");
    assert_eq!(aws.faults_left().await.expect("faults").len(), 0);
    let error = aws.fault(&json!({"kind": "flood"})).await.expect_err("there is no such fault");
    assert!(error.to_string().contains("`kind` must be one of"), "{error:#}");
    let error = aws.url("ce-gov").expect_err("GovCloud has no Cost Explorer");
    assert_eq!(error.to_string(), "the local AWS has no endpoint `ce-gov`");
}
