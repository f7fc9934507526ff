//! `cargo xtask demo --azure`: provisions at a local Azure, and shows with
//! Microsoft's SDK what stands in its tenant.

use hoth_testkit::HostConfig;
use hoth_testkit::MockAzure;
use serde_json::json;

use crate::cloud::Cloud;
use crate::deployment::Built;

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

/// Provisions a portfolio, an environment and operators, and collects costs.
pub async fn play(built: &Built) -> anyhow::Result<()> {
    println!("Starting a local Azure and a host");
    let azure = MockAzure::start().await?;
    let add_csp = |config: HostConfig| config.azure(CSP, &azure, SETTINGS);
    let cloud = Cloud::start(built, "azure", CSP, add_csp).await?;

    let portfolio = cloud.portfolio(&json!([])).await?;
    let environment = cloud.environment(&portfolio).await?;
    let line =
        |date: &str, cost: &str| json!({"subscriptionId": environment, "date": date, "cost": cost});
    let lines = json!([line("2026-01-05", "12.5"), line("2026-02-05", "0.000012")]);
    azure.costs(&lines).await?;
    cloud.costs(&portfolio).await?;

    cloud.end("What stands in the tenant, read with Microsoft's SDK", &azure.show().await?).await
}
