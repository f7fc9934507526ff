//! The local AWS that adapters are tried against.

use hoth_testkit::MockAws;
use serde_json::Value;
use serde_json::json;

use crate::harness::Setup;
use crate::harness::client;
use crate::harness::eventually;
use crate::harness::job;

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

/// Returns a host with three CSPs at the local AWS: `KEYS` signs with fixed
/// keys in the commercial partition, `ROLE` and `WEB` with those of roles in
/// GovCloud.
fn signing(aws: &MockAws) -> anyhow::Result<Setup> {
    let (commercial, gov) = (aws.key("management")?, aws.key("management-gov")?);
    let csp = |name: &str, endpoint: &str, region: &str| {
        let url = aws.url(endpoint)?;
        anyhow::Ok(format!(
            r#"
[csp.{name}]
adapter = "atat"
base_url = "{url}"
[csp.{name}.aws_sigv4]
signing = {{ service = "organizations", region = "{region}" }}
"#
        ))
    };
    let role = format!(
        r#"
role_arn = "arn:aws-us-gov:iam::{}:role/hoth-management"
sts_url = "{}"
"#,
        gov.account,
        aws.url("sts-gov")?
    );
    let tables = format!(
        r#"
{}
access_key_id = {{ env = "ID" }}
secret_access_key = {{ env = "SECRET" }}
{}
[csp.ROLE.credentials.base.aws_sigv4]
access_key_id = {{ env = "GOV_ID" }}
secret_access_key = {{ env = "GOV_SECRET" }}
[csp.ROLE.aws_sigv4.assume_role]
from = "base"
region = "us-gov-west-1"
{role}
{}
[csp.WEB.aws_sigv4.web_identity]
token = {{ env = "WEB_TOKEN" }}
{role}
"#,
        csp("KEYS", "organizations", "us-east-1")?,
        csp("ROLE", "organizations-gov", "us-gov-west-1")?,
        csp("WEB", "organizations-gov", "us-gov-west-1")?,
    );
    let token = aws.document()["web_identity_token"].as_str().unwrap_or_default();
    let setup = Setup::new().with(&tables).environment("WEB_TOKEN", token);
    let setup = setup.environment("ID", &commercial.id).environment("SECRET", &commercial.secret);
    Ok(setup.environment("GOV_ID", &gov.id).environment("GOV_SECRET", &gov.secret))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn botocore_agrees_with_the_signatures_of_the_host() {
    let aws = MockAws::start().await.expect("a local AWS starts");
    let host = signing(&aws).expect("a configuration").start().await;
    let snow = host.servicenow();
    let role = "arn:aws-us-gov:sts::200000000002:assumed-role/hoth-management/hoth";
    for (id, csp, holders) in [
        ("job-1", "KEYS", vec!["arn:aws:iam::100000000001:user/management"]),
        ("job-2", "ROLE", vec!["arn:aws-us-gov:iam::200000000002:user/management", role]),
        ("job-3", "WEB", vec![role]),
        // The keys are those of before, until AWS refuses them.
        ("job-4", "WEB", vec![role]),
    ] {
        let before = aws.calls().await.expect("calls").len();
        snow.provision(&job(id, csp, "ADD_PORTFOLIO")).await;
        // The adapter speaks another API, which AWS refuses after its checks.
        assert_eq!(snow.outcome().await.code(), 400, "{csp}");
        let calls = aws.calls().await.expect("calls");
        let signed = calls[before..].iter().filter(|call| !call["caller"].is_null());
        let callers: Vec<_> = signed.map(|call| call["caller"].clone()).collect();
        assert_eq!(callers, holders, "{calls:#?}");
        let last = calls.last().expect("a call");
        assert_eq!(last["error"], "UnknownOperationException", "{last:#}");
    }

    aws.expire().await.expect("keys expire");
    let before = aws.calls().await.expect("calls").len();
    snow.provision(&job("job-5", "WEB", "ADD_PORTFOLIO")).await;
    assert_eq!(snow.outcome().await.code(), 400);
    let calls = aws.calls().await.expect("calls");
    let seen: Vec<_> = calls[before..].iter().map(|call| call["error"].clone()).collect();
    let renewed = [json!("ExpiredTokenException"), Value::Null, json!("UnknownOperationException")];
    assert_eq!(seen, renewed, "{calls:#?}");
}
