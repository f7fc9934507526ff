//! Every operation, and what ServiceNow gets.

use reqwest::Method;
use serde_json::json;

use super::CSP;
use super::add_environment;
use super::add_portfolio;
use super::azure;
use super::certificate;
use super::cost;
use super::costs_of;
use super::count;
use super::job;
use super::operations;
use super::operators;
use super::outcome_of;
use super::provisioned;
use super::settings;
use super::setup;
use super::setup_with;
use super::state;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::eventually;

#[tokio::test]
async fn a_portfolio_an_environment_and_operators_are_provisioned_and_no_secret_leaves() {
    let azure = azure().await;
    azure.user(&json!({"mail": "member@example.mil"})).await.expect("a user");
    let host = setup(&azure).start().await;
    let portfolio = provisioned(&host, &add_portfolio("job-1"), "portfolio").await;

    let mails = ["guest@example.mil", "member@example.mil"];
    let outcome = outcome_of(&host, &add_environment("job-2", &portfolio, &mails)).await;
    assert_eq!(outcome.code(), 200, "{outcome}");
    let environment = outcome.response()["environment"].clone();
    let id = environment["id"].as_str().expect("an id");
    assert_eq!(environment["clinNumber"], "0001");

    let more = json!({"environmentId": id, "administrators": operators(&["second@example.mil"])});
    let more = outcome_of(&host, &job("job-3", "ADD_OPERATORS", Some(&portfolio), &more)).await;
    assert_eq!(more.code(), 200, "{more}");

    let read =
        outcome_of(&host, &job("job-4", "GET_PORTFOLIO", Some(&portfolio), &json!({}))).await;
    let expected = json!([{"id": id, "name": "Sample"}]);
    assert_eq!(read.response()["portfolio"]["environments"], expected, "{read}");
    assert_eq!(read.response()["portfolio"]["taskOrderNumbers"], json!(["TO-1"]));

    let state = state(&azure).await;
    assert_eq!(state["subscriptions"][0]["parent"], portfolio);
    assert_eq!(state["subscriptions"][0]["tags"]["hoth-clin"], "TO-1.0001");
    assert_eq!((count(&state, "users"), count(&state, "roleAssignments")), (3, 3));
    assert_eq!(state["invitations"], 2);
    // Links that sign a guest in went through the adapter, and addresses, too.
    let secrets: Vec<String> = serde_json::from_value(state["secrets"].clone()).expect("texts");
    assert!(!secrets.is_empty());
    let told = [&outcome, &more, &read].map(ToString::to_string).join("\n");
    let log: Vec<String> = host.log().iter().map(ToString::to_string).collect();
    let journals = journals(&host, 4).await;
    assert!(journals.contains("inviteRedeemUrl"), "the answer to an invitation: {journals}");
    for text in [&told, &log.join("\n"), &journals] {
        for secret in &secrets {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
    for mail in mails {
        assert!(!journals.contains(mail), "{mail} is in {journals}");
    }
}

/// Waits for the journals of the adapter, and returns them as one text.
async fn journals(host: &TestHost, count: usize) -> String {
    let folder = host.directory().join("data/journals/azure");
    eventually("the journals to be written", async || {
        let files = std::fs::read_dir(&folder).ok()?;
        let files = files.map(|file| file.expect("a folder entry can be read").path());
        let files: Vec<_> =
            files.filter(|file| file.extension() == Some("json".as_ref())).collect();
        let read = |file| std::fs::read_to_string(file).expect("a journal can be read");
        (files.len() == count).then(|| files.iter().map(read).collect::<Vec<_>>().join("\n"))
    })
    .await
}

#[tokio::test]
async fn a_certificate_gives_the_tokens_of_both_endpoints() {
    let azure = azure().await;
    certificate::register(&azure).await;
    let text = |name| azure.text(name).expect("the local Azure says where it is");
    let tables = format!(
        r#"
[csp.{CSP}]
adapter = "azure"
base_url = "{}"
[csp.{CSP}.settings]
cloud = "public"
{}
[csp.{CSP}.endpoints.graph]
url = "{}"
[csp.{CSP}.oauth2]
token_url = "{}"
client_id = "{}"
client_certificate = {{ {} }}
"#,
        text("arm"),
        settings(),
        text("graph"),
        azure.token_url().expect("the local Azure has a tenant"),
        certificate::CLIENT,
        certificate::SOURCES,
    );
    let setup = certificate::provide(Setup::new().with(&tables).bundled("azure"));
    let host = setup.start().await;
    let portfolio = provisioned(&host, &add_portfolio("job-1"), "portfolio").await;
    let payload = json!({"administrators": operators(&["a.b@example.mil"])});
    let outcome =
        outcome_of(&host, &job("job-2", "ADD_OPERATORS", Some(&portfolio), &payload)).await;
    assert_eq!(outcome.code(), 200, "{outcome}");
    let state = state(&azure).await;
    assert!(state["roleAssignments"][0]["scope"].to_string().contains(&portfolio), "{state}");
}

#[tokio::test]
async fn every_form_of_a_long_running_operation_ends() {
    let azure = azure().await;
    let host = setup(&azure).start().await;
    let forms = ["async-operation", "location", "resource", "status"];
    let words = ["documented", "upper", "lower", "swapped"];
    for (nth, (form, words)) in forms.into_iter().zip(words).enumerate() {
        let rules = json!({"form": form, "words": words, "status": if form == "status" { 200 } else { 201 }});
        let settings = json!({"operations": {"managementGroups.put": rules, "aliases.put": rules}});
        azure.settings(&settings).await.expect("settings");
        let portfolio = provisioned(&host, &add_portfolio(&format!("p-{nth}")), "portfolio").await;
        let job = add_environment(&format!("e-{nth}"), &portfolio, &[]);
        provisioned(&host, &job, "environment").await;
        let state = state(&azure).await;
        assert_eq!(count(&state, "managementGroups"), nth + 2, "{form}");
        assert_eq!(count(&state, "subscriptions"), nth + 1, "{form}");
    }
}

#[tokio::test]
async fn costs_are_added_by_clin_over_pages_and_years() {
    let azure = azure().await;
    azure.settings(&json!({"cost_page_rows": 1})).await.expect("settings");
    let host = setup(&azure).start().await;
    let portfolio = provisioned(&host, &add_portfolio("job-1"), "portfolio").await;
    let marked = |id: &str, mark: &str| json!({"id": id, "displayName": id, "parent": portfolio, "tags": {"hoth-clin": mark}});
    for subscription in [
        marked("s-1", "TO-1.0001"),
        marked("s-2", "TO-1.0001"),
        marked("s-3", "TO-2.0005"),
        json!({"id": "s-4", "displayName": "s-4", "parent": portfolio}),
    ] {
        azure.subscription(&subscription).await.expect("a subscription");
    }
    let line = |id: &str, date: &str, cost: &str| json!({"subscriptionId": id, "date": date, "cost": cost});
    let lines = json!([
        line("s-1", "2025-02-03", "5"),
        line("s-1", "2026-01-05", "0.1"),
        line("s-2", "2026-01-31", "0.2"),
        line("s-2", "2026-03-01", "0.000012"),
        line("s-3", "2026-02-01", "7.5"),
        line("s-4", "2026-02-01", "100"),
    ]);
    azure.costs(&lines).await.expect("costs");

    let clin = |number: &str, total: &str, results: &[(&str, &str)]| {
        let result = |(month, value): &(&str, &str)| json!({"month": month, "value": value});
        let results: Vec<_> = results.iter().map(result).collect();
        json!({"clinNumber": number, "actual": {"total": total, "results": results}})
    };
    let order = |number: &str, clin: serde_json::Value| json!({"taskOrderId": number, "taskOrderNumber": number, "clins": [clin]});
    let first = [("2026-01", "0.30"), ("2026-03", "0.000012")];
    let outcome = costs_of(&host, &cost("cost-1", &portfolio)).await;
    assert_eq!(outcome.code(), 200, "{outcome}");
    let expected = json!([
        order("TO-1", clin("0001", "0.300012", &first)),
        order("TO-2", clin("0005", "7.50", &[("2026-02", "7.50")])),
    ]);
    assert_eq!(outcome.response()["taskOrders"], expected, "{outcome}");

    // Azure shows a year at a time.
    let mut request = cost("cost-2", &portfolio);
    request["startDate"] = json!("2025-01");
    request["taskOrderNumber"] = json!("TO-1");
    request["clin"] = json!("0001");
    let outcome = costs_of(&host, &request).await;
    let years = [("2025-02", "5.00"), ("2026-01", "0.30"), ("2026-03", "0.000012")];
    let expected = json!([order("TO-1", clin("0001", "5.300012", &years))]);
    assert_eq!(outcome.response()["taskOrders"], expected, "{outcome}");

    // Where management groups have no costs, each subscription is asked for.
    azure.settings(&json!({"agreement": "MCA"})).await.expect("settings");
    request["requestId"] = json!("cost-3");
    let refused = costs_of(&host, &request).await;
    assert_eq!(refused.code(), 400, "{refused}");
    drop(host);
    let host = setup_with(&azure, "cost_scope = \"subscription\"\n").start().await;
    request["requestId"] = json!("cost-4");
    let outcome = costs_of(&host, &request).await;
    assert_eq!(outcome.response()["taskOrders"], expected, "{outcome}");
}

#[tokio::test]
async fn task_orders_have_no_place_in_azure() {
    let azure = azure().await;
    let host = setup(&azure).start().await;
    let order = crate::harness::task_order();
    let posted = job("job-1", "ADD_TASK_ORDER", Some("p"), &json!({"taskOrder": order}));
    let answer = host.servicenow().send(Method::POST, "/provisioning-jobs", Some(&posted)).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    let problem = answer.json()["errorMap"]["operationType"].to_string();
    assert!(problem.contains(&format!("{CSP} does not offer ADD_TASK_ORDER")), "{problem}");
    assert!(operations(&azure).await.is_empty());
}
