//! Slow calls: the concurrency that a CSP gets, and the portfolios that wait.

use std::time::Duration;
use std::time::Instant;

use anyhow::ensure;
use mock_csp::Answer;
use mock_csp::Gate;
use mock_csp::MockCsp;

use crate::client::Connection;
use crate::figure::Figure;
use crate::figure::Target;
use crate::host::Built;
use crate::host::Host;
use crate::jobs;

/// Portfolios with jobs, and the jobs of each. One job of a portfolio runs at a
/// time, so these can use half of the CSP's permits.
const PORTFOLIOS: usize = 32;
const JOBS: usize = 10;

/// The default number of concurrent calls to a CSP.
const PERMITS: usize = 64;

/// The time after which no further call is expected.
const PATIENCE: Duration = Duration::from_secs(5);

/// The calls at the CSP while it answers none.
struct Calls {
    /// With ten jobs in each of 32 portfolios.
    few: usize,
    /// With ten jobs in each of 64 portfolios.
    all: usize,
    /// Time from the POST of the 33rd portfolio to its call.
    next: Duration,
}

/// Measures calls at once while the CSP answers none: of 32 portfolios with ten
/// jobs each, then with one portfolio more, then with 64 portfolios.
pub async fn slow_calls(built: &Built, csp: &MockCsp) -> anyhow::Result<Vec<Figure>> {
    let gate = Gate::closed();
    csp.script([Answer::behave().held_by(&gate)]);
    // The host ends before its calls are answered: the rest of the jobs is of
    // no interest.
    let calls = measure(built, csp).await;
    gate.open();
    csp.script([]);
    let calls = calls?;
    let row = |name, measured, unit, limit, target| Figure { name, measured, unit, limit, target };
    let [few, all] = [calls.few, calls.all].map(count);
    let (portfolios, permits) = (count(PORTFOLIOS), count(PERMITS));
    let first = Some(("portfolios with ten jobs each", portfolios));
    let rest = Some(("permits, 64 portfolios", permits));
    let next = calls.next.as_secs_f64() * 1_000.0;
    Ok(vec![
        row("slow calls at once, 32 portfolios", few, "", first, Target::AtLeast(portfolios)),
        row("33rd portfolio, POST to its call", next, "ms", None, Target::AtMost(100.0)),
        row("slow calls at once, 64 portfolios", all, "", rest, Target::AtLeast(permits)),
    ])
}

/// Posts to a host of its own while the CSP answers no call.
async fn measure(built: &Built, csp: &MockCsp) -> anyhow::Result<Calls> {
    let host = Host::start(built, csp, "", "api,worker,watcher").await?;
    let mut connection = Connection::open(host.api).await?;
    for portfolio in 0..PORTFOLIOS {
        post(&mut connection, portfolio, JOBS).await?;
    }
    let few = calls_at_once(csp, PORTFOLIOS).await;
    let started_at = Instant::now();
    post(&mut connection, PORTFOLIOS, 1).await?;
    calls_at_once(csp, few + 1).await;
    let next = started_at.elapsed();
    for portfolio in PORTFOLIOS + 1..PERMITS {
        post(&mut connection, portfolio, JOBS).await?;
    }
    let all = calls_at_once(csp, PERMITS).await;
    Ok(Calls { few, all, next })
}

async fn post(connection: &mut Connection, portfolio: usize, jobs: usize) -> anyhow::Result<()> {
    for n in 0..jobs {
        let id = format!("slow-{portfolio}-{n}");
        let request = jobs::job_of(&id, &format!("slow-{portfolio}"));
        let accepted = connection.exchange(&request).await?;
        ensure!(accepted.status == 201, "POST was answered with {}", accepted.status);
    }
    Ok(())
}

/// Waits until `wanted` calls are at the CSP, or no more come, and returns
/// their number.
async fn calls_at_once(csp: &MockCsp, wanted: usize) -> usize {
    let started_at = Instant::now();
    while csp.at_once() < wanted && started_at.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    csp.at_once()
}

#[expect(clippy::cast_precision_loss, reason = "a host makes fewer than 2^53 calls at once")]
fn count(calls: usize) -> f64 {
    calls as f64
}
