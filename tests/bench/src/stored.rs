//! Jobs from POST to stored outcome: rate and cost.

use mock_csp::MockCsp;

use crate::figure::Figure;
use crate::figure::Target;
use crate::host::Built;
use crate::host::Host;
use crate::jobs;
use crate::system::System;
use crate::system::Unfinished;

/// Jobs for each second that a load is to take; a slower system takes longer.
pub const JOBS_PER_SECOND: u64 = 2_000;

/// Jobs before the measured ones: token, connections, caches.
pub const WARM_UP: u64 = 640;

/// Measures jobs per second until all outcomes are stored, of one CSP with its
/// default concurrency, and the processor time of each.
pub async fn stored(built: &Built, csp: &MockCsp, seconds: u64) -> anyhow::Result<Vec<Figure>> {
    let host = Host::start(built, csp, "", "api,worker,watcher").await?;
    let system = system(&host)?;
    system.run(csp, "warm", WARM_UP).await?;
    let ran = system.run(csp, "stored", seconds * JOBS_PER_SECOND).await?;
    host.end().await?;
    let row = |name, measured, unit, target| Figure { name, measured, unit, limit: None, target };
    Ok(vec![
        row("jobs from POST to stored outcome", ran.jobs.per_second(), "/s", Target::None),
        row(
            "host CPU of one job, POST to stored outcome",
            ran.usage.cpu_micros_each(ran.jobs.exchanges),
            "us",
            Target::AtMost(120.0),
        ),
        row("host memory at most, meanwhile", ran.memory_mib, "MiB", Target::None),
    ])
}

/// Describes a host as a system under test.
pub fn system(host: &Host) -> anyhow::Result<System> {
    Ok(System {
        processes: vec![host.id()?],
        api: host.api,
        request: jobs::job,
        accepted: 201,
        unfinished: Unfinished {
            address: host.admin,
            method: "GET",
            path: "/queues",
            body: "",
            read: |body| {
                let answer = serde_json::from_slice(body)?;
                Ok(hoth_testkit::QueueCounts::parse(&answer)?.unfinished())
            },
        },
    })
}
