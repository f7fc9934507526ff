//! `cargo xtask demo --azure`: provisions at a local Azure, and shows with
//! Microsoft's SDK what stands in its tenant.

use anyhow::Context as _;
use hoth_testkit::HostConfig;
use hoth_testkit::MockAzure;
use serde_json::json;

use crate::cloud::ServiceNow;
use crate::cloud::id_of;
use crate::deployment::Built;
use crate::deployment::stop;

const CSP: &str = "AZURE";

/// Settings with a task order that pays whenever the demo runs. The role is
/// Owner, which has the same id in every tenant.
const SETTINGS: &str = r#"
role = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
billing_scope = "/billingAccounts/1234/enrollmentAccounts/5678"
[[csp.AZURE.settings.task_orders]]
taskOrderNumber = "TO-1"
popStartDate = "2020-01"
popEndDate = "2099-12"
[[csp.AZURE.settings.task_orders.clins]]
clinNumber = "0001"
type = "CLOUD"
classificationLevel = "UNCLASSIFIED"
popStartDate = "2020-01"
popEndDate = "2099-12"
"#;

/// A polling schedule that is quick enough to watch.
const POLLING: &str = "[polling]\ninitial_ms = 200\nmax_ms = 1000";

/// Provisions a portfolio, an environment and operators, and collects costs.
pub async fn play(built: &Built) -> anyhow::Result<()> {
    println!("Starting a local Azure and a host");
    let azure = MockAzure::start().await?;
    let directory = tempfile::tempdir().context("making a temporary folder")?;
    let config = HostConfig::default()
        .table(POLLING)
        .adapter_file("azure", &built.adapter.with_file_name("azure.wasm"))
        .azure(CSP, &azure, SETTINGS)?;
    let command = config.write(&built.program, directory.path())?;
    let (host, addresses) = command.start().await?;
    let snow = ServiceNow { api: addresses.api()?, csp: CSP };

    println!("\nOutcomes that ServiceNow collected:");
    let payload = json!({"name": "Demo", "taskOrders": []});
    let portfolio = snow.provision("portfolio", "ADD_PORTFOLIO", None, &payload).await?;
    let portfolio = id_of(&portfolio, "portfolio")?;
    let of_portfolio = Some(portfolio.as_str());
    let operator = |mail: &str| json!({"email": mail, "dodId": "1122334455"});
    let payload = json!({
        "name": "Production", "classificationLevel": "UNCLASSIFIED",
        "administrators": [operator("ada@example.mil")]
    });
    let environment =
        snow.provision("environment", "ADD_ENVIRONMENT", of_portfolio, &payload).await?;
    let environment = id_of(&environment, "environment")?;
    let payload = json!({
        "environmentId": environment, "administrators": [operator("grace@example.mil")]
    });
    snow.provision("operators", "ADD_OPERATORS", of_portfolio, &payload).await?;
    let line =
        |date: &str, cost: &str| json!({"subscriptionId": environment, "date": date, "cost": cost});
    let lines = json!([line("2026-01-05", "12.5"), line("2026-02-05", "0.000012")]);
    azure.costs(&lines).await?;
    snow.costs(&portfolio, "2026-01", "2026-03").await?;

    println!("\nWhat stands in the tenant, read with Microsoft's SDK:");
    for line in azure.show().await?.lines() {
        println!("  {line}");
    }
    stop(host).await
}
