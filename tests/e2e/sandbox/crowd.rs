//! All misbehaving guests at once, beside an adapter that does its work.

use std::time::Instant;

use reqwest::Method;
use serde_json::json;

use super::adapter_of;
use super::add_misbehaving_csp;
use super::asks;
use super::forged;
use super::misbehaviors::Misbehavior;
use super::verdicts::MEMORY_MAX;
use crate::csp;
use crate::csp::Answer;
use crate::harness::ServiceNow;
use crate::harness::Setup;
use crate::harness::eventually;
use crate::harness::job;
use crate::trail::reaches;

/// Jobs for each guest.
const JOBS_EACH: usize = 4;

/// Jobs for the neighbour, one after the other.
const NEIGHBOUR_JOBS: usize = 50;

/// The deadline of a guest that computes, the longest that there is. It is of
/// the time on a processor, which these guests share, so on any machine the
/// first of them comes to it after the neighbour's jobs, unless these wait for
/// it.
const COMPUTES_MS: u64 = 60_000;

/// Runs one job of the neighbour, and fails if it does not succeed.
pub async fn neighbours_job(snow: &ServiceNow, id: &str) {
    snow.provision(&job(id, "NEIGHBOUR", "ADD_PORTFOLIO")).await;
    eventually("the neighbour's outcome", || async {
        let messages = snow.collect("/provisioning-jobs?wait=1").await;
        let own = messages.iter().find(|m| m.job_id() == id)?;
        assert_eq!(own.code(), 200, "{own}");
        // The guests that compute are far from their deadline.
        let late = messages.iter().find(|m| m.to_string().contains("did not answer within"));
        assert!(late.is_none(), "a guest has come to its deadline: {late:?}");
        Some(())
    })
    .await;
}

/// Runs a misbehavior with each guest, and also a job that computes for longer
/// than the test takes. So threads, memory and instances are in demand all the
/// time. The verdict is an order, so a busy machine does not change it: the
/// neighbour's jobs end before any of the jobs that compute.
#[tokio::test]
async fn jobs_of_a_healthy_adapter_end_while_all_guests_misbehave() {
    let (neighbour, elsewhere) = (csp::sync().await, csp::sync().await);
    let target = csp::scripted([Answer::json(200, &json!({}))]).await;
    let mut setup = Setup::new()
        .csp("NEIGHBOUR", &neighbour)
        // Some of the refused components spin when they are loaded.
        .environment("HOTH__ADAPTERS__DEADLINE_MS", "1000")
        .with("[polling]\ninitial_ms = 20\nmax_ms = 1000\ndeadline_hours = 0.003")
        .with("[adapters.limits.atat]\ndeadline_ms = 60000");
    let name = |n: usize| format!("ROGUE_{n}");
    for n in 0..Misbehavior::ALL.len() {
        setup = add_misbehaving_csp(setup, &name(n), &target, &elsewhere);
        let adapter = adapter_of(&name(n));
        setup = setup.with(&format!("[adapters.limits.{adapter}]\ndeadline_ms = {COMPUTES_MS}"));
    }
    // The refused components are in the directory, too.
    for (n, (_, wasm, _)) in forged::refused().into_iter().enumerate() {
        setup = setup.adapter(&format!("refused-{n}"), wasm);
    }
    let host = setup.start().await;
    host.leaves_work("the guests are not waited for");
    let snow = host.servicenow();
    for (n, misbehavior) in Misbehavior::ALL.iter().enumerate() {
        snow.provision(&asks(&name(n), Misbehavior::Spins, &format!("computes-{n}"))).await;
        for k in 0..JOBS_EACH {
            snow.provision(&asks(&name(n), *misbehavior, &format!("{}-{k}", misbehavior.name())))
                .await;
        }
    }
    for n in 0..Misbehavior::ALL.len() {
        reaches(&host, &format!("computes-{n}"), "RUNNING").await;
    }
    let started_at = Instant::now();
    for n in 0..NEIGHBOUR_JOBS {
        neighbours_job(&snow, &format!("job-{n}")).await;
    }
    for n in 0..Misbehavior::ALL.len() {
        let path = format!("/provisioning-jobs/computes-{n}");
        let status = snow.send(Method::GET, &path, None).await.json();
        assert_eq!(status["state"], "RUNNING", "it ended before the neighbour's jobs: {status}");
    }
    let peak = host.memory_peak();
    println!("{NEIGHBOUR_JOBS} jobs took {:?}; {} MiB", started_at.elapsed(), peak >> 20);
    assert!(peak < MEMORY_MAX, "the host held {peak} bytes");
    assert!(csp::calls(&elsewhere).is_empty(), "a request went elsewhere");
}
