//! `cargo xtask demo --aws`: provisions at a local AWS, and shows with boto3
//! what stands in its organizations.

use hoth_testkit::AwsPartition;
use hoth_testkit::HostConfig;
use hoth_testkit::MockAws;
use serde_json::Value;
use serde_json::json;

use crate::cloud::Cloud;
use crate::deployment::Built;

const CSP: &str = "AWS";

/// Provisions a portfolio, an environment with operators and a task order, and
/// collects costs.
pub async fn play(built: &Built) -> anyhow::Result<()> {
    println!("Starting a local AWS, which verifies every signature, and a host");
    let aws = MockAws::start().await?;
    let add_csp = |config: HostConfig| config.aws(CSP, &aws, AwsPartition::Commercial, "");
    let cloud = Cloud::start(built, "aws", CSP, add_csp).await?;

    let portfolio = cloud.portfolio(&json!([task_order("TO-1")])).await?;
    let environment = cloud.environment(&portfolio).await?;
    let payload = json!({"taskOrder": task_order("TO-2")});
    cloud.provision("task-order", "ADD_TASK_ORDER", Some(&portfolio), &payload).await?;
    let months = json!({"2026-01": "12.5", "2026-02": "0.000012"});
    aws.costs(&json!({"costs": {environment: months}})).await?;
    cloud.costs(&portfolio).await?;

    cloud.end("What stands in the organizations, read with boto3", &aws.show().await?).await
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
