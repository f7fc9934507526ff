//! `cargo xtask demo --keep`: something of everything to look at.

use anyhow::Context as _;
use anyhow::ensure;
use hoth_testkit::HostConfig;
use serde_json::Value;

use crate::csps::ENDLESS;
use crate::csps::PAUSED;
use crate::csps::SYNC;
use crate::deployment::Deployment;
use crate::job_of;
use crate::jobs;
use crate::jobs::BROKEN;

/// The fail point of the host at which the first job fails: only a bug of HOTH
/// or a foreign message makes a dead letter.
const FAIL_POINT: (&str, &str) = ("HOTH_FAIL_POINT", "job-received:panic");

/// The first page warns soon.
const WARN: &str = "[console.warn]\nuncollected_s = 5";

/// A job that the reader can submit with curl.
const MINE: &str = r#"{"userId": "me", "targetCspName": "CSP_SYNC", "operationType": "ADD_PORTFOLIO", "payload": {"name": "Mine", "taskOrders": []}}"#;

/// The width of the longest path that is printed.
const PATH_WIDTH: usize = "/adapters/atat/replay".len();

/// Prepares the configuration of the host for [`dead_letter`].
pub fn prepare(config: HostConfig) -> HostConfig {
    config.environment(FAIL_POINT.0, FAIL_POINT.1).table(WARN)
}

/// Makes a dead letter of the first job of the host, and collects its message.
pub async fn dead_letter(deployment: &Deployment) -> anyhow::Result<()> {
    let job = jobs::portfolio("dead-letter", SYNC, "Dead letter");
    deployment.post(&job).await?;
    let messages = deployment.collect(1).await?;
    ensure!(messages.len() == 1 && job_of(&messages[0]) == job.id, "messages: {messages:?}");
    deployment.job(&job.id, "a dead letter", |job| job["job"]["state"] == "DEAD").await?;
    Ok(())
}

/// Leaves a job in every state, and prints the addresses of everything.
/// Returns at Ctrl-C.
pub async fn stay_up(deployment: &Deployment) -> anyhow::Result<()> {
    leave_jobs(deployment).await?;
    tell(deployment);
    tokio::signal::ctrl_c().await.context("waiting for Ctrl-C")
}

/// Leaves jobs that end in no message: one in each state.
async fn leave_jobs(deployment: &Deployment) -> anyhow::Result<()> {
    deployment.pause(PAUSED).await?;
    let left = [
        ("not-collected", SYNC, "Not collected", "SUCCEEDED"),
        ("failed", SYNC, BROKEN, "FAILED"),
        ("waiting", ENDLESS, "Waits", "WAITING"),
        ("held", PAUSED, "Held", "HELD"),
    ];
    for (id, csp, name, _) in left {
        deployment.post(&jobs::portfolio(id, csp, name)).await?;
    }
    for (id, .., state) in left {
        // The trail, which has no word for held jobs, is written after the queue.
        let is_there = |job: &Value| {
            job["status"]["state"] == state && (state == "HELD" || job["job"]["state"] == state)
        };
        deployment.job(id, state, is_there).await?;
    }
    Ok(())
}

fn tell(deployment: &Deployment) {
    let (api, admin) = (deployment.api(), deployment.admin());
    let console = format!("http://{admin}/console");
    let width = console.len() + PATH_WIDTH;
    println!("\nEverything keeps running until Ctrl-C. The console has something of everything:\n");
    for (path, what) in [
        ("", "what is wrong, and what to do about it"),
        ("/jobs", "every job; the page of each has its timeline"),
        ("/jobs/running-1", "collected: it ran across the swap on one version"),
        ("/jobs/waiting-1", "collected: another version went on with it"),
        ("/jobs/not-collected", "done: its outcome is not collected"),
        ("/jobs/failed", "failed: the CSP answers 503, three times"),
        ("/jobs/waiting", "waits for a CSP that never ends its work"),
        ("/jobs/held", "held, because CSP_PAUSED is paused: resume it"),
        ("/dead-letters", "one message of a job that HOTH could not process: redrive it"),
        ("/adapters/atat", "two versions, and the refusal of a third one"),
        ("/adapters/atat/replay", "why it was refused: its requests beside those of past jobs"),
        ("/audit", "the deployments, the rollback and the pause"),
    ] {
        let address = format!("{console}{path}");
        println!("  {address:<width$}  {what}");
    }
    println!("\nThe files are in {}. Commands to try:\n", deployment.directory().display());
    println!(
        "  curl -i http://{api}/provisioning-jobs -H 'content-type: application/json' -d '{MINE}'"
    );
    println!("  curl 'http://{api}/provisioning-jobs?wait=20'");
    println!("  curl http://{api}/provisioning-jobs/waiting");
    println!("  target/debug/hoth jobs list --admin http://{admin}");
    println!("  target/debug/hoth jobs show held --admin http://{admin}");
    println!("  target/debug/hoth adapters list --admin http://{admin}");
    println!("  curl http://{admin}/metrics");
}
