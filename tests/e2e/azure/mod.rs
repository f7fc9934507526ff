//! The adapter for Azure against a local Azure, which Microsoft's SDK judges.

mod certificate;
mod faults;
mod kills;
mod mock;
mod operations;
mod twins;

use hoth_testkit::MockAzure;
use serde_json::Value;
use serde_json::json;

use crate::harness::Outcome;
use crate::harness::Setup;
use crate::harness::TestHost;

const CSP: &str = "AZURE";

/// The role Owner, which is the same in every tenant.
const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";

/// The tenant's root, which the local Azure has from the start.
const ROOT: &str = "11111111-2222-3333-4444-555555555555";

const TASK_ORDER: &str = "TO-1";
const CLIN: &str = "0001";

/// Settings with a task order that pays today, whenever that is.
fn settings() -> String {
    let clin = format!(
        r#"{{ clinNumber = "{CLIN}", type = "CLOUD", classificationLevel = "UNCLASSIFIED", popStartDate = "2020-01", popEndDate = "2099-12" }}"#
    );
    format!(
        r#"parent = "{ROOT}"
role = "{OWNER}"
billing_scope = "/billingAccounts/1234/enrollmentAccounts/5678"
task_orders = [{{ taskOrderNumber = "{TASK_ORDER}", popStartDate = "2020-01", popEndDate = "2099-12", clins = [{clin}] }}]
"#
    )
}

async fn azure() -> MockAzure {
    MockAzure::start().await.expect("a local Azure starts")
}

fn setup(azure: &MockAzure) -> Setup {
    setup_with(azure, "")
}

/// Returns a setup with further lines of settings.
fn setup_with(azure: &MockAzure, lines: &str) -> Setup {
    Setup::new()
        // A new guest is refused once; the adapter then asks for a second.
        .with("[retry]\ninitial_backoff_ms = 20\nmax_backoff_ms = 50\n")
        .azure(CSP, azure, &format!("{}{lines}", settings()))
}

fn job(id: &str, operation: &str, portfolio: Option<&str>, payload: &Value) -> Value {
    let mut job = json!({
        "jobId": id, "userId": "me", "targetCspName": CSP, "operationType": operation,
        "payload": payload
    });
    if let Some(portfolio) = portfolio {
        job["portfolioId"] = json!(portfolio);
    }
    job
}

fn add_portfolio(id: &str) -> Value {
    job(id, "ADD_PORTFOLIO", None, &json!({"name": "Sample", "taskOrders": []}))
}

fn add_environment(id: &str, portfolio: &str, mails: &[&str]) -> Value {
    let payload = json!({
        "name": "Sample", "classificationLevel": "UNCLASSIFIED", "administrators": operators(mails)
    });
    job(id, "ADD_ENVIRONMENT", Some(portfolio), &payload)
}

fn operators(mails: &[&str]) -> Value {
    mails.iter().map(|mail| json!({"email": mail, "dodId": "1234567890"})).collect()
}

fn cost(id: &str, portfolio: &str) -> Value {
    json!({
        "requestId": id, "portfolioId": portfolio, "targetCspName": CSP,
        "startDate": "2026-01", "endDate": "2026-03"
    })
}

async fn outcome_of(host: &TestHost, job: &Value) -> Outcome {
    let snow = host.servicenow();
    snow.provision(job).await;
    snow.outcome().await
}

async fn costs_of(host: &TestHost, request: &Value) -> Outcome {
    let snow = host.servicenow();
    snow.ask_cost(request).await;
    snow.cost_outcome().await
}

/// Runs a job that must succeed, and returns the id of its `object`.
async fn provisioned(host: &TestHost, job: &Value, object: &str) -> String {
    let outcome = outcome_of(host, job).await;
    assert_eq!(outcome.code(), 200, "{outcome}");
    let id = outcome.response()[object]["id"].as_str();
    id.unwrap_or_else(|| panic!("no id of the {object}: {outcome}")).to_owned()
}

async fn state(azure: &MockAzure) -> Value {
    azure.state().await.expect("the local Azure tells its state")
}

async fn operations(azure: &MockAzure) -> Vec<String> {
    let calls = azure.calls().await.expect("the local Azure tells its calls");
    calls.iter().map(|call| call["operation"].as_str().unwrap_or_default().to_owned()).collect()
}

fn count(state: &Value, key: &str) -> usize {
    state[key].as_array().unwrap_or_else(|| panic!("no {key}: {state}")).len()
}
