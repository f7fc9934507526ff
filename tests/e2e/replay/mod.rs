//! Journals of finished jobs, and replays with candidate versions.

mod gate;
mod recording;
mod saved;

pub use gate::variant;

use std::path::PathBuf;

use serde_json::Value;

use crate::harness::TestHost;
use crate::harness::cost;
use crate::harness::eventually;
use crate::harness::job;

/// Every operation of the provisioning API.
const OPERATIONS: [&str; 6] = [
    "ADD_PORTFOLIO",
    "GET_PORTFOLIO",
    "ADD_ENVIRONMENT",
    "ADD_TASK_ORDER",
    "UPDATE_TASK_ORDER",
    "ADD_OPERATORS",
];

fn journals_of(host: &TestHost, adapter: &str) -> Vec<PathBuf> {
    let folder = host.directory().join("data/journals").join(adapter);
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let files = files.map(|file| file.expect("a folder entry can be read").path());
    let mut files: Vec<_> =
        files.filter(|file| file.extension().is_some_and(|ending| ending == "json")).collect();
    files.sort();
    files
}

async fn journals(host: &TestHost, count: usize) -> Vec<Value> {
    let files = eventually("the journals to be written", || async {
        let files = journals_of(host, "atat");
        (files.len() == count).then_some(files)
    })
    .await;
    let read = |file: &PathBuf| std::fs::read_to_string(file).expect("a journal can be read");
    files.iter().map(|file| serde_json::from_str(&read(file)).expect("it is JSON")).collect()
}

/// Runs one job of every operation and a cost request to their ends.
async fn run_all(host: &TestHost) {
    run_all_as(host, "job").await;
}

/// Runs one job of every operation and a cost request, with this prefix of ids.
async fn run_all_as(host: &TestHost, name: &str) {
    let snow = host.servicenow();
    for operation in OPERATIONS {
        snow.provision(&job(&format!("{name}-{operation}"), "CSP_TEST", operation)).await;
    }
    snow.ask_cost(&cost(&format!("{name}-cost"), "CSP_TEST")).await;
    snow.collect_all("/provisioning-jobs", OPERATIONS.len()).await;
    snow.collect_all("/cost-jobs", 1).await;
}
