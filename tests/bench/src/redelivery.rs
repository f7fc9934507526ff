//! Redelivery of many outcomes, and POSTs meanwhile.

use std::time::Duration;
use std::time::Instant;

use anyhow::ensure;
use hoth_core::domain::JobKind;
use hoth_core::domain::QueuedOutcome;
use hoth_platform::clock::Clock;
use hoth_queue::QueueName;
use mock_csp::MockCsp;
use serde_json::Value;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::client::Connection;
use crate::client::post;
use crate::figure::Figure;
use crate::figure::Target;
use crate::figure::quantile;
use crate::filled_queue::FilledQueue;
use crate::host::Built;
use crate::host::Host;
use crate::jobs;

/// Outcomes that clients have collected.
const OUTCOMES: u64 = 200_000;

/// The length of the POSTs without a redelivery.
const ALONE: Duration = Duration::from_secs(3);

/// Measures the redelivery of all outcomes of a day in one call, and the POSTs
/// of another client meanwhile, beside its POSTs before.
pub async fn redelivery(built: &Built, csp: &MockCsp) -> anyhow::Result<Vec<Figure>> {
    let name = QueueName::outcomes(JobKind::Provisioning);
    let clock = Clock::system();
    let since = clock.now().to_rfc3339();
    let queue = FilledQueue::open(name, clock, outcome)?;
    println!("  filling the archive with 200 000 outcomes");
    let started_at = Instant::now();
    queue.fill(OUTCOMES).await?;
    queue.drain().await?;
    println!("  filled in {:.0} s", started_at.elapsed().as_secs_f64());
    queue.close().await;
    let host = Host::start_on(built, csp, &queue.file()).await?;
    let stop = CancellationToken::new();
    let timer = stop.clone();
    let (alone, ()) = tokio::join!(posts(&host, "alone", stop), async move {
        tokio::time::sleep(ALONE).await;
        timer.cancel();
    });
    let stop = CancellationToken::new();
    let done = stop.clone();
    let (meanwhile, took) = tokio::join!(posts(&host, "meanwhile", stop), async {
        let took = redeliver(&host, &since).await;
        done.cancel();
        took
    });
    let (mut alone, mut meanwhile) = (alone?, meanwhile?);
    let alone = Some(("without", quantile(&mut alone, 0.99)));
    let row = |name, measured, unit, limit, target| Figure { name, measured, unit, limit, target };
    Ok(vec![
        row("redelivery of 200 000 outcomes", took?, "s", None, Target::AtMost(5.0)),
        row(
            "POST beside that redelivery, p99",
            quantile(&mut meanwhile, 0.99),
            "ms",
            alone,
            Target::AtMost(20.0),
        ),
        row(
            "POST beside that redelivery, the longest",
            quantile(&mut meanwhile, 1.0),
            "ms",
            None,
            Target::None,
        ),
    ])
}

/// Returns the stored form of an outcome.
fn outcome(number: u64) -> String {
    let id = format!("job-{number}");
    let message = json!({
        "jobId": id,
        "userId": "bench",
        "code": 200,
        "content": {"request": {}, "response": {"portfolio": {"id": id}}},
    });
    let message = serde_json::value::to_raw_value(&message).expect("a value is JSON");
    QueuedOutcome::new(id, JobKind::Provisioning, message).encode()
}

/// Posts jobs one after the other until `stop`, and returns the milliseconds of
/// each.
async fn posts(host: &Host, prefix: &str, stop: CancellationToken) -> anyhow::Result<Vec<f64>> {
    let mut connection = Connection::open(host.api).await?;
    let mut samples = Vec::new();
    for n in 0.. {
        let request = jobs::job(prefix, 0, n);
        let started_at = Instant::now();
        let answer = connection.exchange(&request).await?;
        ensure!(answer.status == 201, "POST was answered with {}", answer.status);
        samples.push(started_at.elapsed().as_secs_f64() * 1_000.0);
        if stop.is_cancelled() {
            break;
        }
    }
    Ok(samples)
}

/// Returns the seconds of a redelivery of all outcomes.
async fn redeliver(host: &Host, since: &str) -> anyhow::Result<f64> {
    let mut connection = Connection::open(host.api).await?;
    let request = post("/provisioning-jobs/redeliver", &json!({ "since": since }).to_string());
    let started_at = Instant::now();
    let answer = connection.exchange(&request).await?;
    let took = started_at.elapsed().as_secs_f64();
    let body: Value = serde_json::from_slice(&answer.body)?;
    ensure!(body["redelivered"] == OUTCOMES, "redelivered: {} {body}", answer.status);
    Ok(took)
}
