//! The time until a new adapter version serves, and its effect on running jobs.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::ensure;
use hoth_core::domain::Digest;
use mock_csp::MockCsp;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::client::Connection;
use crate::client::get;
use crate::figure::Figure;
use crate::figure::Target;
use crate::figure::quantile;
use crate::host::Built;
use crate::host::Host;
use crate::jobs;
use crate::versions;

/// Versions that the host has never seen, and so must compile.
const COMPILED: u32 = 10;

/// Versions that the host has never seen, and that share 19 of 20 functions
/// with one that it has compiled.
const SHARED: usize = 10;

/// Swaps between two versions that the host has compiled.
const CACHED: u32 = 40;

/// The pause between two swaps while jobs are measured: ten swaps in a second.
const SWAP_EVERY: Duration = Duration::from_millis(100);

/// Jobs measured with and without swaps.
const JOBS: u64 = 2_000;

/// Jobs before the measured ones.
const WARM_UP: u64 = 50;

/// The pause between two requests for the active version.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// The longest wait for a version to serve.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures the time from the replacement of the file until the admin API lists
/// the new version as active, and the p99 latency of jobs during swaps.
pub async fn swaps(built: &Built, csp: &MockCsp) -> anyhow::Result<Vec<Figure>> {
    let host = Host::start(built, csp, "", "api,worker,watcher").await?;
    let wasm = std::fs::read(&built.adapter).context("reading the adapter")?;
    let mut compiled = Vec::new();
    for number in 0..COMPILED {
        compiled.push(swap(&host, &versions::same_code(&wasm, number)).await?);
    }
    let mut shared = Vec::new();
    for number in 0..SHARED {
        shared.push(swap(&host, &versions::most_code(&wasm, number)?).await?);
    }
    let mut cached = Vec::new();
    for number in 0..CACHED {
        cached.push(swap(&host, &versions::same_code(&wasm, number % 2)).await?);
    }
    let mut alone = jobs(&host, "alone").await?;
    let stop = CancellationToken::new();
    let swapping = async {
        for number in 0_u32.. {
            if stop.is_cancelled() {
                break;
            }
            swap(&host, &versions::same_code(&wasm, number % 2)).await?;
            tokio::time::sleep(SWAP_EVERY).await;
        }
        anyhow::Ok(())
    };
    let measuring = async {
        let measured = jobs(&host, "swapped").await;
        stop.cancel();
        measured
    };
    let (swapped, measured) = tokio::join!(swapping, measuring);
    swapped?;
    let mut meanwhile = measured?;
    let row = |name, measured, limit, target| Figure { name, measured, unit: "ms", limit, target };
    let [new, shared, again] =
        [&mut compiled, &mut shared, &mut cached].map(|samples| quantile(samples, 0.5));
    let limit = Some(("without swaps", quantile(&mut alone, 0.99)));
    Ok(vec![
        row("file replaced to new version serving, p50", new, None, Target::AtMost(250.0)),
        row("the same, sharing 19 of 20 functions, p50", shared, None, Target::AtMost(80.0)),
        row("the same, compiled before, p50", again, None, Target::AtMost(20.0)),
        row(
            "POST to message, 10 swaps/s, p99",
            quantile(&mut meanwhile, 0.99),
            limit,
            Target::None,
        ),
    ])
}

/// Replaces the file, and returns the milliseconds until its version is active.
async fn swap(host: &Host, wasm: &[u8]) -> anyhow::Result<f64> {
    let digest = Digest::of(wasm).to_string();
    let folder = host.adapters();
    let mut admin = Connection::open(host.admin).await?;
    std::fs::write(folder.join("upload"), wasm).context("writing a component")?;
    let started_at = Instant::now();
    std::fs::rename(folder.join("upload"), folder.join("atat.wasm")).context("renaming it")?;
    while active(&mut admin).await? != digest {
        ensure!(started_at.elapsed() < PATIENCE, "a version does not become active");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(started_at.elapsed().as_secs_f64() * 1_000.0)
}

async fn active(admin: &mut Connection) -> anyhow::Result<String> {
    let answer = admin.exchange(&get("/adapters/atat")).await?;
    let listing: Value = serde_json::from_slice(&answer.body)?;
    Ok(listing["versions"][0]["sha256"].as_str().unwrap_or_default().to_owned())
}

/// Runs jobs one after the other, and returns the milliseconds from POST to
/// message of each.
async fn jobs(host: &Host, name: &str) -> anyhow::Result<Vec<f64>> {
    let mut posting = Connection::open(host.api).await?;
    let mut getting = Connection::open(host.api).await?;
    let collect = get("/provisioning-jobs?wait=20");
    let mut samples = Vec::new();
    for n in 0..WARM_UP + JOBS {
        let started_at = Instant::now();
        let accepted = posting.exchange(&jobs::job(name, 0, n)).await?;
        ensure!(accepted.status == 201, "POST was answered with {}", accepted.status);
        let answer = getting.exchange(&collect).await?;
        ensure!(jobs::messages(&answer.body)? == 1, "one job has one message");
        if n >= WARM_UP {
            samples.push(started_at.elapsed().as_secs_f64() * 1_000.0);
        }
    }
    Ok(samples)
}
