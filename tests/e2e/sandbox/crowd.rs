//! All misbehaving guests at once, beside an adapter that does its work.

use std::time::Duration;
use std::time::Instant;

use serde_json::json;

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

/// Jobs for each guest.
const JOBS_EACH: usize = 4;

/// Jobs for the neighbour, one after the other, and the limit on their total
/// time. They take seconds; if each of them waited for the guests that compute,
/// they would take minutes.
const NEIGHBOUR_JOBS: usize = 50;
const NEIGHBOUR_MAX: Duration = Duration::from_secs(90);

/// The deadline of a guest that computes: none reaches it before the
/// neighbour's jobs have ended.
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
/// time.
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
        setup =
            setup.with(&format!("[adapters.limits.misbehaves-{n}]\ndeadline_ms = {COMPUTES_MS}"));
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
    let started_at = Instant::now();
    for n in 0..NEIGHBOUR_JOBS {
        neighbours_job(&snow, &format!("job-{n}")).await;
        assert!(started_at.elapsed() < NEIGHBOUR_MAX, "{} jobs of {NEIGHBOUR_JOBS}", n + 1);
    }
    let peak = host.memory_peak();
    println!("{NEIGHBOUR_JOBS} jobs took {:?}; {} MiB", started_at.elapsed(), peak >> 20);
    assert!(peak < MEMORY_MAX, "the host held {peak} bytes");
    assert!(csp::calls(&elsewhere).is_empty(), "a request went elsewhere");
}
