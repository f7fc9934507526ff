//! The memory of ten thousand jobs that wait for a slow CSP.

use std::time::Duration;
use std::time::Instant;

use anyhow::ensure;
use mock_csp::Answer;
use mock_csp::MockCsp;

use crate::client::Connection;
use crate::figure::Figure;
use crate::figure::Target;
use crate::host::Built;
use crate::host::Host;
use crate::jobs;

/// The number of jobs that wait at once.
const JOBS: usize = 10_000;

/// The time that the CSP takes for each call.
const DELAY: Duration = Duration::from_secs(20);

/// The longest wait until all jobs are at the CSP.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures the resident memory while all jobs wait.
pub async fn waiting(built: &Built, csp: &MockCsp) -> anyhow::Result<Figure> {
    csp.script([Answer::behave().after(DELAY)]);
    let host = Host::start(built, csp, "max_concurrent = 10000", "api,worker,watcher").await?;
    let idle = host.resident_mib()?;
    let mut connection = Connection::open(host.api).await?;
    for n in 0..JOBS as u64 {
        let accepted = connection.exchange(&jobs::job("waiting", 0, n)).await?;
        ensure!(accepted.status == 201, "POST was answered with {}", accepted.status);
    }
    let started_at = Instant::now();
    let mut most_at_once = 0;
    let mut peak = 0.0_f64;
    while started_at.elapsed() < PATIENCE && most_at_once < JOBS {
        most_at_once = csp.at_once();
        peak = peak.max(host.resident_mib()?);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    csp.script([]);
    ensure!(most_at_once >= JOBS * 9 / 10, "only {most_at_once} of {JOBS} jobs waited at once");
    Ok(Figure {
        name: "memory with 10 000 jobs at a CSP that takes 20 s",
        measured: peak,
        unit: "MiB",
        limit: Some(("the idle host", idle)),
        target: Target::AtMost(300.0),
    })
}
