//! All of them at once, beside an adapter that does its work.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use serde_json::json;

use super::asks;
use super::deeds::Deed;
use super::forged;
use super::rogue;
use super::verdicts::MEMORY_MAX;
use crate::csp;
use crate::csp::Answer;
use crate::harness::PATIENCE;
use crate::harness::ServiceNow;
use crate::harness::Setup;
use crate::harness::job;

/// Jobs for each guest.
const JOBS_EACH: usize = 4;

/// Jobs for the neighbour, and the time between them.
pub const NEIGHBOUR_JOBS: usize = 100;
const NEIGHBOUR_EVERY: Duration = Duration::from_millis(20);

/// What guests may add to the time from the POST of a neighbour's job to its
/// message, for 99 of 100 jobs. Without turns they add tens of seconds.
const P99_MORE_MAX: Duration = Duration::from_secs(1);

/// And by what factor; it matters where the machine has other work as well, and
/// jobs take hundreds of milliseconds with no guest there.
const P99_FACTOR_MAX: u32 = 4;

/// Where each message was when, by the job's id.
pub type Messages = BTreeMap<String, (Instant, Value)>;

/// Posts the neighbour's jobs at their pace, whatever becomes of them.
pub async fn post_steadily(snow: &ServiceNow, name: &str) -> BTreeMap<String, Instant> {
    let mut posted = BTreeMap::new();
    let mut turn = tokio::time::interval(NEIGHBOUR_EVERY);
    for n in 0..NEIGHBOUR_JOBS {
        turn.tick().await;
        let id = format!("{name}-{n}");
        posted.insert(id.clone(), Instant::now());
        snow.provision(&job(&id, "NEIGHBOUR", "ADD_PORTFOLIO")).await;
    }
    posted
}

pub async fn collect(snow: &ServiceNow, count: usize) -> Messages {
    let (begun, mut messages) = (Instant::now(), Messages::new());
    while messages.len() < count {
        assert!(begun.elapsed() < 2 * PATIENCE, "{} messages of {count}", messages.len());
        for message in snow.collect("/provisioning-jobs?wait=1").await {
            let id = message["initialSnowRequest"]["jobId"].as_str().expect("an id").to_owned();
            let twice = messages.insert(id, (Instant::now(), message));
            assert!(twice.is_none(), "a second message: {twice:?}");
        }
    }
    messages
}

/// How long 99 of 100 of these jobs took; all of them must have ended well.
pub fn p99(posted: &BTreeMap<String, Instant>, messages: &Messages) -> Duration {
    let mut took: Vec<_> = posted
        .iter()
        .map(|(id, posted)| {
            let (arrived, message) = &messages[id];
            assert_eq!(message["code"], 200, "{message}");
            arrived.duration_since(*posted)
        })
        .collect();
    took.sort_unstable();
    took[took.len() * 99 / 100 - 1]
}

/// How long they may take beside others, if they took so long alone.
pub fn bound(alone: Duration) -> Duration {
    alone * P99_FACTOR_MAX + P99_MORE_MAX
}

#[tokio::test]
async fn all_guests_at_once_leave_a_healthy_adapter_its_pace() {
    let (neighbour, elsewhere) = (csp::sync().await, csp::sync().await);
    let target = csp::scripted([Answer::json(200, &json!({}))]).await;
    let mut setup = Setup::new()
        .csp("NEIGHBOUR", &neighbour)
        .environment("HOTH__ADAPTERS__DEADLINE_MS", "300")
        .with("[polling]\ninitial_ms = 20\nmax_ms = 1000\ndeadline_hours = 0.003");
    let name = |n: usize| format!("ROGUE_{n}");
    for n in 0..Deed::ALL.len() {
        setup = rogue(setup, &name(n), &target, &elsewhere);
    }
    // Those that are refused lie in the directory as well.
    for (n, (_, wasm, _)) in forged::refused().into_iter().enumerate() {
        setup = setup.adapter(&format!("refused-{n}"), wasm);
    }
    let host = setup.start().await;
    let snow = host.servicenow();

    let (posted, messages) =
        tokio::join!(post_steadily(&snow, "alone"), collect(&snow, NEIGHBOUR_JOBS));
    let alone = p99(&posted, &messages);

    for (n, deed) in Deed::ALL.iter().enumerate() {
        for k in 0..JOBS_EACH {
            snow.provision(&asks(&name(n), *deed, &format!("{}-{k}", deed.name()))).await;
        }
    }
    let rogue_jobs = Deed::ALL.len() * JOBS_EACH;
    let (posted, messages) =
        tokio::join!(post_steadily(&snow, "among"), collect(&snow, NEIGHBOUR_JOBS + rogue_jobs));
    let among = p99(&posted, &messages);
    let peak = host.memory_peak();
    println!("p99 alone {alone:?}, among {rogue_jobs} rogues {among:?}; {} MiB", peak >> 20);
    assert!(among < bound(alone), "the neighbour's p99 went from {alone:?} to {among:?}");
    assert!(peak < MEMORY_MAX, "the host held {peak} bytes");
    assert!(csp::calls(&elsewhere).is_empty(), "a request went elsewhere");
    host.emptied().await;
}
