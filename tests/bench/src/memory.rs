//! The memory of ten thousand jobs that wait for a slow CSP.

use std::time::Duration;
use std::time::Instant;

use anyhow::ensure;
use mock_csp::Answer;
use mock_csp::Gate;
use mock_csp::MockCsp;

use crate::client::Length;
use crate::client::load;
use crate::figure::Figure;
use crate::figure::Target;
use crate::host::Built;
use crate::host::Host;
use crate::jobs;
use crate::usage::peak_mib;

/// The number of jobs that wait at once.
const JOBS: usize = 10_000;

/// The clients that post them.
const CLIENTS: usize = 50;

/// The longest wait until all jobs are at the CSP.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures the resident memory while all jobs wait for an answer of the CSP.
pub async fn waiting(built: &Built, csp: &MockCsp) -> anyhow::Result<Vec<Figure>> {
    let gate = Gate::closed();
    csp.script([Answer::behave().held_by(&gate)]);
    let measured = measure(built, csp).await;
    gate.open();
    csp.script([]);
    let (idle, peak) = measured?;
    Ok(vec![Figure {
        name: "memory with 10 000 jobs at a CSP that is slow",
        measured: peak,
        unit: "MiB",
        limit: Some(("the idle host", idle)),
        target: Target::AtMost(300.0),
    }])
}

/// Returns the memory before and at most, in MiB.
async fn measure(built: &Built, csp: &MockCsp) -> anyhow::Result<(f64, f64)> {
    let host = Host::start(built, csp, "max_concurrent = 10000", "api,worker,watcher").await?;
    let idle = host.resident_mib()?;
    let each = Length::Each((JOBS / CLIENTS) as u64);
    load(host.api, CLIENTS, each, 201, |client, n| jobs::job("waiting", client, n)).await?;
    let started_at = Instant::now();
    while csp.at_once() < JOBS {
        let waiting = csp.at_once();
        ensure!(started_at.elapsed() < PATIENCE, "only {waiting} of {JOBS} jobs wait at once");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok((idle, peak_mib(&[host.id()?])?))
}
