//! Throughput: jobs from POST to collected outcome.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::ensure;
use mock_csp::MockCsp;

use crate::client::Connection;
use crate::client::Length;
use crate::client::get;
use crate::client::load;
use crate::figure::Figure;
use crate::figure::Target;
use crate::host::Built;
use crate::host::Host;
use crate::jobs;
use crate::system::CLIENTS;

/// The number of clients that collect, ten messages at a time.
const COLLECTORS: usize = 4;

/// The number of loads with a part of the host, and of those without.
const TURNS: u32 = 4;

/// The longest wait for the remaining outcomes after the last submission.
const REST: Duration = Duration::from_secs(60);

/// Measures jobs per second from POST to collected outcome, beside the same
/// calls to the CSP made by a bare client.
pub async fn end_to_end(
    built: &Built,
    csp: &MockCsp,
    time: Duration,
) -> anyhow::Result<Vec<Figure>> {
    let address = csp.origin().trim_start_matches("http://").parse()?;
    let bare = load(address, CLIENTS, Length::Time(time), 200, bare_call(csp)).await?.per_second();
    Ok(vec![Figure {
        name: "jobs from POST to collected outcome",
        measured: jobs_per_second(built, csp, time, "").await?,
        unit: "/s",
        limit: Some(("the CSP called by a bare client", bare)),
        target: Target::AtLeast(2_000.0),
    }])
}

/// Measures jobs per second with journals, beside the same without.
pub async fn journals(built: &Built, csp: &MockCsp, time: Duration) -> anyhow::Result<Vec<Figure>> {
    let (with, without) = by_turns(built, csp, time, "[replay]\nrecord = false").await?;
    Ok(vec![Figure {
        name: "jobs with journals kept of them",
        measured: with,
        unit: "/s",
        limit: Some(("without journals", without)),
        target: Target::None,
    }])
}

/// Measures jobs per second with the trail, beside the same without.
pub async fn trail(built: &Built, csp: &MockCsp, time: Duration) -> anyhow::Result<Vec<Figure>> {
    let (with, without) = by_turns(built, csp, time, "[trail]\nenabled = false").await?;
    Ok(vec![Figure {
        name: "jobs with the trail on",
        measured: with,
        unit: "/s",
        limit: Some(("with the trail off", without)),
        target: Target::PartOfLimit(0.95),
    }])
}

/// Returns the jobs per second with and without the part of the host that the
/// lines `off` switch off. The two take turns, so that other load on the machine
/// affects both.
async fn by_turns(
    built: &Built,
    csp: &MockCsp,
    time: Duration,
    off: &str,
) -> anyhow::Result<(f64, f64)> {
    let turn = time / TURNS;
    let (mut with, mut without) = (0.0, 0.0);
    for _ in 0..TURNS {
        without += jobs_per_second(built, csp, turn, off).await?;
        with += jobs_per_second(built, csp, turn, "").await?;
    }
    let turns = f64::from(TURNS);
    Ok((with / turns, without / turns))
}

/// Returns the jobs per second from POST to collected outcome. `tables` is
/// added to the configuration.
async fn jobs_per_second(
    built: &Built,
    csp: &MockCsp,
    time: Duration,
    tables: &str,
) -> anyhow::Result<f64> {
    let lines = format!("max_concurrent = 256\n{tables}");
    let host = Host::start(built, csp, &lines, "api,worker,watcher").await?;
    let collected = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let collectors: Vec<_> = (0..COLLECTORS)
        .map(|_| tokio::spawn(collect(host.api, Arc::clone(&collected), Arc::clone(&done))))
        .collect();
    let started_at = Instant::now();
    let submitted =
        load(host.api, CLIENTS, Length::Time(time), 201, |c, n| jobs::job("job", c, n)).await?;
    let submitted = submitted.exchanges;
    let submitted_at = Instant::now();
    while collected.load(Ordering::SeqCst) < submitted {
        ensure!(submitted_at.elapsed() < REST, "only {collected:?} of {submitted} jobs ended");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = started_at.elapsed();
    done.store(true, Ordering::SeqCst);
    for collector in collectors {
        collector.await.context("a collector panicked")??;
    }
    host.end().await?;
    #[expect(clippy::cast_precision_loss, reason = "a run has fewer than 2^53 jobs")]
    Ok(collected.load(Ordering::SeqCst) as f64 / took.as_secs_f64())
}

/// Makes the CSP answer a bare call with 200, and returns the request.
fn bare_call(csp: &MockCsp) -> impl Fn(usize, u64) -> Vec<u8> + Clone + Send + 'static + use<> {
    csp.script_for(
        mock_csp::Matching::path("/bare"),
        [mock_csp::Answer::json(200, &serde_json::json!({"id": "p"}))],
    );
    |_, _| get("/bare")
}

async fn collect(
    api: std::net::SocketAddr,
    collected: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
) -> anyhow::Result<()> {
    let mut connection = Connection::open(api).await?;
    let request = get("/provisioning-jobs?wait=1");
    while !done.load(Ordering::SeqCst) {
        let answer = connection.exchange(&request).await?;
        ensure!(answer.status == 200, "GET was answered with {}", answer.status);
        collected.fetch_add(jobs::messages(&answer.body)? as u64, Ordering::SeqCst);
    }
    Ok(())
}
