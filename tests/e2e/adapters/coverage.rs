//! The requirements of CSPs: a version must support them to be activated.

use std::fs;

use reqwest::Method;
use reqwest::StatusCode;
use serde_json::json;

use super::active;
use super::atat;
use super::becomes_active;
use super::put;
use super::rename_into;
use super::roll_back;
use super::sha256;
use crate::csp;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::component;
use crate::harness::eventually;
use crate::harness::job;
use hoth_runtime::testing::TestGuest;

/// Builds an adapter that answers everything at once, with this description.
fn describing(operations: &'static [&'static str], manifest: &'static str) -> Vec<u8> {
    TestGuest { operations, manifest, ..TestGuest::default() }.build()
}

async fn refused(host: &TestHost, wasm: Vec<u8>, expected: &str) {
    let before = active(&atat(host).await);
    let (status, answer) = put(host, wasm.clone()).await.expect("HOTH answers");
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert!(answer["message"].as_str().expect("a text").contains(expected), "{answer}");
    let listing = atat(host).await;
    assert_eq!(active(&listing), before);
    assert_eq!(listing["refused"]["reason"], "coverage", "{listing}");
    assert_eq!(listing["refused"]["sha256"], sha256(&wasm), "{listing}");
}

async fn problem(host: &TestHost, expected: &str) {
    eventually(expected, || async {
        let listing = atat(host).await;
        listing["problem"].as_str().is_some_and(|problem| problem.contains(expected)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_version_that_lacks_required_operations_is_refused() {
    let csp = csp::sync().await;
    let list = r#"operations = ["ADD_PORTFOLIO", "COST_BY_CLIN"]"#;
    let host = Setup::new().csp("CSP_ANY", &csp).csp_with("CSP_LIST", &csp, list).start().await;
    let before = active(&atat(&host).await);

    let less = describing(&["add-portfolio", "get-portfolio"], "{}");
    let listed = "lacks operations listed in `csp.CSP_LIST.operations`: cost-by-clin;";
    refused(&host, less.clone(), listed).await;
    let dropped = "operations of the active version for CSP_ANY, and jobs for them may be queued: \
                   add-environment, add-task-order, update-task-order, add-operators, \
                   cost-by-portfolio, cost-by-clin;";
    refused(&host, less.clone(), dropped).await;
    refused(
        &host,
        describing(&["make-tea"], "{}"),
        "operations listed in `csp.CSP_LIST.operations`",
    )
    .await;
    refused(
        &host,
        describing(&["add-portfolio"], r#"{"credentials":{"keys":{}}}"#),
        "`[csp.CSP_ANY.credentials.keys]`",
    )
    .await;
    let url = format!("{}/adapters/atat?dry-run=true", host.admin());
    let answer = client().put(url).body(less.clone()).send().await.expect("HOTH answers");
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "a dry run says the same");

    rename_into(&host.directory().join("adapters"), &less);
    problem(&host, "refused `atat.wasm`: `describe` lacks operations").await;
    assert_eq!(active(&atat(&host).await), before);
    let metrics = client().get(format!("{}/metrics", host.admin())).send().await;
    let metrics = metrics.expect("HOTH answers").text().await.expect("metrics are text");
    let line = r#"hoth_adapter_refusals_total{adapter="atat",reason="coverage"} 5"#;
    assert!(metrics.contains(line), "{metrics}");
    host.logged("the refusal", |line| line["reason"] == "coverage").await;

    // An adapter that no CSP names has no requirements.
    let url = format!("{}/adapters/spare", host.admin());
    let answer = client().put(url).body(less).send().await.expect("HOTH answers");
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_operation_that_a_csp_does_not_offer_is_not_queued() {
    let csp = csp::sync().await;
    let list = r#"operations = ["ADD_PORTFOLIO", "COST_BY_CLIN"]"#;
    let host = Setup::new().csp_with("CSP_TEST", &csp, list).start().await;
    // The version supports everything that the CSP offers, which is enough.
    let enough = describing(&["cost-by-clin", "add-portfolio"], "{}");
    let (status, answer) = put(&host, enough).await.expect("HOTH answers");
    assert_eq!(status, StatusCode::OK, "{answer}");

    let snow = host.servicenow();
    let cost = |clin: Option<&str>| {
        json!({
            "requestId": "cost-1", "portfolioId": "p", "targetCspName": "CSP_TEST",
            "startDate": "2026-01", "endDate": "2026-02",
            "taskOrderNumber": clin.map(|_| "t"), "clin": clin
        })
    };
    for (path, body, field, word) in [
        (
            "/provisioning-jobs",
            job("1", "CSP_TEST", "ADD_ENVIRONMENT"),
            "operationType",
            "ADD_ENVIRONMENT",
        ),
        ("/cost-jobs", cost(None), "targetCspName", "COST_BY_PORTFOLIO"),
    ] {
        let answer = snow.send(Method::POST, path, Some(&body)).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
        let expected =
            format!("CSP_TEST does not offer {word}; it offers ADD_PORTFOLIO, COST_BY_CLIN");
        assert_eq!(answer.json()["errorMap"], json!({ field: expected }));
    }
    snow.ask_cost(&cost(Some("1"))).await;
    snow.provision(&job("2", "CSP_TEST", "ADD_PORTFOLIO")).await;
    assert_eq!(snow.cost_outcome().await.code(), 200);
    assert_eq!(snow.outcome().await.code(), 200);
    host.emptied().await;
}

#[tokio::test]
async fn an_operation_that_the_adapter_of_a_csp_does_not_have_is_not_queued() {
    const TABLE: &str = "[csp.CSP_LATER]\nadapter = \"later\"\npaused = true\n\
                         base_url = \"http://127.0.0.1:9\"\n";
    let csp = csp::sync().await;
    let host = Setup::new().csp("CSP_TEST", &csp).with(TABLE).start().await;
    let snow = host.servicenow();
    // While no version is active, the next one may have the operation.
    snow.provision(&job("1", "CSP_LATER", "ADD_PORTFOLIO")).await;
    let deploy = client().put(format!("{}/adapters/later", host.admin()));
    let deployed = deploy.body(describing(&["get-portfolio"], "{}")).send().await;
    assert_eq!(deployed.expect("HOTH answers").status(), StatusCode::OK);
    let late = job("2", "CSP_LATER", "ADD_PORTFOLIO");
    let answer = snow.send(Method::POST, "/provisioning-jobs", Some(&late)).await;
    let problem = "CSP_LATER does not offer ADD_PORTFOLIO; it offers GET_PORTFOLIO";
    assert_eq!(
        (answer.status, &answer.json()["errorMap"]),
        (400, &json!({"operationType": problem}))
    );
    let resume = client().post(format!("{}/csps/CSP_LATER/resume", host.admin()));
    assert_eq!(resume.send().await.expect("HOTH answers").status(), StatusCode::OK);
    let message = snow.outcome().await;
    assert_eq!(message.code(), 400, "{message}");
    let details = message.response()["details"].as_str().expect("a sentence");
    assert!(details.contains("add-portfolio"), "{details}");
}

#[tokio::test]
async fn a_changed_configuration_keeps_the_active_version_but_blocks_rollbacks() {
    const TABLE: &str = "[csp.CSP_TEST.endpoints.costs]\nurl = \"https://costs.example.com\"\n\
                         named_credentials = [\"billing\"]\n\
                         [csp.CSP_TEST.credentials.billing.basic]\nusername = \"u\"\n\
                         password = { env = \"PATH\" }\n";
    let csp = csp::sync().await;
    let mut host = Setup::new().csp("CSP_TEST", &csp).with(TABLE).start().await;
    let all = &[
        "add-portfolio",
        "get-portfolio",
        "add-environment",
        "add-task-order",
        "update-task-order",
        "add-operators",
        "cost-by-portfolio",
        "cost-by-clin",
    ];
    let billing = describing(all, r#"{"credentials":{"billing":{}}}"#);
    let (status, answer) = put(&host, billing.clone()).await.expect("HOTH answers");
    assert_eq!(status, StatusCode::OK, "{answer}");

    host.terminate().await;
    let file = host.directory().join("hoth.toml");
    let text = fs::read_to_string(&file).expect("the configuration can be read");
    fs::write(&file, text.replace(TABLE, "")).expect("it can be written");
    host.restart().await;
    let lacks = "credentials not configured for CSP_TEST: \"billing\"; add `[csp.CSP_TEST.credentials.billing]`";
    problem(&host, lacks).await;
    assert_eq!(active(&atat(&host).await), [sha256(&billing)]);
    let snow = host.servicenow();
    snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    assert_eq!(snow.outcome().await.code(), 200);

    // Another version becomes active, so the first one would have to come back.
    let other = fs::read(component("atat")).expect("the adapter can be read");
    rename_into(&host.directory().join("adapters"), &other);
    becomes_active(&host, &sha256(&other)).await;
    assert!(atat(&host).await.get("problem").is_none());
    let (status, answer) = roll_back(&host, None).await.expect("HOTH answers");
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert!(answer["message"].as_str().expect("a text").contains(lacks), "{answer}");
    assert_eq!(active(&atat(&host).await), [sha256(&other)]);
}

#[tokio::test]
async fn a_rollback_to_a_version_with_fewer_operations_is_permitted() {
    let csp = csp::sync().await;
    let host = Setup::new().csp("CSP_TEST", &csp).environment("HOTH__ADAPTERS__DIRECTORY", "bare");
    let host = host.start().await;
    let one = describing(&["add-portfolio"], "{}");
    let two = describing(&["add-portfolio", "get-portfolio"], "{}");
    for wasm in [&one, &two] {
        let (status, answer) = put(&host, wasm.clone()).await.expect("HOTH answers");
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    refused(&host, one.clone(), "operations of the active version for CSP_TEST").await;
    let (status, answer) = roll_back(&host, None).await.expect("HOTH answers");
    assert_eq!((status, &answer["sha256"]), (StatusCode::OK, &json!(sha256(&one))), "{answer}");
}
