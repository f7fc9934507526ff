//! The local Azure that adapters are tried against.

use hoth_testkit::MockAzure;
use serde_json::Value;
use serde_json::json;

use super::certificate;
use crate::harness::Setup;
use crate::harness::client;
use crate::harness::eventually;
use crate::harness::job;

const SCOPE: &str = "https://management.core.usgovcloudapi.net/.default";

/// Asks for a token for Azure Resource Manager by the secret of the client.
async fn token(azure: &MockAzure) -> anyhow::Result<String> {
    // No character of these needs an escape in a form.
    let form = format!(
        "grant_type=client_credentials&scope={SCOPE}&client_id={}&client_secret={}",
        azure.text("client_id")?,
        azure.text("client_secret")?
    );
    let request = client().post(azure.token_url()?).body(form);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = request.send().await?;
    let answer: Value = answer.json().await?;
    let token = answer["access_token"].as_str();
    token.map(str::to_owned).ok_or_else(|| anyhow::anyhow!("no token in {answer}"))
}

/// Lists the subscriptions, with the status of the answer.
async fn subscriptions(url: &str, token: &str) -> reqwest::Result<(u16, Value)> {
    let request = client().get(format!("{url}/subscriptions?api-version=2022-12-01"));
    let answer = request.bearer_auth(token).send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

#[tokio::test]
async fn a_local_azure_serves_with_its_client_records_calls_and_stops_when_it_is_dropped() {
    let azure = MockAzure::start().await.expect("a local Azure starts");
    let url = azure.text("arm").expect("a URL").to_owned();
    let (status, refused) = subscriptions(&url, "none").await.expect("the local Azure answers");
    assert_eq!((status, &refused["error"]["code"]), (401, &json!("InvalidAuthenticationToken")));
    let id = azure.subscription(&json!({"displayName": "E1"})).await.expect("a subscription");
    let token = token(&azure).await.expect("a token");
    let (_, listed) = subscriptions(&url, &token).await.expect("the local Azure answers");
    assert_eq!(listed["value"][0]["subscriptionId"], id);
    let calls = azure.calls().await.expect("calls");
    let operations: Vec<_> = calls.iter().map(|call| call["operation"].as_str()).collect();
    let list = Some("subscriptions.list");
    assert_eq!(operations, [list, Some("token.post"), list]);
    let state = azure.state().await.expect("the state");
    assert_eq!(state["subscriptions"][0]["id"], id);
    azure.reset().await.expect("a reset");
    assert!(azure.calls().await.expect("calls").is_empty());

    drop(azure);
    eventually("the local Azure to stop", async || {
        subscriptions(&url, &token).await.is_err_and(|error| error.is_connect()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_local_azure_takes_what_tests_prepare_and_explains_wrong_requests() {
    let azure = MockAzure::start().await.expect("a local Azure starts");
    azure.settings(&json!({"principal_lag": 0})).await.expect("settings");
    azure.application(&json!({"client_id": "a", "secret": "b"})).await.expect("an application");
    azure.user(&json!({"mail": "a.b@example.mil"})).await.expect("a user");
    let costs = json!([{"subscriptionId": "s", "date": "2026-01-01", "cost": "1.5"}]);
    azure.costs(&costs).await.expect("costs");
    azure.settle().await.expect("work ends");
    azure.release().await.expect("answers go on");
    let fault = json!({"kind": "503", "operation": "subscriptions.list"});
    azure.fault(&fault).await.expect("a fault");
    assert_eq!(azure.faults_left().await.expect("faults").len(), 1);
    let token = token(&azure).await.expect("a token");
    let url = azure.text("arm").expect("a URL");
    let (status, _) = subscriptions(url, &token).await.expect("the local Azure answers");
    assert_eq!(status, 503);
    assert_eq!(azure.faults_left().await.expect("faults").len(), 0);
    let flood = json!({"kind": "flood", "operation": "*"});
    let error = azure.fault(&flood).await.expect_err("there is no such fault");
    assert!(error.to_string().contains("`kind` must be one of"), "{error:#}");
    let error = azure.accept_ownership(&json!({"alias": "a"})).await.expect_err("no such alias");
    assert!(error.to_string().contains("KeyError: 'a'"), "{error:#}");
    let error = azure.text("portal").expect_err("there is no portal");
    assert_eq!(error.to_string(), "the local Azure has no `portal`");
}

#[tokio::test]
async fn the_sdk_does_an_operation_at_a_local_azure_for_comparison() {
    let azure = MockAzure::start().await.expect("a local Azure starts");
    let input = json!({"payload": {"name": "P1"}});
    let calls = azure.twin("ADD_PORTFOLIO", &input, &json!({})).await.expect("the SDK's calls");
    assert_eq!(calls[0]["operation"], "managementGroups.put");
    assert_eq!(calls[0]["body"]["properties"]["displayName"], "P1");
    let none = json!({});
    let recorded = azure.twin("RECORDED", &none, &none).await.expect("the recorded calls");
    assert_eq!(recorded, calls);
    let state = azure.twin("STATE", &none, &none).await.expect("the state");
    assert_eq!(state["managementGroups"][0]["managementGroups"][0]["displayName"], "P1");
    azure.twin("NONE", &none, &none).await.expect_err("there is no such operation");
}

/// Returns a host with four CSPs at the local Azure, each with another way to
/// prove its identity to Entra.
fn authenticating(azure: &MockAzure) -> anyhow::Result<Setup> {
    let (base_url, token_url) = (azure.text("arm")?, azure.token_url()?);
    let id = azure.text("client_id")?;
    let sources = certificate::SOURCES;
    let mut tables = String::new();
    for (name, client_id, proof) in [
        ("BASIC", id, "client_secret = { env = \"SECRET\" }".to_owned()),
        (
            "POST",
            id,
            "client_secret = { env = \"SECRET\" }\nclient_authentication = \"post\"".to_owned(),
        ),
        ("PS256", certificate::CLIENT, format!("client_certificate = {{ {sources} }}")),
        (
            "RS256",
            certificate::CLIENT,
            format!("client_certificate = {{ {sources}, algorithm = \"RS256\" }}"),
        ),
    ] {
        tables += &format!(
            r#"
[csp.{name}]
adapter = "stratus"
base_url = "{base_url}"
[csp.{name}.oauth2]
token_url = "{token_url}"
client_id = "{client_id}"
scopes = ["{SCOPE}"]
{proof}
"#
        );
    }
    // This adapter names no scopes of its own.
    let setup = Setup::new().with(&tables).bundled("stratus");
    let setup = setup.environment("SECRET", azure.text("client_secret")?);
    Ok(certificate::provide(setup))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entra_accepts_the_secrets_and_assertions_of_the_host() {
    let azure = MockAzure::start().await.expect("a local Azure starts");
    azure.settings(&json!({"refuse_reused_assertions": true})).await.expect("settings");
    certificate::register(&azure).await;
    let host = authenticating(&azure).expect("a configuration").start().await;
    let snow = host.servicenow();
    // The adapter speaks another API, which ARM refuses after the token.
    let (given, refused) = (("token", 200), ("arm", 400));
    for (id, csp, expected) in [
        ("job-1", "BASIC", vec![given, refused]),
        ("job-2", "POST", vec![given, refused]),
        ("job-3", "PS256", vec![given, refused]),
        ("job-4", "RS256", vec![given, refused]),
        // The host keeps its token.
        ("job-5", "RS256", vec![refused]),
    ] {
        let before = azure.calls().await.expect("calls").len();
        snow.provision(&job(id, csp, "ADD_PORTFOLIO")).await;
        assert_eq!(snow.outcome().await.code(), 400, "{csp}");
        assert_eq!(answers(&azure, before).await, expected_answers(&expected), "{csp}");
    }

    azure.expire().await.expect("tokens expire");
    let before = azure.calls().await.expect("calls").len();
    snow.provision(&job("job-6", "PS256", "ADD_PORTFOLIO")).await;
    assert_eq!(snow.outcome().await.code(), 400);
    let renewed = [("arm", 401), given, refused];
    assert_eq!(answers(&azure, before).await, expected_answers(&renewed));
}

/// Returns service and status of the calls from number `first`.
async fn answers(azure: &MockAzure, first: usize) -> Vec<Value> {
    let calls = azure.calls().await.expect("calls");
    calls[first..].iter().map(|call| json!([call["service"], call["answer"]])).collect()
}

fn expected_answers(expected: &[(&str, u16)]) -> Vec<Value> {
    expected.iter().map(|(service, status)| json!([service, status])).collect()
}
