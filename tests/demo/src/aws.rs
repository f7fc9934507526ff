//! `cargo xtask demo --aws`: provisions at a local AWS, and shows with boto3
//! what stands in its organizations.

use anyhow::Context as _;
use hoth_testkit::AwsPartition;
use hoth_testkit::HostConfig;
use hoth_testkit::MockAws;
use serde_json::Value;
use serde_json::json;

use crate::cloud::ServiceNow;
use crate::cloud::id_of;
use crate::deployment::Built;
use crate::deployment::stop;

/// A polling schedule that is quick enough to watch.
const POLLING: &str = "[polling]\ninitial_ms = 200\nmax_ms = 1000";

/// Provisions a portfolio, an environment with operators and a task order, and
/// collects costs.
pub async fn play(built: &Built) -> anyhow::Result<()> {
    println!("Starting a local AWS, which verifies every signature, and a host");
    let aws = MockAws::start().await?;
    let directory = tempfile::tempdir().context("making a temporary folder")?;
    let config = HostConfig::default()
        .table(POLLING)
        .adapter_file("aws", &built.adapter.with_file_name("aws.wasm"))
        .aws("AWS", &aws, AwsPartition::Commercial, "")?;
    let command = config.write(&built.program, directory.path())?;
    let (host, addresses) = command.start().await?;
    let snow = ServiceNow { api: addresses.api()?, csp: "AWS" };

    println!("\nOutcomes that ServiceNow collected:");
    let payload = json!({"name": "Demo", "taskOrders": [task_order("TO-1")]});
    let portfolio = snow.provision("portfolio", "ADD_PORTFOLIO", None, &payload).await?;
    let portfolio = id_of(&portfolio, "portfolio")?;
    let payload = json!({
        "name": "Production", "classificationLevel": "UNCLASSIFIED",
        "administrators": [operator("ada@example.mil")]
    });
    let of_portfolio = Some(portfolio.as_str());
    let environment =
        snow.provision("environment", "ADD_ENVIRONMENT", of_portfolio, &payload).await?;
    let environment = id_of(&environment, "environment")?;
    let payload = json!({
        "environmentId": environment, "administrators": [operator("grace@example.mil")]
    });
    snow.provision("operators", "ADD_OPERATORS", of_portfolio, &payload).await?;
    let payload = json!({"taskOrder": task_order("TO-2")});
    snow.provision("task-order", "ADD_TASK_ORDER", of_portfolio, &payload).await?;
    let months = json!({"2026-01": "12.5", "2026-02": "0.000012"});
    aws.costs(&json!({"costs": {environment: months}})).await?;
    snow.costs(&portfolio, "2026-01", "2026-03").await?;

    println!("\nWhat stands in the organizations, read with boto3:");
    for line in aws.show().await?.lines() {
        println!("  {line}");
    }
    stop(host).await
}

fn operator(email: &str) -> Value {
    json!({"email": email, "dodId": "1122334455"})
}

/// A task order that pays whenever the demo runs.
fn task_order(number: &str) -> Value {
    json!({
        "taskOrderNumber": number, "popStartDate": "2020-01", "popEndDate": "2099-12",
        "clins": [{
            "clinNumber": "0001", "type": "CLOUD", "classificationLevel": "UNCLASSIFIED",
            "popStartDate": "2020-01", "popEndDate": "2099-12"
        }]
    })
}
