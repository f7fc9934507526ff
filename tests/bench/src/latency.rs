//! The latency of one job on an idle host.

use std::time::Instant;

use anyhow::ensure;
use mock_csp::MockCsp;

use crate::client::Connection;
use crate::client::get;
use crate::figure::Figure;
use crate::figure::Target;
use crate::figure::quantile;
use crate::host::Built;
use crate::host::Host;
use crate::jobs;

/// Jobs before the measured ones: tokens, connections and caches.
const WARM_UP: usize = 50;

/// Measures the time from the first byte of a POST to the last byte of the
/// outcome message.
pub async fn post_to_message(
    built: &Built,
    csp: &MockCsp,
    count: usize,
) -> anyhow::Result<Vec<Figure>> {
    let host = Host::start(built, csp, "", "api,worker,watcher").await?;
    let mut posting = Connection::open(host.api).await?;
    let mut getting = Connection::open(host.api).await?;
    let collect = get("/provisioning-jobs?wait=20");
    let mut samples = Vec::with_capacity(count);
    for n in 0..WARM_UP + count {
        let started_at = Instant::now();
        let request = jobs::job("latency", 0, n as u64);
        let accepted = posting.exchange(&request).await?;
        ensure!(accepted.status == 201, "POST was answered with {}", accepted.status);
        let answer = getting.exchange(&collect).await?;
        ensure!(jobs::messages(&answer.body)? == 1, "one job has one message");
        if n >= WARM_UP {
            samples.push(started_at.elapsed().as_secs_f64() * 1_000.0);
        }
    }
    let row = |name, measured, target| Figure { name, measured, unit: "ms", limit: None, target };
    Ok(vec![
        row("POST to message, unloaded, p50", quantile(&mut samples, 0.5), Target::AtMost(3.0)),
        row("POST to message, unloaded, p99", quantile(&mut samples, 0.99), Target::None),
    ])
}
